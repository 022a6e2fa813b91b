"""Random batches for any model, made from the canonical `inputs` section of its spec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping


def batch_for(
    inputs: Mapping[str, Mapping[str, Any]], size: int, seed: int = 0, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """Make a batch of `size` rows with one tensor per column; dense columns are of `dtype`, ids int64.

    Sequences have mixed lengths and are padded with -1 at the end; with two or more rows, the last is empty and the
    first is full. Inputs that share a column share its tensor, whose ids fit the smallest vocabulary.
    """
    generator = torch.Generator().manual_seed(seed)
    batch: dict[str, Tensor] = {}
    for name, field in inputs.items():
        column = field.get("column") or name
        if column not in batch:
            limit = min((_ids(inputs, other) for other in _readers(inputs, column)), default=0)
            batch[column] = _column(field, limit, size, generator, dtype)
        if field.get("weights") and field["weights"] not in batch:
            batch[field["weights"]] = torch.rand(batch[column].shape, generator=generator, dtype=dtype)
    return batch


def _readers(inputs: Mapping[str, Mapping[str, Any]], column: str) -> list[str]:
    """Names of the inputs that read ids from a column."""
    return [
        name
        for name, field in inputs.items()
        if (field.get("column") or name) == column and field["kind"] in ("sparse", "sequence", "domain")
    ]


def _ids(inputs: Mapping[str, Mapping[str, Any]], name: str) -> int:
    """The number of different ids of an input: its own vocabulary or that of the table it shares."""
    field = inputs[name]
    if field["kind"] == "domain":
        return len(field["values"])
    owner = field.get("table")
    return int(inputs[owner]["vocab"] if owner else field["vocab"])


def _column(field: Mapping[str, Any], ids: int, size: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """One column: `[B, dim]` for dense, `[B]` for a number, `[B, length]` for a sequence, `[B]` for an id."""
    if field["kind"] == "dense":
        return torch.randn(size, field["dim"], generator=generator, dtype=dtype)
    if field["kind"] == "numeric":
        return torch.randn(size, generator=generator, dtype=dtype)
    if field["kind"] != "sequence":
        return torch.randint(ids, (size,), generator=generator)
    length = field.get("length") or 5
    values = torch.randint(ids, (size, length), generator=generator)
    lengths = torch.randint(1, length + 1, (size, 1), generator=generator)
    if size > 1:
        lengths[0] = length
        lengths[-1] = 0
    return values.masked_fill(torch.arange(length) >= lengths, -1)
