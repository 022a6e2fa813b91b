"""Clipping of gradients, of which some are sparse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn.utils import get_total_norm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn


def clip(parameters: Iterable[nn.Parameter], largest: float, *, by_value: bool) -> None:
    """Clips gradients as `torch.nn.utils.clip_grad_norm_` and `clip_grad_value_` do, which do not take sparse ones.

    A sparse gradient is coalesced first: the rows that occur several times in a batch are added up.

    Args:
        parameters: with dense, sparse or no gradients.
        largest: the largest norm of all gradients together; or, by value, the largest magnitude of an entry.
        by_value: clip each entry instead of the norm.
    """
    entries = [_entries(parameter) for parameter in parameters if parameter.grad is not None]
    if by_value:
        for values in entries:
            values.clamp_(-largest, largest)
        return
    norm = get_total_norm(entries)
    factor = (largest / (norm + 1e-6)).clamp(max=1.0)  # the same small number as torch's
    for values in entries:
        values.mul_(factor.to(values.device))


def _entries(parameter: nn.Parameter) -> Tensor:
    """The entries of a gradient; writing to them changes the gradient."""
    gradient = parameter.grad
    assert gradient is not None
    if not gradient.is_sparse:
        return gradient
    parameter.grad = gradient.coalesce()
    return parameter.grad._values()  # noqa: SLF001 - the public values() does not share memory for autograd's sake
