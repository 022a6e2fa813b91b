"""Kinds of balance: how the losses of the tasks become one. torch is imported inside, so that validating needs none."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from archspec.contract import Settings, balance

if TYPE_CHECKING:
    from torch import Tensor, nn


@balance("sum")
class Sum(Settings):
    """The tasks' losses, each times its `weight`, add up."""

    formula: ClassVar[str] = "L = sum_k w_k L_k"

    def build(self, tasks: tuple[str, ...]) -> nn.Module:
        """A module without weights: weighted losses `[T]` -> `[]`."""
        from torch import nn

        class Total(nn.Module):
            def forward(self, losses: Tensor) -> Tensor:
                return losses.sum()

        return Total()


@balance("uncertainty")
class Uncertainty(Settings):
    """Learned log variances weigh the losses (Kendall et al., 1705.07115, eq. 10, with s_k = log sigma_k^2)."""

    formula: ClassVar[str] = "L = sum_k (exp(-s_k) w_k L_k + s_k) / 2"

    def build(self, tasks: tuple[str, ...]) -> nn.Module:
        """A module with the parameter `log_variances` `[T]`: weighted losses `[T]` -> `[]`."""
        import torch
        from torch import nn

        class Uncertain(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.log_variances = nn.Parameter(torch.zeros(len(tasks)))

            def forward(self, losses: Tensor) -> Tensor:
                return ((-self.log_variances).exp() * losses + self.log_variances).sum() / 2

        return Uncertain()
