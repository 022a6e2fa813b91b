"""Columns of lists, from files to batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from archspec import plugins
from archspec.data.batches import OrderedBatches, table_batches
from archspec.data.encoder import Encoder
from archspec.data.prepare import ENCODING, TRAIN, VALIDATION, Prepared, Source, prepare
from archspec.data.requirements import column_requirements
from archspec.data.rows import Rows
from archspec.diagnostics import SpecError
from archspec.graph.load import load_graph

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.graph.graph import Graph

Lists = list[Any]


@pytest.fixture(scope="module")
def graph() -> Graph:
    """The graph of a spec that reads lists of up to three items."""
    return load_graph(
        """
archspec: 1
name: lists
inputs: {u: {kind: sequence, vocab: 100, dim: 2, length: 3}}
tasks: {a: {}}
towers: {a: {from: u}}
""",
        None,
        plugins.load([]),
    )


def written(path: Path, lists: Lists) -> str:
    """A file with lists and a label."""
    table = pa.table({"u": lists, "a": [row % 2 for row in range(len(lists))]})
    (csv.write_csv if path.suffix == ".csv" else parquet.write_table)(table, path)
    return str(path)


def prepared(graph: Graph, folder: Path, lists: Lists, **options: Any) -> tuple[Prepared, list[list[int]]]:  # noqa: ANN401 - a Source's options
    """The prepared lists; the same rows are used for training and validation."""
    name = "rows.csv" if isinstance(lists[0], str) else "rows.parquet"
    file = written(folder / name, lists)
    found = prepare(graph, Source((file,), (file,), **options), folder / "run")
    return found, next(iter(OrderedBatches(Rows(folder / "run" / TRAIN), 999)))["u"].tolist()


@pytest.mark.parametrize("text", [True, False])
def test_minus_one_pads(graph: Graph, tmp_path: Path, text: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """-1 is skipped anywhere in a list, with ids and with a vocabulary; of long lists the last real items are kept."""
    lists = [[4, 5, -1], [-1, 6, -1], [-1, -1], [1, 2, 3, 4, -1, -1]]
    column = [" ".join(map(str, row)) for row in lists] if text else lists
    expected = [[4, 5, -1], [6, -1, -1], [-1, -1, -1], [2, 3, 4]]
    assert prepared(graph, tmp_path, column)[1] == expected
    found, ids = prepared(graph, tmp_path, column, choices={"u": "vocabulary"})
    values = found.encoder.encodings["u"].values  # type: ignore[attr-defined] # a vocabulary
    assert "-1" not in values
    assert [[int(values[i - 1]) if i > 0 else i for i in row] for row in ids] == expected
    assert not found.warnings


def test_lists_as_python_and_json_write_them(graph: Graph, tmp_path: Path) -> None:
    """Items in quotes are not split; the table of columns shows the separator, and how many items are cut off."""
    found, ids = prepared(graph, tmp_path, ["['Film Noir', 'y']", '["y", null]', "[]", "['a', 'b', 'c', 'y']"])
    assert found.encoder.encodings["u"].values[:1] == ("y",)  # type: ignore[attr-defined] # a vocabulary
    assert ids[1:3] == [[1, -1, -1], [-1, -1, -1]]
    assert len(set(ids[0]) - {-1, 1}) == 1
    (report,) = (column for column in found.columns if column.column == "u")
    assert "in brackets; the last 3 of up to 4 items" in report.why


def test_what_stands_between_is_kept_with_the_run(graph: Graph, tmp_path: Path) -> None:
    """New rows are split as in the run, even if no row shows the separator."""
    found, _ = prepared(graph, tmp_path, ["Film Noir|y", "y"])
    assert any("split at |" in column.why for column in found.columns)
    encoder = Encoder.from_text((tmp_path / "run" / ENCODING).read_text(encoding="utf-8"), column_requirements(graph))
    assert encoder == found.encoder
    new = written(tmp_path / "new.csv", ["Film Noir"])
    (batch,) = table_batches(new, encoder.of_inputs())
    assert sorted(batch["u"].tolist()[0]) == [-1, -1, 2]


def test_validation_decides_too(graph: Graph, tmp_path: Path) -> None:
    """Validation files count for the separator too: here only they show that tags contain blanks."""
    files = written(tmp_path / "a.csv", ["Film Noir", "y"]), written(tmp_path / "b.csv", ["Film Noir|y"])
    found = prepare(graph, Source(files[:1], files[1:]), tmp_path / "run")
    assert found.encoder.encodings["u"].values == ("Film Noir", "y")  # type: ignore[attr-defined] # a vocabulary
    assert next(iter(OrderedBatches(Rows(tmp_path / "run" / VALIDATION), 9)))["u"].tolist() == [[1, 2, -1]]


@pytest.mark.parametrize("bracketed", [0, 1])
def test_texts_of_lists_are_new_to_the_run(graph: Graph, tmp_path: Path, bracketed: int) -> None:
    """A run on Arrow lists, or on lists in brackets, scores tags with a separator, which the new file shows."""
    columns: list[Lists] = [[["Film Noir", "y"], ["y"]], ["['Film Noir', 'y']", "['y']"]]
    found, _ = prepared(graph, tmp_path, columns[bracketed])
    new = written(tmp_path / "new.csv", ["Film Noir|y", "y"])
    (batch,) = table_batches(new, found.encoder.of_inputs())
    assert batch["u"].tolist() == [[2, 1, -1], [1, -1, -1]]


PADDED = [[4, 5, 0], [7, 0, 0], [1, 2, 3], [9, 0, 0], [8, 6, 5]]


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("text", [True, False])
def test_undeclared_padding_is_a_warning(graph: Graph, tmp_path: Path, side: str, text: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Lists of one length that are padded with 0 cause a warning; the proposed option works and ends the warning."""
    lists = [row[::-1] if side == "left" else row for row in PADDED]
    column: Lists = [" ".join(map(str, row)) for row in lists] if text else lists
    found, ids = prepared(graph, tmp_path, column)
    (warning,) = found.warnings
    assert warning.code == "AS725"
    assert (
        f"60% of the lists, which all have 3 items, {'begin' if side == 'left' else 'end'} with `0`" in warning.message
    )
    assert ids == lists
    words = warning.help.split("`")[1].split()
    assert words[0] == "--padding"
    name, _, value = words[1].partition("=")
    again, ids = prepared(graph, tmp_path, column, padding={name: value})
    assert not again.warnings
    real = [[item for item in row if item] for row in lists]
    assert ids == [row + [-1] * (3 - len(row)) for row in real]
    assert any("0 is padding" in report.why for report in again.columns)


