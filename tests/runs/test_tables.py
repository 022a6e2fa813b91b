"""Runs that start from pretrained vectors: training, resuming, damage, moved files."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from archspec.data.prepare import TABLES, Source
from archspec.diagnostics import SpecError
from archspec.runs.files import HISTORY, LAST, RUN, WEIGHTS
from archspec.runs.recipe import Recipe
from archspec.runs.trained import load_run
from archspec.runs.training import Progress, train

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from archspec.diagnostics import Diagnostic
    from archspec.graph.graph import Graph

TEXT = """
archspec: 1
name: pretrained
inputs:
  item: {kind: sparse, vocab: 20, dim: 3, trainable: false}
  user: {kind: sparse, vocab: 30, dim: 3}
tasks: {click: {}}
towers: {click: {units: [4]}}
"""
RECIPE = Recipe(epochs=2, batch=20, interval=2, patience=None)
VECTORS = np.arange(30, dtype=np.float32).reshape(10, 3)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """200 rows of ten items given as words, and vectors of these."""
    items = [f"i{i % 10}" for i in range(200)]
    users = [i % 30 for i in range(200)]
    table = pa.table({"item": items, "user": users, "click": [i % 2 for i in range(200)]})
    parquet.write_table(table, tmp_path / "rows.parquet")
    vectors = pa.table({"id": [f"i{i}" for i in range(10)], "vector": list(VECTORS)})
    parquet.write_table(vectors, tmp_path / "vectors.parquet")
    return Source((str(tmp_path / "rows.parquet"),), tables={"item": str(tmp_path / "vectors.parquet")})


def frozen(folder: Path) -> dict[str, list[float]]:
    """The vectors of the run's items, by value."""
    run = load_run(folder)
    values = run.encoder.encodings["item"].values  # type: ignore[attr-defined] # a vocabulary
    rows = dict(run.model.named_weights())["inputs.item.weight"]
    return {value: rows[number].tolist() for number, value in enumerate(values, start=1)}


def test_a_frozen_table_stays_as_the_file_has_it(graph: Graph, source: Source, tmp_path: Path) -> None:
    """It is unchanged by training and on disk; resuming with another vector file, or without it, is refused."""
    folder = tmp_path / "run"
    train(graph, source, RECIPE, folder)
    assert frozen(folder) == {f"i{i}": VECTORS[i].tolist() for i in range(10)}
    found = json.loads((folder / RUN).read_text(encoding="utf-8"))
    assert TABLES in found["sha256"]
    assert source.tables["item"] in found["data"]
    with pytest.raises(SpecError, match="AS706"):
        train(graph, replace(source, tables={}), RECIPE, folder, resume=True)


def test_a_killed_run_ends_like_another(graph: Graph, source: Source, tmp_path: Path) -> None:
    """A run killed before its first checkpoint restarts with its stored vectors and ends with the same weights."""
    train(graph, source, RECIPE, tmp_path / "one")
    train(graph, source, RECIPE, tmp_path / "two")
    for name in (LAST, HISTORY, WEIGHTS):
        (tmp_path / "two" / name).unlink()
    (tmp_path / "vectors.parquet").unlink()
    train(graph, source, RECIPE, tmp_path / "two", resume=True)
    assert (tmp_path / "two" / WEIGHTS).read_bytes() == (tmp_path / "one" / WEIGHTS).read_bytes()


@pytest.mark.parametrize("how", ["cut", "gone"])
def test_damaged_vectors_of_a_run(graph: Graph, source: Source, tmp_path: Path, how: str) -> None:
    """A run that has to restart without its vectors prepares them again; resuming a later one is refused."""
    folder = tmp_path / "run"
    train(graph, source, replace(RECIPE, epochs=1), folder)
    path = folder / TABLES
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(SpecError, match="AS733") as caught:
        train(graph, source, RECIPE, folder, resume=True)
    assert str(path) in caught.value.diagnostics[0].message
    for name in (LAST, HISTORY, WEIGHTS):
        (folder / name).unlink()
    train(graph, source, RECIPE, folder, resume=True)
    assert frozen(folder)["i1"] == [3, 4, 5]


def test_vectors_that_moved_or_changed(graph: Graph, source: Source, tmp_path: Path) -> None:
    """A moved file counts as the same; for a changed file there is a warning, and the run uses its stored vectors."""
    folder = tmp_path / "run"
    train(graph, source, replace(RECIPE, epochs=1), folder)
    (tmp_path / "else").mkdir()
    moved = (tmp_path / "vectors.parquet").rename(tmp_path / "else" / "vectors.parquet")
    train(graph, replace(source, tables={"item": str(moved)}), RECIPE, folder, resume=True)
    parquet.write_table(pa.table({"id": ["i0"], "vector": [[9.0, 9.0, 9.0]]}), tmp_path / "vectors.parquet")
    warned: list[str] = []

    def warn(items: Iterable[Diagnostic]) -> None:
        warned.extend(item.code for item in items)

    train(graph, source, replace(RECIPE, epochs=3), folder, resume=True, progress=Progress(warn=warn))
    assert "AS737" in warned
    assert frozen(folder)["i0"] == [0, 1, 2]


def test_a_wrong_file_leaves_no_folder(graph: Graph, source: Source, tmp_path: Path) -> None:
    """Vectors of a wrong width are refused before the run's folder is created."""
    parquet.write_table(pa.table({"id": ["i0"], "vector": [[1.0]]}), tmp_path / "vectors.parquet")
    with pytest.raises(SpecError, match="AS763"):
        train(graph, source, RECIPE, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_vectors_replace_those_of_an_earlier_run(graph: Graph, source: Source, tmp_path: Path) -> None:
    """A run that continues another with new vectors for one item uses these, and the old vectors for all others."""
    train(graph, source, RECIPE, tmp_path / "old")
    vectors = pa.table({"id": ["i3", "i99"], "vector": [[7.0, 7.0, 7.0], [8.0, 8.0, 8.0]]})
    parquet.write_table(vectors, tmp_path / "new.parquet")
    newer = replace(source, tables={"item": str(tmp_path / "new.parquet")})
    train(graph, newer, replace(RECIPE, start=str(tmp_path / "old")), tmp_path / "run")
    found = frozen(tmp_path / "run")
    assert found["i3"] == [7, 7, 7]
    assert found["i4"] == VECTORS[4].tolist()
