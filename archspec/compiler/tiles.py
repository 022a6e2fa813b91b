"""How many rows inference computes at a time, so that activations fit what the C library keeps from pass to pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from archspec.program import Program, Value

LARGEST: Final = 10 * 2**20
"""Bytes that the widest activation of a tile may take, in float32.

Measured with 2, 8 and 16 tasks, batches of 2,048 and 8,192: activations of 10 MiB, several of which are alive at once,
are reused by the next tile; with 20 MiB, each pass faults in new pages. Smaller tiles were never faster.
"""
LENGTH: Final = 64
"""The assumed length of lists."""


def rows_per_tile(program: Program) -> int | None:
    """The largest power of two whose widest activation takes at most `LARGEST` bytes.

    None if a row may depend on others: a plugin's module may do anything, so it gets the whole batch.
    """
    if program.modules:
        return None
    widest = max((_elements(op.output) for op in program.ops if "B" in op.output.shape), default=1)
    return 1 << (LARGEST // (4 * widest)).bit_length() - 1 if 4 * widest <= LARGEST else 1


def _elements(value: Value) -> int:
    """Numbers per row."""
    count = 1
    for size in value.shape:
        count *= 1 if size == "B" else LENGTH if isinstance(size, str) else size
    return count