@pytest.mark.parametrize(
    "lists",
    [
        [[4, 5, 0], [7, 0], [0, 0, 0]],  # of several lengths
        [[4, 0, 5], [7, 0, 0], [1, 0, 0]],  # 0 occurs at other places too
        [[4, 5, 0], [7, 6, 0], [1, 2, 0]],  # 0 never occurs twice
        [[0], [0], [1]],
        [[4, 5, -1], [7, -1, -1], [1, -1, -1]],
    ],
)
def test_what_does_not_look_like_padding(graph: Graph, tmp_path: Path, lists: Lists) -> None:
    """Lists whose last items may be real items cause no warning."""
    assert not prepared(graph, tmp_path, lists)[0].warnings


def test_padding_is_found_across_chunks(graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Positions are counted over all rows: a value that is once in the middle, even in the last row, is not padding."""
    monkeypatch.setattr("archspec.data.tables._ROWS", 7)
    lists = (np.asarray(PADDED * 20)).tolist()
    assert [item.code for item in prepared(graph, tmp_path, lists)[0].warnings] == ["AS725"]
    assert not prepared(graph, tmp_path, [*lists, [4, 0, 5]])[0].warnings


def test_a_wrong_item_is_told(graph: Graph, tmp_path: Path) -> None:
    """An item that is not an id is reported with its list, and the help works."""
    with pytest.raises(SpecError, match="has an item that is not an id") as caught:
        prepared(graph, tmp_path, [[4, 100, -1], [5]])
    assert "`--encode u=vocabulary`" in caught.value.diagnostics[0].help
    assert prepared(graph, tmp_path, [[4, 100, -1], [5]], choices={"u": "vocabulary"})[0].skipped == 0


def test_no_list_has_an_item(graph: Graph, tmp_path: Path) -> None:
    """Rows whose lists are all empty have no history and are legal."""
    columns: list[Lists] = [[[], []], ["[]", "[]"], [None, []]]
    for column in columns:
        assert prepared(graph, tmp_path, column)[1] == [[-1, -1, -1]] * 2


WEIGHTED = """
archspec: 1
name: weighted
inputs:
  u: {kind: sequence, vocab: 100, dim: 2, weights: w%s}
tasks: {a: {}}
towers: {a: {from: u}}
"""


def weighted(tmp_path: Path, ids: Lists, weights: Lists, more: str = "", **options: Any) -> Prepared:  # noqa: ANN401 - a Source's options
    """A prepared folder of lists with weights; the same rows are used for training and validation."""
    table = pa.table({"u": ids, "w": weights, "a": [row % 2 for row in range(len(ids))]})
    path = tmp_path / ("rows.csv" if isinstance(ids[0], str) else "rows.parquet")
    (csv.write_csv if path.suffix == ".csv" else parquet.write_table)(table, path)
    graph = load_graph(WEIGHTED % more, None, plugins.load([]))
    return prepare(graph, Source((str(path),), (str(path),), **options), tmp_path / "run")


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("more", ["", ", length: 3"])
def test_weights_come_beside_the_ids(tmp_path: Path, more: str, text: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Each id has its weight at its place: 0 beside padding, cut like the ids, and also for empty lists."""
    ids: Lists = [[4, 5], [1, 2, 3, 7], [], [9]]
    weights: Lists = [[0.5, 2], [1, -2, 3, 4.5], [], [0]]
    if text:
        ids, weights = ([" ".join(map(str, row)) for row in lists] for lists in (ids, weights))
    found = weighted(tmp_path, ids, weights, more)
    batch = next(iter(OrderedBatches(Rows(tmp_path / "run" / TRAIN), 9)))
    wide = 3 if more else 4
    right: list[list[float]] = [[0.5, 2], [1, -2, 3, 4.5][-wide:], [], [0]]
    assert batch["w"].dtype.is_floating_point
    assert batch["w"].tolist() == [row + [0] * (wide - len(row)) for row in right]
    assert batch["u"].shape == batch["w"].shape
    (report,) = (column for column in found.columns if column.column == "w")
    assert (report.reader, report.encoding) == ("`weights` of input `u`", "unchanged numbers")
    again = Encoder.from_text(found.encoder.text(), found.encoder.requirements)
    (scored,) = table_batches(str(tmp_path / ("rows.csv" if text else "rows.parquet")), again.of_inputs())
    assert scored["w"].tolist() == batch["w"].tolist()


def test_weights_beside_padding_are_left_out(tmp_path: Path) -> None:
    """Padded lists give the same rows with padded weights and with weights of the real items alone."""
    ids = [[4, 5, -1], [-1, 6, -1], [-1, -1, -1], [7, 0, 0]]
    weighted(tmp_path, ids, [[1, 2, 9], [3], [7, 7, 7], [8, 9, 9]], padding={"u": "0"})
    batch = next(iter(OrderedBatches(Rows(tmp_path / "run" / TRAIN), 9)))
    assert batch["u"].tolist() == [[4, 5], [6, -1], [-1, -1], [7, -1]]
    assert batch["w"].tolist() == [[1, 2], [3, 0], [0, 0], [8, 0]]


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([[1.0, 2.0], [3.0]], "does not have one number for each item of `u`"),
        ([[1.0], None], "no value"),
        ([[1.0], [2.0, float("nan")]], "has an item that is not a finite number"),
        ([[1.0], [2.0, float("inf")]], "has an item that is not a finite number"),
        ([1.0, 2.0], "reads a list per row"),
    ],
)
def test_weights_that_do_not_fit_are_told_by_row(tmp_path: Path, weights: Lists, said: str) -> None:
    """Weights of the wrong number or type cause one diagnostic with the row, and nothing is trained."""
    with pytest.raises(SpecError, match=said) as raised:
        weighted(tmp_path, [[4], [5, 6]], weights)
    assert {item.code for item in raised.value.diagnostics} <= {"AS702", "AS703", "AS704"}
    assert not (tmp_path / "run" / TRAIN).exists()


def test_rows_whose_weights_do_not_fit_can_be_skipped(tmp_path: Path) -> None:
    """`--bad skip` leaves such rows out and keeps the others aligned."""
    found = weighted(tmp_path, [[4, 1], [5, 6], [7]], [[1.0, 2.0], [3.0], [5.0]], bad="skip")
    assert found.skipped == 2  # the row is in both training and validation
    assert next(iter(OrderedBatches(Rows(tmp_path / "run" / TRAIN), 9)))["w"].tolist() == [[1, 2], [5, 0]]
