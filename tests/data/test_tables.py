"""Tables on disk: formats, and files that cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, feather, parquet

from archspec.data.requirements import ColumnRequirement
from archspec.data.tables import check_columns, open_tables
from archspec.diagnostics import SpecError

if TYPE_CHECKING:
    from pathlib import Path

TABLE = pa.table({"user": [1, 2, 3], "city": ["Oslo", None, "Rome"], "unread": [0, 0, 0]})


def written(folder: Path, name: str) -> Path:
    """The table as a file of a format."""
    path = folder / name
    if name.endswith(".parquet"):
        parquet.write_table(TABLE, path, row_group_size=2)
    elif name.endswith(".feather"):
        feather.write_feather(TABLE, path)
    elif name.endswith(".tsv"):
        csv.write_csv(TABLE, path, csv.WriteOptions(delimiter="\t"))
    elif name.endswith(".gz"):
        with pa.output_stream(path, compression="gzip") as file:
            csv.write_csv(TABLE, file)
    else:
        csv.write_csv(TABLE, path)
    return path


def read(path: Path, *wanted: str) -> dict[str, list[Any]]:
    """The wanted columns of a file as texts."""
    found: dict[str, list[Any]] = {name: [] for name in wanted}
    first = 0
    for chunk in open_tables([path])[0].chunks(wanted):
        assert chunk.first == first
        first += chunk.rows
        for name, array in chunk.columns.items():
            found[name] += array.cast(pa.string()).to_pylist()
    return found


@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "a.csv", "a.tsv", "a.csv.gz", "A.CSV"])
def test_all_formats_hold_the_same(tmp_path: Path, name: str) -> None:
    """In any format, the wanted columns have all rows in order, and missing values stay missing."""
    assert read(written(tmp_path, name), "user", "city") == {"user": ["1", "2", "3"], "city": ["Oslo", None, "Rome"]}


def test_a_csv_file_without_a_line_of_names(tmp_path: Path) -> None:
    """Names may be given; then the first line is a row, and white space after commas is ignored."""
    path = tmp_path / "a.csv"
    path.write_text("1, Oslo\n2, ?\n")
    table = open_tables([path], ("user", "city"))[0]
    columns = [chunk.columns["city"].to_pylist() for chunk in table.chunks(["city"])]
    assert columns == [["Oslo", "?"]]


def test_line_breaks_in_quotes(tmp_path: Path) -> None:
    """A quoted value may contain commas and line breaks."""
    path = tmp_path / "a.csv"
    path.write_text('city\n"a, b"\n"c\nd"\n')
    assert read(path, "city") == {"city": ["a, b", "c\nd"]}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", b"", "has no known format"),
        ("a.parquet.gz", b"", "has no known format"),
        ("none.csv", None, "there is no file"),
        ("a.csv", b"", "cannot be read: Empty CSV file"),
        ("a.parquet", b"PAR1", "cannot be read"),
        ("a.feather", b"ARROW1", "cannot be read"),
        ("a.csv", b"user,user\n1,2\n", "has two columns `user`"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    """Each is rejected with a message that names the file, with status 2."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SpecError, match="AS701") as caught:
        open_tables([tmp_path / name])
    assert caught.value.status == 2
    assert words in caught.value.diagnostics[0].message
    assert name in caught.value.diagnostics[0].message


def test_all_such_files_are_told_at_once(tmp_path: Path) -> None:
    """Two missing files are reported in one error."""
    with pytest.raises(SpecError) as caught:
        open_tables([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert len(caught.value.diagnostics) == 2


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    """A CSV line with too many values is an error with the number of the line."""
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n1,2,3\n")
    with pytest.raises(SpecError, match=r"Row #3: Expected 2 columns, got 3"):
        list(open_tables([path])[0].chunks(["a"]))


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    """Every missing column is reported with its reader and a suggestion."""
    tables = open_tables([written(tmp_path, "a.csv")])
    wanted = {name: ColumnRequirement(name, "ids", f"input `{name}`") for name in ("usr", "city", "zzzz")}
    with pytest.raises(SpecError) as caught:
        check_columns(tables, wanted)
    first, second = caught.value.diagnostics
    assert first.message.endswith("has no column `usr`, which input `usr` reads")
    assert first.help.startswith("did you mean `user`? columns here: user, city, unread")
    assert second.help.startswith("columns here")


def test_a_struct_beside_a_dotted_column(tmp_path: Path) -> None:
    """A column `u.id` can be read beside a struct `u` with a field `id`, and so can a longer dotted name."""
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"u": [{"id": "x", "id.b": "y"}], "u.id": ["1"], "u.id.b": ["2"]}), path)
    assert read(path, "u.id", "u.id.b") == {"u.id": ["1"], "u.id.b": ["2"]}


def test_a_parquet_file_is_not_read_ahead(tmp_path: Path) -> None:
    """After the first chunk, only a small part of a file of many row groups is in memory."""
    path = tmp_path / "many.parquet"
    parquet.write_table(pa.table({"a": np.random.default_rng(0).random(2_000_000)}), path, row_group_size=20_000)
    (table,) = open_tables([str(path)])
    before = pa.total_allocated_bytes()
    chunks = table.chunks(["a"])
    next(chunks)
    assert pa.total_allocated_bytes() - before < path.stat().st_size / 4


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.tsv", "a.parquet", "a.feather"])
def test_rows_are_counted_if_no_column_is_wanted(tmp_path: Path, name: str) -> None:
    """A model may read only columns from the names of folders; the file then holds nothing but a number of rows."""
    (table,) = open_tables([written(tmp_path, name)])
    chunks = list(table.chunks([]))
    assert [chunk.columns for chunk in chunks] == [{}] * len(chunks)
    assert sum(chunk.rows for chunk in chunks) == 3
