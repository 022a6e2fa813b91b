"""Tables on disk, read chunk by chunk: Parquet, CSV (also compressed), and Feather or Arrow files."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from archspec.data.items import without
from archspec.data.parts import parts_of
from archspec.data.sound import not_utf8, sound
from archspec.data.values import UNTIL, VALUE, missing, trimmed
from archspec.diagnostics import Diagnostics, SpecError, suggest, unusable
from archspec.files import is_file

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from archspec.data.parts import Part
    from archspec.data.requirements import ColumnRequirement

FORMATS: Final = {
    ".parquet": "parquet", ".pq": "parquet",
    ".feather": "arrow", ".arrow": "arrow", ".ipc": "arrow",
    ".csv": "csv", ".tsv": "csv",
}  # fmt: skip
PACKED: Final = (".gz", ".bz2", ".zst", ".lz4")
"""Suffixes of compressed CSV files."""
_ROWS: Final = 65_536
_BYTES: Final = 1 << 23  # read at once from a CSV file: pyarrow's default makes chunks of a few thousand rows
_LISTED: Final = 12
_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows of a file: Arrow arrays by column. `first` is the number of the first row, from 0."""

    file: str
    first: int
    rows: int
    columns: Mapping[str, Any]


Read = Callable[[Collection[str]], Iterable[Chunk]]
"""A function that returns some columns of rows, chunk by chunk."""
Sources = Mapping[str, tuple[str, ...]]
"""Column of the spec -> the column of the files, or both columns for the days between two moments."""


@dataclass(frozen=True, slots=True)
class Table:
    """One file. Columns of a CSV file are read as text; their type is decided from all of their values."""

    file: str
    format: str
    columns: tuple[str, ...]
    header: tuple[str, ...] | None = None
    """Column names of a CSV file without a header line."""
    partitions: Mapping[str, str | None] = field(default_factory=dict)
    """Columns with a single value, from the names of the file's folders."""
    sources: Sources = field(default_factory=dict)
    """Columns with another name in the file."""
    none: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Texts for a missing value in a column of the spec, in addition to the usual ones."""

    def chunks(self, wanted: Collection[str]) -> Iterator[Chunk]:
        """The wanted columns by the names that the spec gives them, chunk by chunk.

        Raises:
            SpecError: the file cannot be read to its end, or a column is broken.
        """
        from pyarrow import ArrowException

        own = {name: self.names_of(name) for name in wanted}
        read = {name for names in own.values() for name in names}
        names = [name for name in self.columns if name in read and self._holds(name)]
        first = 0
        try:
            for batch in self._batches(names):
                # By name: for `a.b`, a Parquet reader also returns the field `b` of a struct `a`.
                columns = {name: sound(batch.column(name), self.file, name, first) for name in names}
                for start in range(0, batch.num_rows, _ROWS):
                    part = {name: array.slice(start, _ROWS) for name, array in columns.items()}
                    count = min(_ROWS, batch.num_rows - start)
                    part |= self._constant(read, count)
                    found = {
                        name: _of_columns([part[each] for each in each_of])
                        for name, each_of in own.items()
                        if set(each_of) <= part.keys()
                    }
                    for name in found.keys() & self.none.keys():
                        found[name] = without(found[name], self.none[name])
                    yield Chunk(self.file, first + start, count, found)
                first += batch.num_rows
        except (ArrowException, OSError, UnicodeDecodeError) as error:
            self._broken(error)

    def names_of(self, column: str) -> tuple[str, ...]:
        """The columns of the file that a column of the spec is read from: one, or the value and its end of days."""
        return self.sources.get(column, (column,))

    def _broken(self, error: BaseException) -> NoReturn:
        """Raises SpecError for a file that cannot be read to its end."""
        place = re.match(r"In CSV column #(\d+): Row #(\d+): .*invalid UTF8", str(error))
        if place:
            not_utf8(self.file, self.columns[int(place[1])], int(place[2]) - (self.header is None))
        _unreadable(self.file, error)

    def _holds(self, name: str) -> bool:
        """Whether the column is in the file itself."""
        return name not in self.partitions

    def _constant(self, wanted: Collection[str], rows: int) -> dict[str, Any]:
        """The wanted columns from the names of folders, as texts."""
        import pyarrow as pa

        return {
            name: pa.repeat(pa.scalar(value, pa.string()), rows)
            for name, value in self.partitions.items()
            if name in wanted
        }

    def _batches(self, wanted: list[str]) -> Iterator[Any]:
        import pyarrow as pa

        if self.format == "parquet":
            from pyarrow.parquet import ParquetFile

            # pyarrow's default reads all row groups ahead, so memory would grow with the file.
            with ParquetFile(self.file, pre_buffer=False) as file:
                yield from file.iter_batches(_ROWS, columns=wanted)
        elif self.format == "arrow":
            with pa.memory_map(self.file) as source:
                file = pa.ipc.open_file(source)
                for number in range(file.num_record_batches):
                    yield file.get_batch(number).select(wanted)
        else:
            with _csv(self.file, self.header, self.columns, wanted) as reader:
                for batch in reader:  # pyarrow reads all columns if none is wanted, for the number of rows
                    yield pa.record_batch([trimmed(column) for column in batch.columns], names=wanted or self.columns)


def open_tables(files: Iterable[str | os.PathLike[str]], header: tuple[str, ...] | None = None) -> tuple[Table, ...]:
    """Opens files as tables, in their order, those of a folder by name; reads only their headers.

    Raises:
        SpecError: a file is missing, empty, broken or has an unknown format: all such files at once.
    """
    problems = Diagnostics()
    parts = [part for found in _each(parts_of, files, problems) for part in found]
    tables = tuple(_each(lambda part: _open(part, header), parts, problems))
    problems.raise_errors(status=2)
    return tables


def _each(work: Callable[[_Item], _Made], items: Iterable[_Item], problems: Diagnostics) -> Iterator[_Made]:
    """Yields the result for each item; adds the problems of an item that cannot be used."""
    for item in items:
        try:
            yield work(item)
        except SpecError as error:
            problems.items += error.diagnostics


def check_columns(
    tables: Iterable[Table], requirements: Mapping[str, ColumnRequirement], *, scoring: bool = False
) -> None:
    """Raises SpecError if a table lacks required columns: all of them at once, each with its reader.

    Args:
        tables: the tables.
        requirements: the columns that the spec reads.
        scoring: whether a finished run reads the tables; its columns were named when it was trained.
    """
    problems = Diagnostics()
    for table in tables:
        for name, requirement in requirements.items():
            for column in set(table.names_of(name)) - set(table.columns):
                near = suggest(column, table.columns)
                listed = ", ".join(table.columns[:_LISTED]) + ", ..." * (len(table.columns) > _LISTED)
                renamed = "" if scoring or name in table.sources or requirement.use == "key" else (
                    f"; `--column {name}=COLUMN` reads another one, as `column:` (a task: `label:`) in the spec does"
                )  # fmt: skip
                problems.error(
                    "AS702", f"`{table.file}` has no column `{column}`, which {requirement.reader} reads",
                    help=f"did you mean `{near}`? " * bool(near) + f"columns here: {listed}{renamed}",
                )  # fmt: skip
    problems.raise_errors(status=2)


def format_of(file: str | os.PathLike[str]) -> str | None:
    """The format by a file's name: `parquet`, `arrow` or `csv`, which may be compressed; None: another."""
    name = Path(file).name.lower()
    packed = name.endswith(PACKED)
    form = FORMATS.get(Path(name.rpartition(".")[0] if packed else name).suffix)
    return None if packed and form != "csv" else form


