"""The number of threads of a run."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def using(threads: int | None) -> Iterator[None]:
    """Sets the number of threads for computing and reading, also for processes that Lightning starts."""
    if threads is None:
        yield
        return
    import pyarrow as pa

    before, reading, variable = torch.get_num_threads(), pa.cpu_count(), os.environ.get("OMP_NUM_THREADS")
    try:
        torch.set_num_threads(threads)
        pa.set_cpu_count(threads)
        os.environ["OMP_NUM_THREADS"] = str(threads)
        yield
    finally:
        torch.set_num_threads(before)
        pa.set_cpu_count(reading)
        if variable is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = variable
