"""Gradients of each task's loss with respect to shared weights, and a total whose gradient there can be chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from archspec.nn.wrapped import unwrapped
from archspec.train.distributed import average

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.train.weights import WeightLocation


class Entries:
    """Chosen weights of a model as one vector `[N]`: whole parameters, or parts of fused ones."""

    def __init__(self, model: nn.Module, chosen: Sequence[WeightLocation]) -> None:
        """Stores only names, so that the model can be moved between devices."""
        self.model = model
        self.chosen = tuple(chosen)
        self.names = tuple(dict.fromkeys(location.parameter for location in chosen))

    def parameters(self) -> list[Tensor]:
        """The unsharded parameters that contain the weights, as the forward pass of this step used them.

        FSDP2 keeps unsharded parameters from the forward pass until the first backward pass, unless
        `reshard_after_forward=True`: call this once per step, before any gradient is computed.

        Raises:
            ValueError: a parameter is sharded, so no process has its whole gradient.
        """
        model = unwrapped(self.model)
        found: list[Tensor] = [model.get_parameter(name) for name in self.names]
        for name, parameter in zip(self.names, found, strict=True):
            if hasattr(parameter, "device_mesh"):
                raise ValueError(
                    f"`{name}` is sharded, but a balance that reads gradients needs whole parameters after the forward "
                    "pass: use DDP, or fully_shard(model, reshard_after_forward=False)"
                )
        return found

    def jacobian(self, losses: Tensor, parameters: list[Tensor]) -> Tensor:
        """Gradients `[T, N]` of losses `[T]`, averaged over processes: one backward pass per task; keeps the graph.

        Half precision becomes single precision, which eigenvalues and quadratic programs require.

        Raises:
            ValueError: a gradient is sparse.
        """
        rows = [self._row(loss, parameters) for loss in losses.unbind()]
        stacked = torch.stack(rows)
        return average(stacked.float() if stacked.dtype in {torch.float16, torch.bfloat16} else stacked)

    def _row(self, loss: Tensor, parameters: list[Tensor]) -> Tensor:
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
        by_name = dict(zip(self.names, gradients, strict=True))
        for name, gradient in by_name.items():
            if gradient.is_sparse:
                raise ValueError(
                    f"`{name}` has sparse gradients, but a balance that reads gradients needs dense ones: "
                    "remove `sparse_grad`"
                )
        return torch.cat([by_name[location.parameter][location.index].reshape(-1) for location in self.chosen])

    def scattered(self, vector: Tensor, parameters: list[Tensor]) -> list[Tensor]:
        """Splits a vector `[N]` into one tensor per parameter, zero outside of the chosen weights."""
        found = {name: torch.zeros_like(parameter) for name, parameter in zip(self.names, parameters, strict=True)}
        start = 0
        for location in self.chosen:
            place = found[location.parameter][location.index]
            place.copy_(vector[start : start + place.numel()].view(place.shape))
            start += place.numel()
        return list(found.values())


def with_gradient(total: Tensor, entries: Entries, parameters: list[Tensor], change: Tensor) -> Tensor:
    """Returns the same total `[]`, whose backward pass adds `change` `[N]` to the gradients of the entries.

    All other gradients are unchanged. Works with gradient accumulation and scaling, and with DDP and FSDP2.
    """
    corrections = entries.scattered(change, parameters)
    corrected: Tensor = _Corrected.apply(total, corrections, *parameters)  # type: ignore[no-untyped-call] # torch's own
    return corrected


class _Corrected(torch.autograd.Function):
    """The identity on the total; adds corrections to the gradients of parameters."""

    @staticmethod
    def forward(ctx: Any, total: Tensor, corrections: list[Tensor], *_: Tensor) -> Tensor:  # noqa: ANN401 - torch's context
        """Keeps the corrections for the backward pass."""
        ctx.corrections = corrections
        return total.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 - torch's context
        """Returns the total's gradient, none for the list, and one correction per parameter."""
        (gradient,) = gradients
        return gradient, None, *(gradient * correction for correction in ctx.corrections)
