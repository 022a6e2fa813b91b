"""Sums and means over the processes of a distributed run; in a single process, they change nothing."""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def processes() -> int:
    """The number of processes that train together; 1 if torch.distributed is not initialised."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def total(values: Tensor) -> Tensor:
    """The sum over all processes, without a gradient. A collective call: all processes must make it."""
    summed = values.detach().clone()
    if processes() > 1:
        distributed.all_reduce(summed)
    return summed


def average(values: Tensor) -> Tensor:
    """The mean over all processes, without a gradient. A collective call: all processes must make it."""
    return total(values) / processes()


def local_means(totals: Tensor, counts: Tensor) -> Tensor:
    """Means `[T]` over this process's rows; 0, with zero gradient, if nothing was counted."""
    return totals / torch.where(counts > 0, counts, torch.ones_like(counts))


def means(totals: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Means over the rows of all processes, and whether anything was counted, from this one's sums and counts: `[T]`.

    Every process gets the same values. Gradients are those of this process's rows, scaled so that their average over
    processes (as DistributedDataParallel computes it) is the gradient of the mean over all rows, however unevenly the
    rows of a sample space are distributed. If nothing was counted in any process, the mean is 0.
    """
    if processes() == 1:
        return local_means(totals, counts), counts > 0
    all_totals, all_counts = total(torch.stack([totals, counts]))
    safe = torch.where(all_counts > 0, all_counts, torch.ones_like(all_counts))
    local = totals * (processes() / safe)
    everywhere: Tensor = all_totals / safe
    return local + (everywhere - local).detach(), all_counts > 0
