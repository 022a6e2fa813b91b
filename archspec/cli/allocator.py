"""How the C library keeps memory while `archspec train` runs; a library must not decide this for its users."""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_TRIM: Final = -1
_MMAP: Final = -3
"""`M_TRIM_THRESHOLD` and `M_MMAP_THRESHOLD` of `mallopt(3)`."""
LARGEST_KEPT: Final = (2**30, 2**25)
"""Bytes of the largest block that is kept for the next training step, and the most that old versions can keep."""
MOST_KEPT: Final = 2**31 - 1
"""Bytes that are kept at the end of the heap; `mallopt` takes no larger number."""


def keep_large_blocks() -> bool:
    """Lets glibc keep freed blocks of up to 1 GiB; returns whether the C library takes the order.

    By default it returns every block of more than 32 MiB to the kernel, so each training step on thousands of rows
    faults in its activations and gradients again: 760 MiB and 23 % of the time for 8 tasks and 8,192 rows.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt: Callable[[int, int], int] | None = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    return any(mallopt(_MMAP, size) == 1 for size in LARGEST_KEPT) and mallopt(_TRIM, MOST_KEPT) == 1
