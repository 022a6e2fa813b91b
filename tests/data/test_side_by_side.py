"""Lists of events with several columns and numbers, from files to batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from archspec import plugins
from archspec.data.batches import OrderedBatches, table_batches
from archspec.data.encoder import Encoder
from archspec.data.encodings import Vocabulary
from archspec.data.prepare import TRAIN, Prepared, Source, prepare
from archspec.data.rows import Rows
from archspec.diagnostics import SpecError
from archspec.graph.load import load_graph

if TYPE_CHECKING:
    from pathlib import Path

SPEC = """
archspec: 1
name: events
inputs:
  items: {kind: sequence, vocab: 20, dim: 2, length: 3, pool: none, weights: seconds}
  cates: {kind: sequence, vocab: 20, dim: 2, length: 3, pool: none, column: categories}
  alone: {kind: sequence, vocab: 20, dim: 2, length: 3}
blocks:
  clicks: {kind: pool, from: [items, cates]}
tasks: {buy: {}}
towers: {buy: {from: [blocks.clicks, alone]}}
"""
ROWS: dict[str, list[Any]] = {
    "items": [[1, 2], [3, None, 5], [-1, 7, 8, 9, -1], [], [4]],
    "categories": [["a", "b"], ["c", "a", None], ["a", None, "b", "c", None], [], ["c"]],
    "seconds": [[1.0, 2.0], [3.0, 4.0, 5.0], [9.0, 7.0, 8.0, 6.0, 9.0], [], [0.5]],
    "alone": [[1], [2, None, 3], [], [4], [5]],
    "buy": [0, 1, 0, 1, 0],
}


def prepared(folder: Path, rows: dict[str, list[Any]], name: str = "rows.parquet", **options: Any) -> Prepared:  # noqa: ANN401
    """The prepared rows, used for training and validation."""
    path = folder / name
    (csv.write_csv if name.endswith(".csv") else parquet.write_table)(pa.table(rows), path)
    source = Source((str(path),), (str(path),), **options)
    return prepare(load_graph(SPEC, None, plugins.load([])), source, folder / "run")


def batch(folder: Path) -> dict[str, Any]:
    """The encoded rows."""
    found = next(iter(OrderedBatches(Rows(folder / "run" / TRAIN), 9)))
    return {name: column.tolist() for name, column in found.items()}


@pytest.mark.parametrize("written", ["lists", "texts"])
def test_an_event_keeps_its_place_in_every_column(tmp_path: Path, written: str) -> None:
    """A missing item of an event is -1; events without any item are dropped; all columns keep the same last events."""
    rows, name = dict(ROWS), "rows.parquet"
    if written == "texts":
        rows = {key: [str(v) if isinstance(v, list) else v for v in values] for key, values in ROWS.items()}
        name = "rows.csv"
    found = prepared(tmp_path, rows, name)
    values = found.encoder.encodings["categories"]
    assert isinstance(values, Vocabulary)
    a, b, c = (values.values.index(value) + 1 for value in "abc")
    columns = batch(tmp_path)
    assert columns["items"] == [[1, 2, -1], [3, -1, 5], [7, 8, 9], [-1] * 3, [4, -1, -1]]
    assert columns["categories"] == [[a, b, -1], [c, a, -1], [-1, b, c], [-1] * 3, [c, -1, -1]]
    assert columns["seconds"] == [[1, 2, 0], [3, 4, 5], [7, 8, 6], [0] * 3, [0.5, 0, 0]]
    assert columns["alone"][1] == [2, 3, -1]
    again = Encoder.from_text(found.encoder.text(), found.encoder.requirements).of_inputs()
    (scored,) = table_batches(str(tmp_path / name), again)
    assert all(scored[key].tolist() == columns[key] for key in scored)


def test_columns_that_are_padded_in_different_ways(tmp_path: Path) -> None:
    """Padded and unpadded columns fit together if they have equally many real items; weights may have either length."""
    rows = {
        **ROWS, "items": [[1, 2, -1, -1]] * 5, "categories": [["a", "b"]] * 5,
        "seconds": [[1.0, 2.0], [1.0, 2.0, 0.0, 0.0]] + [[1.0, 2.0]] * 3,
    }  # fmt: skip
    prepared(tmp_path, rows)
    columns = batch(tmp_path)
    assert columns["items"] == [[1, 2, -1]] * 5
    assert columns["categories"] == [[1, 2, -1]] * 5
    assert columns["seconds"] == [[1, 2, 0]] * 5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"categories": [["a", "b"], ["c", "a"], *ROWS["categories"][2:]]},
         "column `categories`, row 2: `['c', 'a']` has a different number of items than `items`"),
        ({"categories": [*ROWS["categories"][:4], None]}, "column `categories`, row 5: `None` has a different"),
        ({"seconds": [[1.0], *ROWS["seconds"][1:]]}, "column `seconds`, row 1: `[1.0]` does not have one number"),
    ],
)  # fmt: skip
def test_events_of_two_lengths_are_reported_by_row(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    """The error names both columns and the row, and nothing is written; `--bad skip` leaves the row out."""
    with pytest.raises(SpecError) as caught:
        prepared(tmp_path, {**ROWS, **changes})
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "AS704"
    assert said in diagnostic.message
    assert not (tmp_path / "run" / TRAIN).exists()
    found = prepared(tmp_path, {**ROWS, **changes}, bad="skip")
    assert found.skipped == 2  # the row is in both training and validation


def test_lists_that_no_stream_puts_side_by_side_may_differ(tmp_path: Path) -> None:
    """Lists that are pooled separately may have different lengths."""
    prepared(tmp_path, {**ROWS, "alone": [[1, 2, 3, 4, 5]] * 5})
    assert batch(tmp_path)["alone"] == [[3, 4, 5]] * 5
