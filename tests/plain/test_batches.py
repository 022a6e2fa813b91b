"""Random batches: every kind of input is in range, padded, shared where required, and reproducible."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .batches import batch_for

if TYPE_CHECKING:
    from .blocks import Fields

INPUTS: Fields = {
    "stats": {"kind": "dense", "dim": 3},
    "item": {"kind": "sparse", "vocab": 4, "dim": 2},
    "other": {"kind": "sparse", "table": "item"},
    "narrow": {"kind": "sparse", "vocab": 2, "dim": 2, "column": "other"},
    "history": {"kind": "sequence", "table": "item", "pool": "mean", "length": 6},
    "scene": {"kind": "domain", "values": ["a", "b", "c"]},
}


def test_each_column_has_the_shape_and_type_of_its_kind() -> None:
    """Dense columns have the requested type, ids are int64, and one column serves all inputs that name it."""
    batch = batch_for(INPUTS, 50, 0, torch.float64)
    assert {column: (tuple(values.shape), values.dtype) for column, values in batch.items()} == {
        "stats": ((50, 3), torch.float64),
        "item": ((50,), torch.int64),
        "other": ((50,), torch.int64),
        "history": ((50, 6), torch.int64),
        "scene": ((50,), torch.int64),
    }


def test_ids_use_the_whole_range_and_no_more() -> None:
    """Ids cover the whole vocabulary (also of a shared table); a shared column fits the smallest one."""
    batch = batch_for(INPUTS, 200)
    ranges = {column: set(batch[column].flatten().tolist()) for column in ("item", "other", "history", "scene")}
    assert ranges == {"item": {0, 1, 2, 3}, "other": {0, 1}, "history": {-1, 0, 1, 2, 3}, "scene": {0, 1, 2}}


def test_sequences_are_padded_behind_from_full_to_empty() -> None:
    """The first row is full, the last is empty, and no id follows padding."""
    history = batch_for(INPUTS, 20)["history"]
    valid = history >= 0
    assert valid[0].all()
    assert not valid[-1].any()
    assert not (valid[:, 1:] & ~valid[:, :-1]).any()


def test_a_seed_gives_one_batch() -> None:
    """The same seed gives the same batch, another seed a different one; a batch may be empty."""
    first, again, other = batch_for(INPUTS, 9, 1), batch_for(INPUTS, 9, 1), batch_for(INPUTS, 9, 2)
    assert all(first[column].equal(again[column]) for column in first)
    assert not first["stats"].equal(other["stats"])
    assert all(len(values) == 0 for values in batch_for(INPUTS, 0).values())
