"""Batches of encoded rows: shuffled for training, in order for validation; each process gets its share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from torch import distributed

from archspec.data.faults import Bad, Faults
from archspec.data.memory import Data, tables_of
from archspec.data.rows import Rows, as_batch
from archspec.data.tables import check_columns
from archspec.data.types import check_types

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from archspec.data.encoder import Columns, Encoder
    from archspec.data.encodings import Encoded
    from archspec.data.faults import Fault
    from archspec.data.requirements import ColumnRequirement
    from archspec.data.tables import Chunk, Table
    from archspec.data.values import Mask

ROWS_AT_ONCE: Final = 8192
"""Rows of a batch for inference, unless another number is requested."""
WINDOW: Final = 16
"""Rows are shuffled within windows of this many blocks: the processes hold about a million rows at once."""


class Epochs:
    """Batches of one epoch after another, in an order that depends only on the seed and the epoch.

    `state_dict()` is the position of the iteration, and `load_state_dict()` continues from there.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.epoch = 0
        self.position = 0

    def __len__(self) -> int:
        """Batches of an epoch; the same in every epoch."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Yields the remaining batches of the current epoch; if there are none, those of the next one."""
        if self.position == len(self):
            self.epoch, self.position = self.epoch + 1, 0
        for batch in self._batches(self.position):
            self.position += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The epoch, and the number of its batches that were already returned."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continues where `state_dict()` was called."""
        self.epoch, self.position = state["epoch"], state["position"]

    def random(self) -> np.random.Generator:
        """The source of the current epoch's order."""
        return np.random.default_rng((self.seed, self.epoch))

    def _batches(self, skipped: int) -> Iterator[dict[str, Tensor]]:
        """The batches of the current epoch except the first `skipped`."""
        raise NotImplementedError


class ShuffledBatches(Epochs):
    """Batches of shuffled rows; each iteration is one epoch, and there is no last one.

    Blocks are shuffled, and then the rows within each window of blocks. The incomplete last batch is dropped, unless it
    is the only one; which rows are in it changes every epoch. Each process copies only its own rows from the
    memory-mapped blocks, and makes the same number of steps.

    Args:
        rows: the rows to shuffle.
        size: rows of a batch, in all processes together.
        seed: seed of the order.
    """

    def __init__(self, rows: Rows, size: int, seed: int) -> None:
        super().__init__(seed)
        self.rows, self.size = rows, min(size, len(rows))

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self.rows) // self.size

    def _batches(self, skipped: int) -> Iterator[dict[str, Tensor]]:
        """The batches of the epoch except the first `skipped`; windows that contain only those are not read."""
        random, (rank, processes) = self.random(), process()
        starts = np.cumsum([0, *self.rows.blocks])
        order = random.permutation(len(self.rows.blocks))
        own = len(range(rank, self.size, processes))  # rows of this process in each batch
        left: dict[str, Encoded] = {}
        passed, end = 0, len(self) * self.size
        for start in range(0, len(order), WINDOW):
            blocks = order[start : start + WINDOW]
            count = sum(self.rows.blocks[block] for block in blocks)
            places = random.permutation(count)
            numbers = np.arange(max(passed, skipped * self.size), min(passed + count, end))  # in the epoch's order
            mine = numbers[numbers % self.size % processes == rank] - passed
            passed += count
            if not len(numbers):
                continue
            rows = np.concatenate([np.arange(starts[block], starts[block + 1]) for block in blocks])
            held = self.rows.take(rows[places[mine]], left)
            complete = min(passed, end) // self.size - skipped
            for first in range(0, complete * own, own) if own else [0] * complete:
                yield as_batch(held, slice(first, first + own))
            left = {name: values[complete * own :].copy() for name, values in held.items()}
            skipped += complete


class OrderedBatches:
    """All rows once, in order, block by block; each process gets its share of every batch.

    Args:
        rows: the rows.
        size: rows of a batch, in all processes together.
    """

    def __init__(self, rows: Rows, size: int) -> None:
        self.rows, self.size = rows, size

    def __len__(self) -> int:
        """The number of batches."""
        return sum(-(-count // self.size) for count in self.rows.blocks)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """The batches; the last one of a block may be smaller."""
        for block, count in enumerate(self.rows.blocks):
            columns = self.rows.read([block])
            for first in range(0, count, self.size):
                yield as_batch({name: values[first : first + self.size] for name, values in columns.items()}, _share())


class Batch(dict[str, "Tensor"]):
    """Columns by name, as a model reads them; `file` and `rows` are attributes, not columns.

    Args:
        columns: tensors by name.
        file: the file with the rows.
        rows: the rows' numbers in the file, `[B]`, counting from 0 without the header line.
    """

    def __init__(
        self,
        columns: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]] = (),
        file: str = "",
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        super().__init__(columns)
        self.file = file
        self.rows = np.empty(0, dtype=np.int64) if rows is None else rows


def table_batches(
    files: Data, encoder: Encoder, *, header: tuple[str, ...] | None = None, bad: Bad = "stop"
) -> Iterator[Batch]:
    """The rows of tables as batches, in order and encoded like the rows of the run; writes nothing.

    Args:
        files: a path, a pattern, a folder of parts, or several of them; or a table in memory, see `tables_of`.
        encoder: the encoder of the columns.
        header: column names of CSV files without a header line.
        bad: `stop` raises an error if a row has a value that does not fit, `skip` skips the row; each batch's `rows`
            are the numbers of the remaining rows.

    Raises:
        SpecError: files that cannot be read, columns that are missing or of a wrong type, values that do not fit.
    """
    for encoded in encoded_chunks(tables_of(files, header), encoder):
        faults = Faults()
        faults.add(encoded.faults)
        faults.report(bad, scoring=True)
        if encoded.good.any():
            rows = np.flatnonzero(encoded.good)
            yield Batch(as_batch(encoded.columns, rows), encoded.chunk.file, encoded.chunk.first + rows)


@dataclass(frozen=True, slots=True)
class EncodedChunk:
    """Consecutive rows of a table, as read and encoded. `good` are the rows `[N]` that fit."""

    chunk: Chunk
    columns: Columns
    good: Mask
    faults: list[Fault]


def encoded_chunks(
    tables: tuple[Table, ...], encoder: Encoder, further: Mapping[str, ColumnRequirement] | None = None
) -> Iterator[EncodedChunk]:
    """All rows of tables, in order, chunk by chunk, including those that do not fit.

    Args:
        tables: the tables.
        encoder: the encoder of the columns.
        further: columns that are read without encoding, each with its reader.

    Raises:
        SpecError: files that cannot be read, columns that are missing or of a wrong type.
    """
    further = further or {}
    tables = tuple(replace(table, sources=encoder.sources, none=encoder.none) for table in tables)
    check_columns(tables, {**further, **encoder.requirements}, scoring=True)
    check_types(tables, encoder.requirements, encoder.timed())
    encoder = encoder.for_tables(tables)
    for table in tables:
        for chunk in table.chunks({*encoder.requirements, *further}):
            yield EncodedChunk(chunk, *encoder.encode(chunk))


def process() -> tuple[int, int]:
    """The number of this process, from 0, and how many there are."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def _share() -> slice:
    """The rows of a batch that belong to this process."""
    rank, count = process()
    return slice(rank, None, count)
