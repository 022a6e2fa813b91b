"""Writes tables batch by batch, in the formats that can also be read: Parquet, CSV (also compressed) and Feather."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from archspec.data.tables import FORMATS, PACKED, format_of
from archspec.diagnostics import unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PACKED: Final = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}


def check_writable(file: str) -> None:
    """Raises SpecError AS802 if a file's name does not end in a format that a table can be written in."""
    if format_of(file) is None:
        endings = ", ".join(FORMATS)
        unusable(
            "AS802", f"a table cannot be written as `{Path(file).name}`: its ending is not a known format",
            help=f"use {endings} (CSV also compressed: .csv.gz); `-` writes CSV to standard output",
        )  # fmt: skip


@contextmanager
def table_writer(sink: IO[bytes], name: str, schema: Any) -> Iterator[Callable[[Any], None]]:  # noqa: ANN401 - pyarrow comes without types
    """A function that writes record batches of a schema to an open file.

    Args:
        sink: the file.
        name: its name, whose ending is the format.
        schema: the schema of all batches. In CSV, a list is written as text, `[0.25, 0.75]`.
    """
    import pyarrow as pa

    match format_of(name):
        case "parquet":
            from pyarrow.parquet import ParquetWriter

            with ParquetWriter(sink, schema) as writer:
                yield writer.write_batch
        case "arrow":
            options = pa.ipc.IpcWriteOptions(compression="lz4")  # like `pyarrow.feather.write_feather`
            with pa.ipc.new_file(sink, schema, options=options) as writer:
                yield writer.write_batch
        case _:
            with _compressed(sink, name) as packed, _csv_writer(packed, name, schema) as writer:
                yield lambda batch: writer.write_batch(_as_text(batch))


class _Sink:
    """An open file that pyarrow does not close: its owner still flushes and renames it."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self.write, self.flush, self.tell = file.write, file.flush, file.tell

    def close(self) -> None:
        """Does nothing."""


def _compressed(sink: IO[bytes], name: str) -> Any:  # noqa: ANN401 - pyarrow comes without types
    import pyarrow as pa

    ending = Path(name.lower()).suffix
    whole = pa.PythonFile(_Sink(sink), mode="w")
    return pa.CompressedOutputStream(whole, _PACKED[ending]) if ending in PACKED else whole


def _csv_writer(sink: Any, name: str, schema: Any) -> Any:  # noqa: ANN401 - pyarrow comes without types
    import pyarrow as pa
    from pyarrow import csv

    flat = pa.schema([(field.name, pa.string() if _nested(field.type) else field.type) for field in schema])
    return csv.CSVWriter(sink, flat, write_options=csv.WriteOptions(delimiter="\t" if ".tsv" in name.lower() else ","))


def _as_text(batch: Any) -> Any:  # noqa: ANN401 - pyarrow comes without types
    """The batch with lists as texts."""
    import pyarrow as pa

    columns = [
        pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string())
        if _nested(column.type)
        else column
        for column in batch.columns
    ]
    return pa.record_batch(columns, names=batch.schema.names)


def _nested(kind: Any) -> bool:  # noqa: ANN401 - pyarrow comes without types
    import pyarrow as pa

    return bool(pa.types.is_nested(kind))
