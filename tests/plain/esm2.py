"""ESM2 (1910.07099): pCTCVR = pCTR ((1 - y2) y4 + y2 y3), y2 the probability of an action after a click."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import Batch, Inputs, Reference, Tower
from .esmm import INPUTS

NAMES = ("ctr", "action", "buy_after_action", "buy_without")


class Esm2(Reference):
    """Four towers on shared embeddings; two products of their outputs are compared with labels."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make the tables and the towers."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        self.towers = nn.ModuleDict({name: Tower(self.inputs.width(), [64, 32]) for name in NAMES})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits of the four towers and of the two products, `[B]`."""
        x = self.inputs.concat(batch)
        logits = {name: self.towers[name](x) for name in NAMES}
        y1, y2, y3, y4 = (torch.sigmoid(logit) for logit in logits.values())
        return logits | {"ctavr": torch.logit(y1 * y2), "ctcvr": torch.logit(y1 * ((1 - y2) * y4 + y2 * y3))}
