"""Batches of whole groups: all rows with one value in a column, such as those of a request, are in the same batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from archspec.data.batches import Epochs, process
from archspec.data.rows import as_batch
from archspec.program.columns import NO_GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from archspec.data.rows import Rows


class Groups:
    """Which rows belong to which group. A row without a group is a group of its own.

    Keeps 8 bytes per row and 16 per group; making it takes another 16 bytes per row for a moment.

    Args:
        keys: the group of each row, int64 `[N]`.
    """

    def __init__(self, keys: NDArray[np.int64]) -> None:
        self.order = np.argsort(keys, kind="stable")
        """The rows, group by group; those of a group in their own order."""
        ordered = keys[self.order]
        first = np.ones(len(keys), dtype=np.bool_)
        first[1:] = (ordered[1:] != ordered[:-1]) | (ordered[1:] == NO_GROUP)
        self.starts = np.flatnonzero(first)
        """Where each group begins in `order`."""
        self.sizes = np.diff(self.starts, append=len(keys))
        """Rows of each group."""

    def __len__(self) -> int:
        """The number of groups."""
        return len(self.sizes)

    def rows(self, groups: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of some groups, one group after another."""
        sizes = self.sizes[groups]
        within = np.arange(sizes.sum()) - np.repeat(sizes.cumsum() - sizes, sizes)
        found: NDArray[np.int64] = self.order[np.repeat(self.starts[groups], sizes) + within]
        return found

    def text(self, column: str, size: int) -> str:
        """The groups in words, for batches of `size` rows."""
        sizes, larger = self.sizes, int((self.sizes > size).sum())
        least, most = int(sizes.min()), int(sizes.max())
        rows = f"{least:,} to {most:,} rows" if least < most else f"{most:,} row{'s' * (most > 1)} each"
        line = f"{len(self):,} groups of `{column}`, with {rows}"
        if larger:
            are = "have more rows than `--batch {}`, and are batches of their own"
            one = "has more rows than `--batch {}`, and is a batch of its own"
            line += f"; {larger:,} " + (are if larger > 1 else one).format(size)
        return line


class Packing:
    """How groups are packed into batches: into as many in every epoch, so that schedules know the number of steps.

    The groups of at most `size` rows are lined up, and the line is cut into stretches of the same number of rows,
    `size` or slightly fewer (more only if a group almost fills a batch, and there are few batches); a batch has the
    groups that end in its stretch. So its rows are as many as those of a stretch, more or less by fewer than the
    largest group has. A group of more than `size` rows is a batch of its own.

    Args:
        groups: the groups.
        size: rows of a batch, on average.
    """

    def __init__(self, groups: Groups, size: int) -> None:
        self.groups = groups
        self.large = np.flatnonzero(groups.sizes > size)
        self.small = np.flatnonzero(groups.sizes <= size)
        rows = int(groups.sizes[self.small].sum())
        # A stretch that is shorter than the largest group could be without the end of any group.
        longest = int(groups.sizes[self.small].max(initial=1))
        self.stretches = min(-(-rows // size), rows // longest)

    def __len__(self) -> int:
        """The number of batches."""
        return self.stretches + len(self.large)

    def batches(self, random: np.random.Generator | None, skipped: int = 0) -> Iterator[NDArray[np.int64]]:
        """The groups of each batch except the first `skipped`.

        Args:
            random: shuffles the groups, and the batches; None: groups in the order of their keys, large ones last.
            skipped: batches to leave out.
        """
        line = self.small if random is None else random.permutation(self.small)
        slots = np.arange(len(self)) if random is None else random.permutation(len(self))
        cuts = _cuts(self.groups.sizes[line], self.stretches)
        for slot in slots[skipped:]:
            stretch = slot < self.stretches
            yield line[cuts[slot] : cuts[slot + 1]] if stretch else self.large[slot - self.stretches, None]


class GroupedBatches(Epochs):
    """Batches of whole groups in shuffled order; each iteration is one epoch, with every row once.

    The order depends only on the seed and the epoch, as for `ShuffledBatches`. Rows are read where they are, so that an
    epoch is fastest if the file fits into memory or the rows of a group are next to each other. Each process gets whole
    groups of every batch, with about the same number of rows; it gets none of a batch with a single group that belongs
    to another process.

    Args:
        rows: the rows.
        column: the column with the group of each row.
        size: rows of a batch on average, in all processes together; see `Packing`.
        seed: seed of the order.
    """

    def __init__(self, rows: Rows, column: str, size: int, seed: int) -> None:
        super().__init__(seed)
        self.rows = rows
        self.packing = Packing(Groups(rows.column(column)), size)

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self.packing)

    def _batches(self, skipped: int) -> Iterator[dict[str, Tensor]]:
        """The batches of the epoch except the first `skipped`, which are not read."""
        for groups in self.packing.batches(self.random(), skipped):
            yield _batch(self.rows, self.packing.groups, groups)


class OrderedGroups:
    """All rows once, as batches of whole groups in the order of their keys; each process gets its share of every batch.

    Args:
        rows: the rows.
        column: the column with the group of each row.
        size: rows of a batch on average, in all processes together; see `Packing`.
    """

    def __init__(self, rows: Rows, column: str, size: int) -> None:
        self.rows = rows
        self.packing = Packing(Groups(rows.column(column)), size)

    def __len__(self) -> int:
        """The number of batches."""
        return len(self.packing)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """The batches."""
        for groups in self.packing.batches(None):
            yield _batch(self.rows, self.packing.groups, groups)


def _batch(rows: Rows, groups: Groups, chosen: NDArray[np.int64]) -> dict[str, Tensor]:
    """The rows of this process's share of some groups."""
    rank, count = process()
    cuts = _cuts(groups.sizes[chosen], count)
    return as_batch(rows.take(groups.rows(chosen[cuts[rank] : cuts[rank + 1]])))


def _cuts(sizes: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Where to cut a line of groups into `count` parts of about as many rows: the places of the cuts, `[count + 1]`."""
    ends = sizes.cumsum()
    part = (ends - 1) * count // max(int(sizes.sum()), 1)
    return np.searchsorted(part, np.arange(count + 1))
