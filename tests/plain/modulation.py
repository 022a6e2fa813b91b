"""Blocks whose layers are scaled by their own gate: PPNet, HoME's experts, POSO, MTAN's masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class ScaleGate(nn.Module):
    """c s(W h(x)), one factor per element of what it scales; h has ReLU layers, or is a product of low rank."""

    def __init__(self, width: int, out: int, units: Sequence[int] = (), *, rank: int = 0, scale: float = 2.0) -> None:
        """Make the network; the last layer has a bias if there are hidden layers, and none if the rank is low."""
        super().__init__()
        self.scale = scale
        self.layers = nn.ModuleList()
        for unit in units:
            self.layers.append(nn.Linear(width, unit))
            width = unit
        self.down = nn.Linear(width, rank, bias=False) if rank else None
        self.head = nn.Linear(rank or width, out, bias=not rank)

    def forward(self, selector: Tensor) -> Tensor:
        """Factors, `[B, out]`."""
        x = selector
        for layer in self.layers:
            x = torch.relu(layer(x))
        if self.down is not None:
            x = self.down(x)
        return self.scale * torch.sigmoid(self.head(x))


def batch_norm(width: int) -> nn.BatchNorm1d:
    """Batch normalisation that does not count batches, so that its state equals archspec's."""
    norm = nn.BatchNorm1d(width)
    norm.register_buffer("num_batches_tracked", None)
    return norm


class ModulatedMlp(nn.Module):
    """Layers with optional batch norm; gates scale every hidden layer, the input, or what every layer takes."""

    def __init__(  # noqa: PLR0913 - a block has this many parts
        self,
        width: int,
        units: Sequence[int],
        gate: Callable[[int], ScaleGate],
        *,
        at: str = "hidden",
        norm: bool = False,
        activation: Callable[[Tensor], Tensor] = torch.relu,
        classes: int = 0,
    ) -> None:
        """Make the layers, one gate per scaled width (`gate` makes it), and with `classes` a head."""
        super().__init__()
        self.at, self.activation = at, activation
        taken = [width, *units][: len(units) + bool(classes)]
        gated = {"input": [width], "hidden": units, "layer_inputs": taken}[at]
        self.modulate = nn.ModuleList([gate(size) for size in gated])
        self.layers = nn.ModuleList()
        self.norms = nn.ModuleList()
        for unit in units:
            self.layers.append(nn.Linear(width, unit))
            if norm:
                self.norms.append(batch_norm(unit))
            width = unit
        self.head = nn.Linear(width, classes) if classes else None

    def forward(self, x: Tensor, selector: Tensor | None = None) -> Tensor:
        """Hidden vector `[B, units[-1]]`, or with a head logits `[B]` or `[B, classes]`."""
        selector = x if selector is None else selector
        if self.at == "input":
            x = x * self.modulate[0](selector)
        for index, layer in enumerate(self.layers):
            if self.at == "layer_inputs":
                x = x * self.modulate[index](selector)
            x = layer(x)
            if self.norms:
                x = self.norms[index](x)
            x = self.activation(x)
            if self.at == "hidden":
                x = x * self.modulate[index](selector)
        if self.head is None:
            return x
        if self.at == "layer_inputs":
            x = x * self.modulate[-1](selector)
        logits: Tensor = self.head(x)
        return logits.squeeze(1) if logits.shape[1] == 1 else logits
