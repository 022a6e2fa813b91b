"""Lists of items: their notations, and which items are skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from archspec.data.choices import Requests
from archspec.data.items import ListForm, quoted_items
from archspec.data.list_survey import list_forms
from archspec.data.requirements import ColumnRequirement
from archspec.data.tables import open_tables
from archspec.diagnostics import Diagnostics

if TYPE_CHECKING:
    from pathlib import Path

TAGS = ColumnRequirement("tags", "lists", "input `tags`", width=3, high=9, family="tags")
VECTOR = ColumnRequirement("tags", "numbers", "input `tags`", width=2)


def files(folder: Path, *columns: list[Any]) -> list[str]:
    """Files with a column `tags` each: texts in CSV, lists in Parquet."""
    paths = []
    for number, column in enumerate(columns):
        array = pa.array(column)
        name = str(folder / f"{number}.{'csv' if pa.types.is_string(array.type) else 'parquet'}")
        write = csv.write_csv if name.endswith("csv") else parquet.write_table
        write(pa.table({"tags": array}), name)
        paths.append(name)
    return paths


def read(
    folder: Path, *columns: list[Any], requirement: ColumnRequirement = TAGS, padding: str | None = None
) -> list[Any]:
    """The lists of several files, read in one form."""
    tables = open_tables(files(folder, *columns))
    form = list_forms(tables, {"tags": requirement}, {} if padding is None else {"tags": padding})["tags"]
    chunks = [chunk.columns["tags"] for table in tables for chunk in table.chunks(["tags"])]
    return [row for array in chunks for row in form.real(array).to_pylist()]


@pytest.mark.parametrize(
    ("written", "lists"),
    [
        (["3 17 4", "8"], [["3", "17", "4"], ["8"]]),
        (["3,17|4", "8;1"], [["3", "17", "4"], ["8", "1"]]),
        (["[3, 17]", "[8 1]", "(2,)", "[]"], [["3", "17"], ["8", "1"], ["2"], []]),
        (["Film Noir|y", "Film Noir"], [["Film Noir", "y"], ["Film Noir"]]),
        (["Film Noir; y", "z"], [["Film Noir", "y"], ["z"]]),
        (["Film Noir, y", "z"], [["Film Noir", "y"], ["z"]]),
        (["a\tFilm Noir", "z"], [["a", "Film Noir"], ["z"]]),
        (["red blue", "red"], [["red", "blue"], ["red"]]),
        (["a, b|c", "d"], [["a, b", "c"], ["d"]]),
        (["['Film Noir', 'y']", "['z']"], [["Film Noir", "y"], ["z"]]),
        (['["Film Noir", "y"]', '["\\u00e9\\"", null]'], [["Film Noir", "y"], ['é"']]),
        (["['it\\'s', None, \"b c\"]"], [["it's", "b c"]]),
        (["('a b', 'c')", "('d',)"], [["a b", "c"], ["d"]]),
        (["['a' 'b c']"], [["a", "b c"]]),
        (["[Film Noir, y]", "[z]"], [["Film Noir", "y"], ["z"]]),
        (['{"Film Noir",y}', "{z}", "{}"], [["Film Noir", "y"], ["z"], []]),
        (["{3,17}", "{8}"], [["3", "17"], ["8"]]),
        (["{'a b', 'c'}"], [["a b", "c"]]),
        (["[1 2 3\n 4]", "[5]"], [["1", "2", "3", "4"], ["5"]]),
        (["['a b'\n 'c']"], [["a b", "c"]]),
        (["[x] a|b [y]"], [["[x] a", "b [y]"]]),
        (["['a|b', 'c']", "d|e f"], [["a|b", "c"], ["d", "e f"]]),
        (["a||b|", "|c"], [["a", "b"], ["c"]]),
        (["", "[]", "()", " ", "['']", "[None]", "a"], [[], [], [], [], [], [], ["a"]]),
        (["1.5, -2e3", "7"], [["1.5", "-2e3"], ["7"]]),
        (["4 5 -1", "-1 -1 -1", "-1 6"], [["4", "5"], [], ["6"]]),
        (["a|-1|b|-1.0"], [["a", "b"]]),
        (["[1, null, 3]", "[nan]"], [["1", "3"], []]),
    ],
)
def test_written_lists(tmp_path: Path, written: list[str], lists: list[list[str]]) -> None:
    """Items are between separators or in quotes; missing items, -1 and empty lists are skipped."""
    assert read(tmp_path, written) == lists


def test_one_mark_for_all_files(tmp_path: Path) -> None:
    """A file with one tag in every row is read with the separator that another file shows."""
    assert read(tmp_path, ["Film Noir", "y"], ["a|Film Noir"]) == [["Film Noir"], ["y"], ["a", "Film Noir"]]


@pytest.mark.parametrize(
    ("column", "lists"),
    [
        ([[4, 5, -1], None, [], [-1, None, 6]], [[4, 5], [], [], [6]]),
        ([[4.0, -1.0], [float("nan"), 2.0]], [[4.0], [2.0]]),
        ([["a", "-1", None, " b ", ""]], [["a", "b"]]),
        ([[None, None]], [[]]),
    ],
)
def test_lists_of_all_types(tmp_path: Path, column: list[Any], lists: list[list[Any]]) -> None:
    """-1 is padding in lists of every type, as in the language; missing items are skipped."""
    assert read(tmp_path, column) == lists


@pytest.mark.parametrize(
    ("column", "value", "lists"),
    [
        ([[4, 5, 0, 0], [7, 0, -1, -1]], "0", [[4, 5], [7]]),
        (["4 5 0 0", "0 0 7 0"], "0", [["4", "5"], ["7"]]),
        ([["a", "<pad>"], ["<pad>", "-1"]], "<pad>", [["a"], []]),
        ([[4.0, 0.0]], "0", [[4.0]]),
        ([[4, 5]], "<pad>", [[4, 5]]),
    ],
)
def test_declared_padding(tmp_path: Path, column: list[Any], value: str, lists: list[list[Any]]) -> None:
    """Declared padding is skipped in addition to -1."""
    assert read(tmp_path, column, padding=value) == lists


@pytest.mark.parametrize("kind", [pa.uint64(), pa.int64(), pa.uint8(), pa.float32(), pa.decimal128(24, 2)])
@pytest.mark.parametrize("form", [ListForm(), ListForm(padding=("-1", "0"))])
def test_padding_of_all_types(kind: Any, form: ListForm) -> None:  # noqa: ANN401 - pyarrow comes without types
    """For types that cannot hold -1, -1 is not padding; declared padding of 0 works for every type."""
    array = pa.array([[4, 0], [7]]).cast(pa.list_(kind))
    assert form.real(array).to_pylist() == ([[4], [7]] if "0" in form.padding else [[4, 0], [7]])


def test_numbers_keep_their_places(tmp_path: Path) -> None:
    """In a list for a dense input, -1 is a number, and no item is skipped."""
    assert read(tmp_path, ["[-1, 2.5]", "0 -1"], requirement=VECTOR) == [["-1", "2.5"], ["0", "-1"]]
    assert read(tmp_path, [[-1.0, None]], requirement=VECTOR) == [[-1.0, None]]
    assert read(tmp_path, ["1 2", "3, x"], requirement=VECTOR) == [["1", "2"], ["3", "x"]]


def test_padding_of_what_is_no_list() -> None:
    """Padding can be declared only for lists."""
    for requirement, column, said in (
        (TAGS, "tag", "the spec reads no column `tag`"),
        (VECTOR, "tags", "the spec reads no lists from the column `tags`"),
    ):
        problems = Diagnostics()
        Requests(padding={column: "0"}).check({"tags": requirement}, problems)
        assert [(item.code, item.message) for item in problems.items] == [("AS705", said)]


def test_categories_are_lists_too() -> None:
    """A dictionary column, which pandas writes for categories, is read as its texts."""
    assert ListForm(between="|").real(pa.array(["a|b", None, "a|b"]).dictionary_encode()).to_pylist() == [
        ["a", "b"], [], ["a", "b"]
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["[" * 100_000 + "]", "['a", "[']", "[1" + "0" * 5000 + "]", "['a', ['b']]", "{'a': 1}"]
)
def test_broken_lists_are_some_items(text: str) -> None:
    """Any text in brackets is split into texts, and quickly."""
    assert all(isinstance(item, str) for item in quoted_items(text))
