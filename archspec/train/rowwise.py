"""Row-wise Adagrad: an optimizer of embedding tables with one number of state per row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch

from archspec.train.table_optimizer import TableByTable, sparse_rows

if TYPE_CHECKING:
    from torch import Tensor

STATE: Final = "sum"
"""The name of a table's state: the sums of its rows' mean squared gradients."""

_BLOCK: Final = 64
"""Numbers in a block of rows: the fewest whose norm takes no longer than reading them."""


class RowWiseAdagrad(TableByTable):
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

    def update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Updates the rows of a table that have gradients."""
        rate, eps = group["lr"], group["eps"]
        state = self.state[parameter]
        if not state:
            state[STATE] = parameter.new_zeros(parameter.shape[:-1])
        sums: Tensor = state[STATE]
        if parameter.is_contiguous() and (gradient.is_sparse or gradient.is_cpu):
            at, rows = sparse_rows(gradient) if gradient.is_sparse else rows_with_gradients(gradient)
            flat, table = sums.view(-1), parameter.view(-1, parameter.shape[-1])
            total = flat.index_select(0, at) + rows.square().mean(-1)
            flat[at] = total
            table[at] = table.index_select(0, at).addcdiv_(rows, total.sqrt_().add_(eps).unsqueeze(-1), value=-rate)
        else:
            gradient = gradient.to_dense()
            sums.add_(gradient.square().mean(-1))
            parameter.addcdiv_(gradient, (sums.sqrt() + eps).unsqueeze(-1), value=-rate)


def rows_with_gradients(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """The rows that are not zero of a dense gradient `[..., rows, d]`: their indices among all, `[n]`, and `[n, d]`.

    Norms of short rows are slow, and most rows are zero: first come norms of blocks of rows, then those of the rows of
    the blocks that are not zero. On one core, 4 numbers a row: 1.0 instead of 6.5 ns a row.
    """
    gradient = gradient.reshape(-1, gradient.shape[-1])
    count, width = gradient.shape
    size = max(1, _BLOCK // width)  # rows of a block
    whole = count - count % size
    if size > 1:
        blocks = torch.linalg.vector_norm(gradient[:whole].view(-1, size * width), dim=-1).nonzero()
        if 2 * len(blocks) * size < count:
            some = (blocks * size + torch.arange(size, device=gradient.device)).flatten()
            some = torch.cat((some, torch.arange(whole, count, device=gradient.device)))
            rows = gradient.index_select(0, some)
            found = torch.linalg.vector_norm(rows, dim=-1).nonzero().squeeze(-1)
            return some.index_select(0, found), rows.index_select(0, found)
    found = torch.linalg.vector_norm(gradient, dim=-1).nonzero().squeeze(-1)
    return found, gradient.index_select(0, found)
