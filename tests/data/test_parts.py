"""Files, patterns, and folders of parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from archspec.data.parts import data_files, parts_of
from archspec.data.tables import open_tables
from archspec.diagnostics import SpecError

if TYPE_CHECKING:
    from pathlib import Path


def part(path: Path, *users: int) -> None:
    """Writes a part with some rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table({"user": users}), path)


def rows(path: Path, *wanted: str) -> list[dict[str, object]]:
    """The rows that are read from a path."""
    found = []
    for table in open_tables([path]):
        for chunk in table.chunks(wanted):
            assert set(chunk.columns) == set(wanted)
            found += pa.table(dict(chunk.columns)).to_pylist()
    return found


def test_a_folder_of_spark_parts_is_read(tmp_path: Path) -> None:
    """Parts are read in the order of their names; marker files and hidden files are ignored."""
    folder = tmp_path / "d.parquet"
    part(folder / "part-00001.snappy.parquet", 3)
    part(folder / "part-00000.snappy.parquet", 1, 2)
    (folder / "_SUCCESS").touch()
    (folder / ".part-00000.crc").write_bytes(b"crc")
    part(folder / "_temporary" / "part-9.parquet", 9)
    assert rows(folder, "user") == [{"user": 1}, {"user": 2}, {"user": 3}]


def test_a_folder_of_csv_parts_is_read(tmp_path: Path) -> None:
    """The files of a folder may be of any known format."""
    csv.write_csv(pa.table({"user": [1]}), tmp_path / "part-0.csv")
    part(tmp_path / "part-1.parquet", 2)
    assert rows(tmp_path, "user") == [{"user": "1"}, {"user": 2}]


def test_names_of_folders_are_columns(tmp_path: Path) -> None:
    """`day=1` is a column `day`, whose text is read as in CSV files; Hive's default partition is a missing value."""
    part(tmp_path / "day=1" / "city=New%20York" / "a.parquet", 1)
    part(tmp_path / "day=2" / "city=__HIVE_DEFAULT_PARTITION__" / "a.parquet", 2, 3)
    assert rows(tmp_path, "user", "day", "city") == [
        {"user": 1, "day": "1", "city": "New York"},
        {"user": 2, "day": "2", "city": None},
        {"user": 3, "day": "2", "city": None},
    ]
    assert rows(tmp_path, "day") == [{"day": "1"}, {"day": "2"}, {"day": "2"}]


def test_a_column_of_the_file_is_kept(tmp_path: Path) -> None:
    """A column that the file itself contains is read from the file."""
    part(tmp_path / "user=7" / "a.parquet", 1)
    assert rows(tmp_path, "user") == [{"user": 1}]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ((), "contains no data files"),
        (("_SUCCESS",), "contains no data files"),
        (("old/a.parquet",), "contains the folder `old`, whose name defines no column"),
        (("day=1/a.parquet", "b.parquet"), "are in folders that define different columns"),
        (("day=1/day=2/a.parquet",), "contains the folder `day=2`, whose name defines no column"),
        (("notes.txt",), "has no known format"),
    ],
)
def test_folders_that_cannot_be_read(tmp_path: Path, made: tuple[str, ...], words: str) -> None:
    """A folder that is not a folder of parts is rejected with a message."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name in made:
        part(folder / name, 1)
    with pytest.raises(SpecError, match=words) as caught:
        open_tables([folder])
    assert caught.value.status == 2


def test_the_hint_for_a_folder_of_folders_works(tmp_path: Path) -> None:
    """The pattern that the help proposes reads the files."""
    part(tmp_path / "old" / "a.parquet", 1)
    part(tmp_path / "new" / "a.parquet", 2)
    with pytest.raises(SpecError) as caught:
        parts_of(str(tmp_path))
    pattern = caught.value.diagnostics[0].help.split("'")[1]
    assert len(open_tables(data_files(pattern))) == 2


def test_one_path_or_several(tmp_path: Path) -> None:
    """A single str or Path is one path; patterns are expanded, and a pattern without a match is an error."""
    part(tmp_path / "a.parquet", 1)
    part(tmp_path / "b.parquet", 2)
    both = (str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet"))
    assert data_files(both[0]) == data_files(tmp_path / "a.parquet") == both[:1]
    assert data_files(str(tmp_path / "*.parquet")) == data_files([tmp_path / "[ab].parquet"]) == both
    with pytest.raises(SpecError, match="no file matches"):
        data_files(tmp_path / "*.csv")


def test_a_name_that_looks_like_a_pattern(tmp_path: Path) -> None:
    """An existing file is read even if its name looks like a pattern."""
    part(tmp_path / "day[1].parquet", 1)
    assert data_files(tmp_path / "day[1].parquet") == (str(tmp_path / "day[1].parquet"),)
