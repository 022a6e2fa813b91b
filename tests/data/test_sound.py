"""Broken columns are reported before their values are read."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from archspec.data.requirements import ColumnRequirement
from archspec.data.sound import sound
from archspec.data.tables import open_tables
from archspec.data.types import check_types
from archspec.diagnostics import SpecError

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 200
NOT_UTF8 = pa.Array.from_buffers(
    pa.string(), 3, [None, pa.py_buffer(struct.pack("<4i", 0, 1, 2, 4)), pa.py_buffer(b"ab\xff\xfe")]
)


def message(path: Path) -> str:
    """The error message from reading the file."""
    (table,) = open_tables([path])
    with pytest.raises(SpecError, match="AS715") as caught:
        list(table.chunks(table.columns))
    assert caught.value.status == 2
    return caught.value.diagnostics[0].message


@pytest.mark.parametrize(("column", "value"), [("hist", 2**30), ("hist", -5), ("name", 2**31 - 1), ("name", -1)])
def test_a_wrong_offset(tmp_path: Path, column: str, value: int) -> None:
    """One wrong offset of a list or of a text is an error with file and column, not a crash."""
    path = tmp_path / "a.feather"
    columns = {"hist": pa.array([[1, 2]] * ROWS), "name": pa.array(["ab"] * ROWS)}
    feather.write_feather(pa.table({column: columns[column]}), path, compression="uncompressed")
    data = bytearray(path.read_bytes())
    place = data.index(struct.pack("<8i", *range(0, 16, 2))) + 40
    data[place : place + 4] = struct.pack("<i", value)
    path.write_bytes(data)
    assert message(path).startswith(f"`{path}`, column `{column}` is broken: ")


def test_a_code_outside_its_dictionary(tmp_path: Path) -> None:
    """Categories whose codes exceed their values are reported too."""
    path = tmp_path / "a.feather"
    codes = pa.array([i % 2 for i in range(ROWS)], pa.int8())
    table = pa.table({"name": pa.DictionaryArray.from_arrays(codes, ["ab", "cd"])})
    feather.write_feather(table, path, compression="uncompressed")
    data = bytearray(path.read_bytes())
    place = data.rindex(bytes([0, 1] * 20))
    data[place] = 7
    path.write_bytes(data)
    assert message(path).startswith(f"`{path}`, column `name` is broken: ")


@pytest.mark.parametrize(
    "array",
    [
        NOT_UTF8,
        NOT_UTF8.view(pa.string()).cast(pa.large_binary()).view(pa.large_string()),
        pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), NOT_UTF8),
        pa.DictionaryArray.from_arrays(pa.array([0, 1, 2], pa.int8()), NOT_UTF8),
    ],
    ids=["text", "large text", "list", "dictionary"],
)
def test_texts_that_are_not_utf8(array: Any) -> None:  # noqa: ANN401 - pyarrow comes without types
    """The message names file, column and row, wherever the text is nested."""
    with pytest.raises(SpecError, match="AS715") as caught:
        sound(array, "f", "c", 10)
    assert caught.value.diagnostics[0].message == "`f`, column `c`, row 13: the text is not in UTF-8"


def test_texts_that_are_not_utf8_in_csv(tmp_path: Path) -> None:
    """In a CSV file, the header line is not counted as a row."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,name\n1,x\n2,\xff\xfe\n")
    assert message(path) == f"`{path}`, column `name`, row 2: the text is not in UTF-8"
    with pytest.raises(SpecError, match="column `second`, row 3: the text"):
        list(open_tables([path], ("first", "second"))[0].chunks(["second"]))


def test_column_names_that_are_not_utf8(tmp_path: Path) -> None:
    """A file whose column names cannot be decoded is rejected."""
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"zebra": [1]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"zebra", b"z\xfb\xfb\xfba"))
    with pytest.raises(SpecError, match="AS701"):
        open_tables([path])


@pytest.mark.parametrize("kind", [pa.string_view(), pa.list_(pa.string_view())])
def test_views_are_texts(kind: Any) -> None:  # noqa: ANN401 - pyarrow comes without types
    """Columns of view types are read as texts, also in lists."""
    values = [["a"], None] if pa.types.is_list(kind) else ["a", None]
    found = sound(pa.array(values, kind), "f", "c", 0)
    assert found.to_pylist() == values
    assert "view" not in str(found.type)


@pytest.mark.parametrize("use", ["lists", "numbers"])
@pytest.mark.parametrize("item", [pa.date32(), pa.struct({"a": pa.int64()}), pa.list_(pa.int64()), pa.binary()])
def test_lists_of_what_nothing_reads(tmp_path: Path, use: Any, item: Any) -> None:  # noqa: ANN401
    """Lists of dates, structs, lists or bytes are reported with file and column before their items are read."""
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"c": pa.array([None, []], pa.list_(item))}), path)
    with pytest.raises(SpecError, match="AS703") as caught:
        check_types(open_tables([path]), {"c": ColumnRequirement("c", use, "input `c`", width=2)})
    assert caught.value.diagnostics[0].message.startswith(f"column `c` of `{path}` has the type list<element: ")


def test_large_batches_come_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An Arrow file with one batch is read in chunks of a limited number of rows, with the right row numbers."""
    monkeypatch.setattr("archspec.data.tables._ROWS", 3)
    path = tmp_path / "a.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, pa.schema({"c": pa.int64()})) as writer:
        writer.write_batch(pa.record_batch({"c": list(range(8))}))
    chunks = list(open_tables([path])[0].chunks(["c"]))
    assert [(chunk.first, chunk.rows) for chunk in chunks] == [(0, 3), (3, 3), (6, 2)]
    assert [value for chunk in chunks for value in chunk.columns["c"].to_pylist()] == list(range(8))
