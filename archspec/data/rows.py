"""Encoded rows on disk: a memory-mapped Arrow file of blocks, each of which can be read alone."""

from __future__ import annotations

from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np
import torch

from archspec.files import whole

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from archspec.data.encoder import Columns
    from archspec.data.encodings import Encoded
    from archspec.data.requirements import ColumnRequirement

BLOCK: Final = 65_536
"""Rows of a block; the last one of a file may have fewer."""
_SMALL: Final = 2**31


class RowsWriter:
    """Writes encoded rows, added in chunks of any size, in blocks. `rows` is their number."""

    def __init__(self, file: IO[bytes], requirements: Mapping[str, ColumnRequirement]) -> None:
        self.rows = 0
        self._file, self._requirements = file, requirements
        self._waiting: list[Columns] = []
        self._written = 0
        self._sink: Any = None

    def add(self, columns: Columns) -> None:
        """Adds rows."""
        self._waiting.append(columns)
        self.rows += len(next(iter(columns.values())))
        if self.rows - self._written >= BLOCK:
            self._write(BLOCK)

    def close(self) -> None:
        """Writes the remaining rows."""
        self._write(1)
        if self._sink is not None:
            self._sink.close()

    def _write(self, least: int) -> None:
        """Writes blocks while at least `least` rows are waiting."""
        if not self._waiting:
            return
        held = {name: _joined([part[name] for part in self._waiting]) for name in self._waiting[0]}
        count = self.rows - self._written
        start = 0
        while count - start >= least:
            self._block({name: values[start : start + BLOCK] for name, values in held.items()})
            start = min(start + BLOCK, count)
        self._waiting = [{name: values[start:] for name, values in held.items()}]
        self._written += start

    def _block(self, columns: Columns) -> None:
        import pyarrow as pa

        arrays = [_as_arrow(values, self._requirements.get(name)) for name, values in columns.items()]
        batch = pa.record_batch(arrays, names=list(columns))
        if self._sink is None:
            self._sink = pa.ipc.new_file(self._file, batch.schema)
        self._sink.write_batch(batch)


@contextmanager
def written_rows(path: str | os.PathLike[str], requirements: Mapping[str, ColumnRequirement]) -> Iterator[RowsWriter]:
    """A writer for a file of rows; the file appears only if the block ends without an error."""
    with whole(path, parents=True) as file:
        writer = RowsWriter(file, requirements)
        yield writer
        writer.close()


class Rows:
    """The rows of a file. Blocks are read on request; the file may be larger than memory.

    Raises:
        OSError: the file is missing or is not a file of rows.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        import pyarrow as pa

        self._reader = pa.ipc.open_file(pa.memory_map(str(path)))
        self.blocks = tuple(
            self._reader.get_batch(number).num_rows for number in range(self._reader.num_record_batches)
        )
        """Rows of each block."""
        self._blocks: dict[int, dict[str, Encoded]] = {}

    def __len__(self) -> int:
        """The number of rows."""
        return sum(self.blocks)

    def read(self, blocks: Sequence[int]) -> dict[str, Encoded]:
        """The columns of some blocks, concatenated; without a copy for a single block."""
        batches = [self._reader.get_batch(number) for number in blocks]
        names = batches[0].schema.names
        parts = {name: [_as_numpy(batch.column(place)) for batch in batches] for place, name in enumerate(names)}
        return {name: _joined(arrays) for name, arrays in parts.items()}

    def _mapped(self, block: int) -> dict[str, Encoded]:
        """The columns of a block: arrays in the mapped file, whose making takes longer than reading a few rows."""
        if block not in self._blocks:
            self._blocks[block] = self.read([block])
        return self._blocks[block]

    def column(self, name: str) -> Encoded:
        """A column of all rows, `[N]`, in memory."""
        batches = map(self._reader.get_batch, range(len(self.blocks)))
        return _joined([_as_numpy(batch.column(batch.schema.get_field_index(name))) for batch in batches])

    def take(self, rows: NDArray[np.int64], before: Mapping[str, Encoded] | None = None) -> dict[str, Encoded]:
        """The columns of some rows, in their order, after those in `before`; reads only the blocks with them."""
        started = len(next(iter(before.values()))) if before else 0
        starts = np.cumsum([0, *self.blocks])
        found = np.searchsorted(starts, rows, side="right") - 1
        taken: dict[str, Encoded] = {}
        for block in np.unique(found).tolist() or [0]:
            chosen = np.flatnonzero(found == block)
            inside = rows[chosen] - starts[block]
            for name, values in self._mapped(block).items():
                if name not in taken:
                    taken[name] = np.empty((started + len(rows), *values.shape[1:]), values.dtype)
                    if before:
                        taken[name][:started] = before[name]
                taken[name][started + chosen] = values[inside]
        return taken


def as_batch(columns: Mapping[str, Encoded], rows: slice | NDArray[np.int64] | None = None) -> dict[str, Tensor]:
    """Columns as a batch of tensors, int64 and float32, all rows or some."""
    batch = {}
    for name, values in columns.items():
        chosen = values if rows is None else values[rows]
        batch[name] = torch.from_numpy(chosen.astype(np.float32 if chosen.dtype.kind == "f" else np.int64))
    return batch


def _as_arrow(values: Encoded, requirement: ColumnRequirement | None) -> Any:  # noqa: ANN401 - pyarrow comes without types
    """A column as an Arrow array; for groups (no requirement, or `key`) all bits are kept."""
    import pyarrow as pa

    high = None if requirement is None or requirement.use == "key" else requirement.high
    small = values.dtype.kind == "i" and high is not None and high <= _SMALL
    flat = pa.array((values.astype(np.int32) if small else values).reshape(-1))
    return flat if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _joined(arrays: list[Encoded]) -> Encoded:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _as_numpy(array: Any) -> Encoded:  # noqa: ANN401 - pyarrow comes without types
    import pyarrow as pa

    wide = pa.types.is_fixed_size_list(array.type)
    flat: Encoded = (array.flatten() if wide else array).to_numpy(zero_copy_only=True)
    return flat.reshape(len(array), -1) if wide else flat
