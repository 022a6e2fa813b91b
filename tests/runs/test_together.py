"""Runs whose batches are whole groups of rows: `archspec train --together COLUMN`."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet
from safetensors.torch import load_file

from archspec import plugins
from archspec.data.batches import Epochs
from archspec.data.prepare import TRAIN, Source
from archspec.data.rows import Rows
from archspec.diagnostics import SpecError
from archspec.graph.load import load_graph
from archspec.lightning.module import MultiTaskModule
from archspec.runs import batches
from archspec.runs.files import RESULTS, WEIGHTS
from archspec.runs.recipe import Recipe
from archspec.runs.training import Progress, train

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.diagnostics import Diagnostic

TEXT = """
archspec: 1
name: ranked
inputs:
  user: {kind: sparse, vocab: 50, dim: 4}
  price: {kind: dense, dim: 1}
tasks: {click: {loss: LOSS}}
towers: {click: {from: inputs, units: [4]}}
"""
PAIRWISE = TEXT.replace("LOSS", "{kind: pairwise, group: request}")
LOGISTIC = TEXT.replace("LOSS", "logistic")
RECIPE = Recipe(epochs=2, batch=32, learning_rate=1e-2, patience=None, together="request", threads=1)
REQUESTS = np.repeat([f"r{number}" for number in range(60)], np.arange(60) % 7 + 1)


def rows(**changed: Any) -> dict[str, Any]:  # noqa: ANN401 - columns of any type
    """237 rows of 60 requests, in random order."""
    random = np.random.default_rng(0)
    count = len(REQUESTS)
    price = random.normal(size=count)
    click = (price + random.normal(size=count) > 0).astype(int)
    user = random.integers(0, 40, count)
    scene = random.choice(["home", "search"], count)
    found = {"request": random.permutation(REQUESTS), "user": user, "price": price, "click": click, "scene": scene}
    return {name: column.tolist() for name, column in found.items()} | changed


def run(
    folder: Path, text: str = PAIRWISE, recipe: Recipe = RECIPE, data: dict[str, Any] | None = None
) -> tuple[list[str], list[Diagnostic]]:
    """Trains in `folder/run`; returns what was said and warned."""
    parquet.write_table(pa.table(rows() if data is None else data), folder / "rows.parquet")
    said: list[str] = []
    warned: list[Diagnostic] = []
    progress = Progress(say=said.append, warn=warned.extend)
    graph = load_graph(text, None, plugins.load([]))
    train(graph, Source((str(folder / "rows.parquet"),), share=0.2), recipe, folder / "run", progress=progress)
    return said, warned


def test_each_step_has_whole_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every training and validation batch has all rows of its requests; the report of the data has their sizes.

    A share of the requests is held out, each with all of its rows. Validation batches are as large as training batches,
    since the memory of the loss is quadratic in their rows.
    """
    seen: dict[str, list[Any]] = {"train": [], "validation": []}
    for name, hook in (("train", "training_step"), ("validation", "validation_step")):
        original = getattr(MultiTaskModule, hook)

        def noted(module: Any, batch: Any, *rest: Any, name: str = name, original: Any = original) -> Any:  # noqa: ANN401 - Lightning's signature
            seen[name].append(batch["request"])
            return original(module, batch, *rest)

        monkeypatch.setattr(MultiTaskModule, hook, noted)
    said, warned = run(tmp_path)
    assert not [item for item in warned if item.code == "AS751"]
    held = {name: set(torch.cat(found).tolist()) for name, found in seen.items()}
    assert not held["train"] & held["validation"]
    assert 5 < len(held["validation"]) < 20
    assert any(line.startswith(f"{len(held['train'])} groups of `request`, with 1 to 7 rows") for line in said), said
    for name, found in seen.items():
        epoch = [set(batch.tolist()) for batch in found[: len(found) // 2]]
        assert len(epoch) > 1
        assert sum(map(len, epoch)) == len(set.union(*epoch)), name


def test_rows_shuffled_one_by_one_draw_a_hint(tmp_path: Path) -> None:
    """A loss within groups names the option that keeps its groups together; other losses need none."""
    _, warned = run(tmp_path, recipe=replace(RECIPE, together=None, epochs=1))
    (hint,) = [item for item in warned if item.code == "AS751"]
    assert "the loss `pairwise` of task `click` compares rows with the same `request`" in hint.message
    assert "`--together request`" in str(hint.help)
    (tmp_path / "b").mkdir()
    _, warned = run(tmp_path / "b", LOGISTIC, replace(RECIPE, together=None, epochs=1))
    assert not [item for item in warned if item.code == "AS751"]


FRACTIONS = [row + 0.5 for row in range(len(REQUESTS))]


@pytest.mark.parametrize(
    ("together", "changed", "words"),
    [
        ("row", {"row": list(range(len(REQUESTS)))}, "AS750.*no two rows to train on have the same value"),
        ("row", {}, "AS702.*`row`"),
        ("price", {}, "AS731.*`--together price`: input `price` reads this column as numbers"),
        ("request", {"request": [None, *["r"] * (len(REQUESTS) - 1)]}, "column `request`, row 1: no value"),
        ("request", {"request": FRACTIONS}, "column `request`, row 1: `0.5` is neither a whole number nor a text"),
    ],
)
def test_columns_that_group_nothing(tmp_path: Path, together: str, changed: dict[str, Any], words: str) -> None:
    """Each is one clear error before training, and no folder is left behind."""
    with pytest.raises(SpecError, match=words):
        run(tmp_path, recipe=replace(RECIPE, together=together), data=rows(**changed))
    assert not (tmp_path / "run").exists()


def test_a_column_that_the_model_reads(tmp_path: Path) -> None:
    """Groups are the values in the file, also those without an id of their own, as for `--grouped-by`."""
    names = [f"u{row % 30}" for row in range(len(REQUESTS))]
    text = LOGISTIC.replace("vocab: 50", "vocab: 4")
    said, _ = run(tmp_path, text, replace(RECIPE, together="user"), rows(user=names))
    stored = Rows(tmp_path / "run" / TRAIN)
    users = len(np.unique(stored.column("user as written")))
    assert users > len(np.unique(stored.column("user"))) == 4
    assert any(line.startswith(f"{users} groups of `user`") for line in said), said
    made = batches.training_batches(stored, RECIPE, "user as written")
    assert isinstance(made, Epochs)
    held = [set(batch["user as written"].tolist()) for batch in made]
    assert sum(map(len, held)) == users


def test_processes_share_out_groups(tmp_path: Path) -> None:
    """Two processes train like one, also on a batch with a single large group, of which one of them has no row.

    They measure the same, too, also by the values of a column.
    """
    requests = rows()["request"]
    data = rows(request=[("big" if row < 60 else request) for row, request in enumerate(requests)])
    said, _ = run(tmp_path, LOGISTIC, replace(RECIPE, by="scene"), data)
    assert any("1 has more rows than `--batch 32`, and is a batch of its own" in line for line in said), said
    (tmp_path / "ranked.yaml").write_text(LOGISTIC)
    words = [
        sys.executable, "-m", "archspec", "train", "ranked.yaml", "--data", "rows.parquet", "--split", "0.2",
        "--batch", "32", "--epochs", "2", "--learning-rate", "0.01", "--patience", "0", "--together", "request",
        "--by", "scene", "--threads", "1", "--devices", "2", "-o", "two",
    ]  # fmt: skip
    found = subprocess.run(words, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr
    one, two = (load_file(tmp_path / name / WEIGHTS) for name in ("run", "two"))
    for name, weights in one.items():
        torch.testing.assert_close(two[name], weights, rtol=1e-4, atol=1e-5)
    alone, both = (json.loads((tmp_path / name / RESULTS).read_text())["groups"] for name in ("run", "two"))
    for expected, measured in zip(alone, both, strict=True):
        assert (measured["value"], measured["rows"]) == (expected["value"], expected["rows"])
        assert measured["metrics"] == pytest.approx(expected["metrics"], abs=1e-4)
