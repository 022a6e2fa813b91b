"""AdamW of embedding tables whose gradients are sparse: every row moves, and no gradient becomes dense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from torch.optim.adamw import adamw

from archspec.train.table_optimizer import TableByTable, sparse_rows

if TYPE_CHECKING:
    from torch import Tensor

_PIECE: Final = 2**20
"""Numbers of a table that are updated at a time: their gradients, 4 MiB in float32, stay in the processor's cache."""


class TableAdamW(TableByTable):
    """`torch.optim.AdamW` (Loshchilov and Hutter, 1711.05101) for tables with sparse gradients.

    A step equals AdamW's with the same gradients as dense tensors: the moments of rows that the batch does not look up
    decay, and move them. (SparseAdam leaves them alone.) On a CPU, a table is updated piece by piece with one buffer
    for the gradients of a piece, so that gradients as large as the tables are neither allocated nor read. The state has
    AdamW's names, so each loads the state of the other.

    Args:
        params: parameters or groups of parameters `[..., rows, d]`, with sparse or dense gradients.
        lr: learning rate.
        betas: how much of the two moments is kept.
        eps: keeps the divisor positive.
        weight_decay: decoupled weight decay.

    Raises:
        ValueError: a setting is out of range.
    """

    def __init__(
        self,
        params: Any,  # noqa: ANN401 - as in torch
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        if not (lr > 0 and eps > 0 and weight_decay >= 0 and all(0 <= beta < 1 for beta in betas)):
            raise ValueError(
                "lr and eps must be positive, weight_decay at least 0, and betas from 0 to 1, "
                f"not {lr}, {eps}, {weight_decay} and {betas}"
            )
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Updates all rows of a table."""
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), device=parameter.device)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        moments = (state["exp_avg"], state["exp_avg_sq"])
        options = {
            "lr": group["lr"], "beta1": group["betas"][0], "beta2": group["betas"][1], "eps": group["eps"],
            "weight_decay": group["weight_decay"], "amsgrad": False, "maximize": False,
        }  # fmt: skip
        if gradient.is_sparse and parameter.is_cpu and parameter.is_contiguous():
            state["step"] += 1
            _by_pieces((parameter, *moments), *sparse_rows(gradient), state["step"], options)
        else:
            fused = parameter.device.type in {"cpu", "cuda"} and parameter.is_contiguous()
            first, second = moments
            adamw([parameter], [gradient.to_dense()], [first], [second], [], [state["step"]], fused=fused, **options)


def _by_pieces(
    tensors: tuple[Tensor, ...], at: Tensor, gradients: Tensor, step: Tensor, options: dict[str, Any]
) -> None:
    """Updates a table and its moments with the gradients `[n, d]` of the rows `[n]`, which ascend."""
    width = gradients.shape[-1]
    table, first, second = (tensor.view(-1, width) for tensor in tensors)
    size = max(1, _PIECE // width)
    starts = range(0, len(table), size)
    ends = torch.searchsorted(at, torch.arange(size, len(table) + size, size)).tolist()
    buffer = table.new_zeros(min(size, len(table)), width)
    begin = 0
    for start, end in zip(starts, ends, strict=True):
        piece = table[start : start + size]
        gradient, rows = buffer[: len(piece)], at[begin:end] - start
        gradient[rows] = gradients[begin:end]
        torch._fused_adamw_(  # torch.optim.AdamW would count a step for each piece
            [piece], [gradient], [first[start : start + size]], [second[start : start + size]], [], [step], **options
        )
        gradient[rows] = 0.0
        begin = end
