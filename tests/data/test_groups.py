"""Batches of whole groups: each group in one batch, every row once an epoch, resumed exactly."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archspec.data import groups
from archspec.data.groups import GroupedBatches, Groups, OrderedGroups, Packing
from archspec.data.rows import Rows, written_rows
from archspec.program.columns import NO_GROUP

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from torch import Tensor

COUNT = 403


@pytest.fixture
def keys() -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Groups of 1 to 12 rows, scattered over the file; one of 40 rows."""
    random = np.random.default_rng(0)
    found = np.concatenate([np.repeat(np.arange(60) * 10**16, random.integers(1, 12, 60))[: COUNT - 40], [7] * 40])
    found = np.concatenate([found, 1000 + np.arange(COUNT - len(found))])
    return random.permutation(found)


@pytest.fixture
def rows(keys: np.ndarray[tuple[int], np.dtype[np.int64]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rows:
    """The rows in blocks of 50: the number of each, and its group."""
    monkeypatch.setattr("archspec.data.rows.BLOCK", 50)
    with written_rows(tmp_path / "rows.arrow", {}) as writer:
        writer.add({"row": np.arange(COUNT), "group": keys, "pair": np.arange(2.0 * COUNT).reshape(-1, 2)})
    return Rows(tmp_path / "rows.arrow")


def numbers(batches: Iterable[Mapping[str, Tensor]]) -> list[list[int]]:
    """The row numbers of each batch of an epoch."""
    return [batch["row"].tolist() for batch in batches]


def test_some_rows_are_read_from_their_blocks(rows: Rows) -> None:
    """Any rows in any order, also twice, and none of them."""
    chosen = np.array([402, 0, 51, 49, 402, 50])
    found = rows.take(chosen)
    assert found["row"].tolist() == chosen.tolist()
    assert found["pair"].tolist() == [[2.0 * row, 2.0 * row + 1] for row in chosen]
    assert rows.take(chosen[:0])["pair"].shape == (0, 2)
    assert rows.column("row").tolist() == list(range(COUNT))


@pytest.mark.parametrize("size", [5, 12, 32, 40, 100, 1000])
def test_each_group_is_in_one_batch(rows: Rows, size: int) -> None:
    """Every row is there once an epoch, each group in one batch, and a larger group is a batch of its own."""
    batches = GroupedBatches(rows, "group", size, seed=0)
    keys = rows.column("group")
    sizes = {int(key): int((keys == key).sum()) for key in np.unique(keys)}
    small = [count for count in sizes.values() if count <= size]
    stretch = sum(small) / (len(batches) - len(sizes) + len(small))
    first, second = numbers(batches), numbers(batches)
    assert first != second
    assert first == numbers(GroupedBatches(rows, "group", size, seed=0))
    assert first != numbers(GroupedBatches(rows, "group", size, seed=1))
    for epoch in (first, second):
        assert len(epoch) == len(batches)
        assert sorted(row for batch in epoch for row in batch) == list(range(COUNT))
        held = [set(keys[batch].tolist()) for batch in epoch]
        assert sum(map(len, held)) == len(set(keys.tolist()))
        for batch, inside in zip(epoch, held, strict=True):
            if max(sizes[key] for key in inside) > size:
                assert len(inside) == 1
            else:
                assert 0 < len(batch) < stretch + max(small)


def test_groups_meet_others_in_each_epoch(rows: Rows) -> None:
    """Groups are shuffled, not batches: those in a batch with a given one change, and so does the order of batches."""
    batches = GroupedBatches(rows, "group", 32, seed=0)
    keys = rows.column("group")
    beside = [
        next(set(keys[batch].tolist()) for batch in numbers(batches) if 0 in keys[batch])
        for _ in range(4)
    ]  # fmt: skip
    assert all(len(one & other) < len(one) / 2 for one, other in pairwise(beside))


@pytest.mark.parametrize("size", [5, 32, 1000])
def test_going_on_from_any_batch(rows: Rows, size: int) -> None:
    """An iteration that is resumed gives the remaining batches, and then the next epoch."""
    whole = GroupedBatches(rows, "group", size, seed=3)
    expected = [*numbers(whole), *numbers(whole)]
    for stop in range(0, len(whole) + 1, max(len(whole) // 5, 1)):
        resumed = GroupedBatches(rows, "group", size, seed=3)
        resumed.load_state_dict({"epoch": 0, "position": stop})
        given = numbers(resumed)
        assert given == (expected[stop : len(whole)] if stop < len(whole) else expected[len(whole) :])


def test_groups_in_order(rows: Rows) -> None:
    """Validation has every row once, in the order of the groups' keys and of the file."""
    batches = OrderedGroups(rows, "group", 32)
    found = numbers(batches)
    assert len(found) == len(batches)
    keys = rows.column("group")
    flat = [row for batch in found for row in batch if keys[row] != 7]
    assert flat == sorted(flat, key=lambda row: (keys[row], row))
    assert sorted(row for batch in found for row in batch) == list(range(COUNT))


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_get_whole_groups(rows: Rows, monkeypatch: pytest.MonkeyPatch, processes: int) -> None:
    """Together the processes have the rows of one process; each group is in one of them; loads are similar."""
    alone = numbers(GroupedBatches(rows, "group", 60, seed=0))
    shares = []
    for rank in range(processes):
        monkeypatch.setattr(groups, "process", lambda rank=rank: (rank, processes))
        shares.append(numbers(GroupedBatches(rows, "group", 60, seed=0)))
    keys = rows.column("group")
    for whole, *parts in zip(alone, *shares, strict=True):
        assert [row for part in parts for row in part] == whole
        held = [set(keys[part].tolist()) for part in parts]
        assert sum(map(len, held)) == len(set(keys[whole].tolist()))
        if 7 not in set(keys[whole].tolist()):
            assert max(map(len, parts)) - min(map(len, parts)) < 2 * 12


def test_rows_without_a_group_are_alone() -> None:
    """A row without a group need not be with any other."""
    found = Groups(np.array([NO_GROUP, 5, NO_GROUP, 5]))
    assert sorted(found.sizes.tolist()) == [1, 1, 2]
    assert found.text("request", 512) == "3 groups of `request`, with 1 to 2 rows"
    assert Groups(np.array([5, 4, 5, 4])).text("request", 512) == "2 groups of `request`, with 2 rows each"


def test_groups_in_words() -> None:
    """The report of the data names groups that fill more than a batch."""
    assert Groups(np.repeat([1, 2], [30, 3])).text("u", 8) == (
        "2 groups of `u`, with 3 to 30 rows; 1 has more rows than `--batch 8`, and is a batch of its own"
    )


@given(st.lists(st.integers(1, 20), min_size=1, max_size=40), st.integers(1, 30), st.integers(0, 9))
def test_no_batch_is_empty(sizes: list[int], size: int, seed: int) -> None:
    """Whatever the sizes of groups, each batch has one, each group is in one batch, and the number never changes."""
    packing = Packing(Groups(np.repeat(np.arange(len(sizes)), sizes)), size)
    for random in (None, np.random.default_rng(seed), np.random.default_rng(seed + 1)):
        found = [batch.tolist() for batch in packing.batches(random)]
        assert len(found) == len(packing)
        assert all(found)
        assert sorted(group for batch in found for group in batch) == list(range(len(sizes)))
