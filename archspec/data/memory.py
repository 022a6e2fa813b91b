"""Tables in memory: a dict of columns, an Arrow table, or a data frame, read like a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from archspec.data.parts import Name, data_files
from archspec.data.tables import Table, open_tables
from archspec.diagnostics import unusable

if TYPE_CHECKING:
    from collections.abc import Iterator

Data = Name | Iterable[Name] | Mapping[str, Any] | Any
"""Rows: a path, a pattern, a folder, or several; or a table in memory."""
SHOWN: Final = "data in memory"
"""The name of a table without a file, in messages."""
_ROWS: Final = 65_536


@dataclass(frozen=True, slots=True)
class MemoryTable(Table):
    """A table in memory."""

    content: Any = None
    """An Arrow table."""

    def _batches(self, wanted: list[str]) -> Iterator[Any]:
        """The wanted columns; rows without any column still count."""
        yield from self.content.select(wanted).to_batches(_ROWS)


def tables_of(data: Data, header: tuple[str, ...] | None = None) -> tuple[Table, ...]:
    """The tables of files or of data in memory.

    Args:
        data: a path, a pattern, a folder of parts, or several of them; or a dict of columns (lists, arrays or tensors),
            an Arrow table or record batch, or a data frame that Arrow can read, such as those of pandas and Polars.
        header: column names of CSV files without a header line.

    Raises:
        SpecError: files that cannot be read; data in memory that is not a table (AS801).
    """
    if isinstance(data, Mapping):
        return (_memory_table(_from_columns(data)),)
    if not isinstance(data, str | os.PathLike) and (hasattr(data, "__arrow_c_stream__") or hasattr(data, "schema")):
        return (_memory_table(_from_arrow(data)),)
    if not isinstance(data, str | os.PathLike | Iterable):
        unusable(
            "AS801", f"a `{type(data).__name__}` is not a table",
            help="pass files, a dict of lists, an Arrow table or a data frame",
        )  # fmt: skip
    return open_tables(data_files(data), header)


def _memory_table(table: Any) -> MemoryTable:  # noqa: ANN401 - pyarrow comes without types
    names = tuple(table.schema.names)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        unusable("AS801", f"{SHOWN} has two columns `{twice}`", help="rename one of them")
    return MemoryTable(SHOWN, "memory", names, content=table)


def _from_arrow(data: Any) -> Any:  # noqa: ANN401 - pyarrow comes without types
    import pyarrow as pa

    try:
        return pa.table(data)
    except (pa.ArrowException, TypeError, ValueError) as error:
        unusable("AS801", f"{SHOWN} cannot be read: {_first_line(error)}", help="pass an Arrow table")


def _from_columns(columns: Mapping[str, Any]) -> Any:  # noqa: ANN401 - pyarrow comes without types
    import pyarrow as pa

    arrays = {name: _array(name, values) for name, values in columns.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len({*lengths.values()}) > 1:
        listed = ", ".join(f"`{name}` {length}" for name, length in lengths.items())
        unusable(
            "AS801",
            f"the columns in memory have different numbers of rows: {listed}",
            help="pass one value for each row",
        )
    return pa.table(arrays)


def _array(name: str, values: Any) -> Any:  # noqa: ANN401 - whatever a caller passes
    import numpy as np
    import pyarrow as pa

    if isinstance(values, str) or not hasattr(values, "__len__"):
        unusable(
            "AS801", f"column `{name}` in memory is a `{type(values).__name__}`, not a list with one value per row",
            help=f"for one row: `{{{name!r}: [{values!r}]}}`",
        )  # fmt: skip
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    try:
        if hasattr(values, "__array__"):
            array = np.asarray(values)
            return pa.array(array if array.ndim == 1 else list(array))
        return pa.array(values)
    except (pa.ArrowException, TypeError, ValueError) as error:
        unusable(
            "AS801", f"column `{name}` in memory cannot be read: {_first_line(error)}",
            help="pass values of one type, and None for a missing value",
        )  # fmt: skip


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
