"""A small run for tests of scoring and analysis: texts, lists, numbers; three tasks, a fusion and gates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from archspec import plugins
from archspec.data.prepare import Source
from archspec.graph.load import load_graph
from archspec.runs.recipe import Recipe
from archspec.runs.trained import Trained, load_run
from archspec.runs.training import train

if TYPE_CHECKING:
    from pathlib import Path

SPEC = """
archspec: 1
name: clicks
inputs:
  user: {kind: sparse, vocab: 20, dim: 4}
  seen: {kind: sequence, table: user, length: 3, pool: mean}
  x: {kind: dense, dim: 1}
tasks:
  click: {}
  buy: {when: click}
  stars: {kind: multiclass, classes: 3}
levels:
  - experts: {$task: {units: [4]}, shared: {count: 2, units: [4]}}
    gates: {$task: {sees: [$task, shared]}}
towers: {$task: {units: [4]}}
fusion:
  rank: {kind: product, of: [click, buy]}
"""
USERS = ("ann", "bob", "cyd", "dee")
OUTPUTS = ("click", "buy", "stars", "rank")


def rows(count: int, seed: int, users: tuple[str, ...] = USERS) -> dict[str, list[Any]]:
    """The columns of the spec, and `scene`, which the spec does not read."""
    random = np.random.default_rng(seed)
    x = random.normal(size=count)
    click = (x + random.normal(size=count) > 0).astype(int)
    return {
        "user": random.choice(users, count).tolist(),
        "seen": [random.choice(users, length).tolist() for length in random.integers(0, 5, count)],
        "x": x.tolist(),
        "click": click.tolist(),
        "buy": (click * random.integers(0, 2, count)).tolist(),
        "stars": random.integers(0, 3, count).tolist(),
        "scene": random.choice(["home", "search"], count).tolist(),
    }


def trained(folder: Path, text: str = SPEC, data: dict[str, list[Any]] | None = None, **options: Any) -> Trained:  # noqa: ANN401 - of Source
    """A run of two epochs in `folder/run`, on rows in `folder/day.parquet`."""
    parquet.write_table(pa.table(rows(300, 0) if data is None else data), folder / "day.parquet")
    graph = load_graph(text, None, plugins.load([]))
    train(graph, Source((str(folder / "day.parquet"),), **options), Recipe(epochs=2, batch=50), folder / "run")
    return load_run(folder / "run")
