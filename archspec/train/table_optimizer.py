"""What the optimizers of embedding tables share: how a step goes through the tables, and the rows of a gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


class TableByTable(Optimizer):
    """An optimizer that updates one table after the other."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override] # as in torch
        """Updates the tables that have gradients; returns the closure's loss, if there is one."""
        loss = loss_of(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.update(parameter, parameter.grad, group)
        return loss

    def update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Updates a table `[..., rows, d]` with its gradient, sparse or dense, and the settings of its group."""
        raise NotImplementedError


def loss_of(closure: Callable[[], float] | None) -> float | None:
    """The loss that a closure computes, with gradients; None without one. A step begins with it."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def sparse_rows(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Each row of a sparse gradient `[..., rows, d]` once: its index among all rows, `[n]`, and its sum, `[n, d]`."""
    gradient = gradient.coalesce()
    at, *further = gradient.indices().unbind()
    for size, index in zip(gradient.shape[1:], further, strict=False):
        at = at * size + index
    return at, gradient.values()
