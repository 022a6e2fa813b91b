"""MLoRA (2408.08913): each row passes alone through the shared layers plus the low-rank ones of its scene."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from .blocks import Batch, Fields, Inputs, Reference

if TYPE_CHECKING:
    from collections.abc import Sequence

SCENES = ("home", "search", "nearby")
INPUTS: Fields = {
    "scene": {"kind": "domain", "values": list(SCENES), "dim": 8},
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "item": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "item", "length": 10, "pool": "mean"},
    "stats": {"kind": "dense", "dim": 8},
}


class Stack(nn.Module):
    """A matrix per scene, and optionally a vector."""

    def __init__(self, out: int, width: int, *, bias: bool) -> None:
        """Make the weights; none is 0 here, so that every weight is compared."""
        super().__init__()
        self.weight = nn.Parameter(torch.randn(len(SCENES), out, width) / 4)
        if bias:
            self.bias = nn.Parameter(torch.randn(len(SCENES), out))


class Added(nn.Module):
    """B_d A_d x + c_d."""

    def __init__(self, width: int, out: int, rank: int) -> None:
        """Make both matrices and the vector."""
        super().__init__()
        self.down, self.up = Stack(rank, width, bias=False), Stack(out, rank, bias=True)

    def forward(self, x: Tensor, scene: int) -> Tensor:
        """`[width] -> [out]` for a row of a scene."""
        return self.up.weight[scene] @ (self.down.weight[scene] @ x) + self.up.bias[scene]


class LoraTower(nn.Module):
    """Hidden layers with an addition per scene, and a head."""

    def __init__(self, width: int, units: Sequence[int], rank: int) -> None:
        """Make the layers, the additions and the head."""
        super().__init__()
        widths = (width, *units)
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in zip(widths, units, strict=False)])
        self.domains = nn.ModuleList([Added(a, b, rank) for a, b in zip(widths, units, strict=False)])
        self.head = nn.Linear(units[-1], 1)

    def forward(self, x: Tensor, scene: Tensor) -> Tensor:
        """Logits, `[B]`."""
        rows = []
        for row, number in zip(x, scene.tolist(), strict=True):
            h = row
            for layer, added in zip(self.layers, self.domains, strict=True):
                h = torch.relu(layer(h) + cast("Added", added)(h, number))
            rows.append(self.head(h)[0])
        return torch.stack(rows) if rows else x.new_zeros(0)


class Mlora(Reference):
    """One tower."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make the tables and the tower."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        self.towers = nn.ModuleDict({"click": LoraTower(self.inputs.width(), [64, 32], 4)})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits, `[B]`."""
        return {"click": self.towers["click"](self.inputs.concat(batch), batch["scene"])}
