"""Experts that multiply features, by hand: cross networks (DCN-V2, GDCN) and MaskNet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .blocks import Mlp

if TYPE_CHECKING:
    from collections.abc import Sequence


class CrossLayer(nn.Module):
    """x_0 * (W x + b) + x, with W = U V where there is a rank, times sigmoid(G x) where it is gated."""

    def __init__(self, width: int, rank: int | None, *, gated: bool) -> None:
        """Make W, or V and U, and G."""
        super().__init__()
        if rank is None:
            self.linear = nn.Linear(width, width)
        else:
            self.down = nn.Linear(width, rank, bias=False)
            self.up = nn.Linear(rank, width)
        if gated:
            self.gate = nn.Linear(width, width, bias=False)

    def forward(self, x0: Tensor, x: Tensor) -> Tensor:
        """`[B, D]`."""
        crossed = self.linear(x) if hasattr(self, "linear") else self.up(self.down(x))
        factor = torch.sigmoid(self.gate(x)) if hasattr(self, "gate") else 1.0
        result: Tensor = x0 * crossed * factor + x
        return result


class Cross(Mlp):
    """Cross layers, then hidden layers."""

    def __init__(
        self, width: int, layers: int, rank: int | None = None, *, gated: bool = False, units: Sequence[int] = ()
    ) -> None:
        """Make `layers` cross layers on an input of `width`, then layers of `units`."""
        super().__init__(width, units)
        self.cross = nn.ModuleList(CrossLayer(width, rank, gated=gated) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, D] -> [B, H]`."""
        h = x
        for layer in self.cross:
            h = layer(x, h)
        return self.hidden(h)


class MaskBlock(nn.Module):
    """relu(LN(W3 (mask(x) * h))), mask(x) = W2 relu(W1 x + b1) + b2."""

    def __init__(self, width: int, masked: int, units: int, reduction: float) -> None:
        """Make the mask of x (`width`) for h (`masked`), and the layer of `units`."""
        super().__init__()
        self.aggregate = nn.Linear(width, max(1, int(masked * reduction)))
        self.project = nn.Linear(self.aggregate.out_features, masked)
        self.hidden = nn.Linear(masked, units, bias=False)
        self.norm = nn.LayerNorm(units)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """`[B, D], [B, masked] -> [B, units]`."""
        mask = self.project(torch.relu(self.aggregate(x)))
        return torch.relu(self.norm(self.hidden(mask * h)))


class MaskNet(Mlp):
    """Mask blocks on LN(x), side by side or in a row, then hidden layers."""

    def __init__(  # noqa: PLR0913 - as many as the kind has settings
        self,
        width: int,
        blocks: Sequence[int],
        *,
        serial: bool = False,
        reduction: float = 1.0,
        fields: int | None = None,
        units: Sequence[int] = (),
    ) -> None:
        """Make a block per entry of `blocks`, the norms of x or of its `fields`, and layers of `units`."""
        super().__init__(blocks[-1] if serial else sum(blocks), units)
        masked = [width, *blocks[:-1]] if serial else [width] * len(blocks)
        self.serial = serial
        self.blocks = nn.ModuleList(MaskBlock(width, m, b, reduction) for m, b in zip(masked, blocks, strict=True))
        if fields is None:
            self.norm = nn.LayerNorm(width)
        else:
            self.fields = nn.ModuleList(nn.LayerNorm(width // fields) for _ in range(fields))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, D] -> [B, H]`."""
        if hasattr(self, "fields"):
            fields = x.chunk(len(self.fields), dim=1)
            h = torch.cat([norm(field) for norm, field in zip(self.fields, fields, strict=True)], dim=1)
        else:
            h = self.norm(x)
        if not self.serial:
            return self.hidden(torch.cat([block(x, h) for block in self.blocks], dim=1))
        for block in self.blocks:
            h = block(x, h)
        return self.hidden(h)
