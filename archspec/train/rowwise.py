"""Row-wise Adagrad: an optimizer of embedding tables with one number of state per row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from torch.optim import Optimizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

STATE: Final = "sum"
"""The name of a table's state: the sums of its rows' mean squared gradients."""


class RowWiseAdagrad(Optimizer):
    """Adagrad with one accumulator per row, as in FBGEMM and TorchRec (Naumov et al., 1906.00091).

    With g the gradient of a row of width d:

        sum <- sum + mean(g^2)
        row <- row - lr * g / (sqrt(sum) + eps)

    Gradients may be dense or sparse. A row that the batch does not look up has the gradient 0, so neither the row nor
    its sum changes. The state of a parameter `[..., rows, d]` is `[..., rows]`: 1/d of Adagrad's, 1/2d of Adam's.

    Args:
        params: parameters or groups of parameters, each with at least two dimensions.
        lr: learning rate.
        eps: keeps the divisor of a row positive.

    Raises:
        ValueError: a learning rate or an eps that is not positive, or a parameter without rows.
    """

    def __init__(self, params: Any, lr: float = 1e-2, eps: float = 1e-8) -> None:  # noqa: ANN401 - as in torch
        if not lr > 0 or not eps > 0:
            raise ValueError(f"lr and eps must be positive, not {lr} and {eps}")
        super().__init__(params, {"lr": lr, "eps": eps})
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.dim() < 2:  # noqa: PLR2004 - rows and their width
                    raise ValueError(f"row-wise Adagrad needs rows: a parameter has the shape {list(parameter.shape)}")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override] # as in torch
        """Updates the rows that have gradients; returns the closure's loss, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group["lr"], group["eps"])
        return loss

    def _update(self, parameter: Tensor, gradient: Tensor, rate: float, eps: float) -> None:
        state = self.state[parameter]
        if not state:
            state[STATE] = parameter.new_zeros(parameter.shape[:-1])
        sums: Tensor = state[STATE]
        if gradient.is_sparse:
            gradient = gradient.coalesce()
            at, rows = tuple(gradient.indices()), gradient.values()
        elif gradient.is_cpu:  # reading the gradient once is a fifth of the work of updating every row
            at = torch.linalg.vector_norm(gradient, dim=-1).nonzero(as_tuple=True)
            rows = gradient[at]
        else:
            sums.add_(gradient.square().mean(-1))
            parameter.addcdiv_(gradient, (sums.sqrt() + eps).unsqueeze(-1), value=-rate)
            return
        sums[at] += rows.square().mean(-1)
        parameter[at] -= rate * rows / (sums[at].sqrt() + eps).unsqueeze(-1)
