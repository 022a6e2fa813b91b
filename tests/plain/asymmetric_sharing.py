"""Asymmetric sharing (PLE, Fig. 1b): tower A reads [f_A, f_B], tower B only f_B."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import Batch, Fields, Inputs, Level, Mlp, Reference, Tower

INPUTS: Fields = {
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "item": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "item", "length": 10, "pool": "max"},
    "stats": {"kind": "dense", "dim": 8},
}


class AsymmetricSharing(Reference):
    """One network per task; `click` also reads the network of `buy`."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make two networks and two towers."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        width = self.inputs.width()
        self.level1 = Level({"click": [Mlp(width, [64, 32])], "buy": [Mlp(width, [64, 32])]})
        self.towers = nn.ModuleDict({"click": Tower(32 + 32, [32]), "buy": Tower(32, [32])})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower, `[B]`."""
        x = self.inputs.concat(batch)
        (click,) = self.level1.run("click", x)
        (buy,) = self.level1.run("buy", x)
        return {
            "click": self.towers["click"](torch.cat([click, buy], dim=1)),
            "buy": self.towers["buy"](buy),
        }