def _of_columns(arrays: list[Any]) -> Any:  # noqa: ANN401 - pyarrow comes without types
    """One column made from those of a file; of two, a value is missing if either of them is."""
    if len(arrays) == 1:
        return arrays[0]
    import pyarrow as pa

    absent = missing(arrays[0]) | missing(arrays[1])
    return pa.StructArray.from_arrays(arrays, names=[VALUE, UNTIL], mask=pa.array(absent))


def _open(part: Part, header: tuple[str, ...] | None) -> Table:
    from pyarrow import ArrowException

    file = part.file
    form = format_of(file)
    if form is None:
        endings = ", ".join(FORMATS)
        unusable(
            "AS701",
            f"`{file}` has no known format",
            help=f"its name must end in one of {endings} (or, compressed, .csv.gz)",
        )
    if not is_file(file):
        unusable("AS701", f"there is no file `{file}`")
    try:
        columns = _names(file, form, header)
    except (ArrowException, OSError, UnicodeDecodeError) as error:  # the last one for names that are not in UTF-8
        _unreadable(file, error)
    if len(set(columns)) < len(columns):
        twice = next(column for column in columns if columns.count(column) > 1)
        unusable("AS701", f"`{file}` has two columns `{twice}`", help="rename one of them")
    partitions = {name: value for name, value in part.partitions.items() if name not in columns}
    return Table(file, form, (*columns, *partitions), header, partitions)


def _names(file: str, form: str, header: tuple[str, ...] | None) -> tuple[str, ...]:
    """The columns of a file."""
    import pyarrow as pa

    if form == "parquet":
        from pyarrow.parquet import ParquetFile

        with ParquetFile(file) as parquet:
            return tuple(parquet.schema_arrow.names)
    if form == "arrow":
        with pa.memory_map(file) as source:
            return tuple(pa.ipc.open_file(source).schema.names)
    with _csv(file, header) as reader:
        return tuple(reader.schema.names)


def _csv(
    file: str, header: tuple[str, ...] | None, columns: Iterable[str] = (), wanted: list[str] | None = None
) -> Any:  # noqa: ANN401 - pyarrow comes without types
    """A reader of a CSV file that returns everything as text; an empty field is a missing value."""
    import pyarrow as pa
    from pyarrow import csv

    tabs = ".tsv" in Path(file).name.lower()
    return csv.open_csv(
        file,
        # Without threads, pyarrow's errors contain the row.
        csv.ReadOptions(use_threads=False, block_size=_BYTES, column_names=header),
        csv.ParseOptions(delimiter="\t" if tabs else ",", newlines_in_values=True),
        csv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.string()), include_columns=wanted,
            strings_can_be_null=True, null_values=["", "NaN", "nan", "null", "NULL"],
        ),
    )  # fmt: skip


def _unreadable(file: str, error: BaseException) -> NoReturn:
    unusable("AS701", f"`{file}` cannot be read: {str(error).strip().rstrip('.')}")
