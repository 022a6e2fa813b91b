"""Deep Bayesian Multi-Target Learning (1902.09154): r_k = MLP(concat[trunk_k, r_j for parents j])."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from .blocks import Batch, Fields, Inputs, Level, Mlp, Reference, Tower

INPUTS: Fields = {
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "item": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "item", "length": 10, "pool": "mean"},
    "stats": {"kind": "dense", "dim": 8},
}


class Dbmtl(Reference):
    """A shared bottom, a trunk per target, and towers that read the towers of earlier targets."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make the bottom, the trunks and the towers of click, watch and buy."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        self.level1 = Level({"bottom": [Mlp(self.inputs.width(), [64, 32])]})
        self.level2 = Level({target: [Mlp(32, [32])] for target in ("click", "watch", "buy")})
        self.towers = nn.ModuleDict(
            {"click": Tower(32, [16]), "watch": Tower(32 + 16, [16]), "buy": Tower(32 + 16 + 16, [16])}
        )

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower, `[B]`."""
        (bottom,) = self.level1.run("bottom", self.inputs.concat(batch))
        (click,) = self.level2.run("click", bottom)
        (watch,) = self.level2.run("watch", bottom)
        (buy,) = self.level2.run("buy", bottom)
        click = self._hidden("click", click)
        watch = self._hidden("watch", watch, click)
        buy = self._hidden("buy", buy, click, watch)
        return {
            "click": self._logits("click", click),
            "watch": self._logits("watch", watch),
            "buy": self._logits("buy", buy),
        }

    def _hidden(self, target: str, *parts: Tensor) -> Tensor:
        """Last hidden vector of a target's tower, `[B, 16]`."""
        return cast("Tower", self.towers[target]).hidden(torch.cat(parts, dim=1))

    def _logits(self, target: str, hidden: Tensor) -> Tensor:
        """Logits of a target, `[B]`."""
        return cast("Tower", self.towers[target]).logits(hidden)
