"""DCMT (2302.06141): a conversion tower and its counterfactual on one trunk; the losses over all impressions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import Batch, Inputs, Level, Mlp, Reference, Tower, product_logit
from .escm2 import logistic
from .esmm import INPUTS


class Dcmt(Reference):
    """A click tower, and a trunk with two heads."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make them."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        width = self.inputs.width()
        self.level1 = Level({"trunk": [Mlp(width, [64, 32])]})
        heads = {name: Tower(32, []) for name in ("cvr", "cvr_without")}
        self.towers = nn.ModuleDict({"ctr": Tower(width, [64, 32]), **heads})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits of the three towers and of the product, `[B]`."""
        x = self.inputs.concat(batch)
        trunk = self.level1.run("trunk", x)[0]
        ctr, cvr = self.towers["ctr"](x), self.towers["cvr"](trunk)
        without = self.towers["cvr_without"](trunk)
        return {"ctr": ctr, "cvr": cvr, "cvr_without": without, "ctcvr": product_logit(ctr, cvr)}


def entire_space(  # noqa: PLR0913, PLR0917 - three outputs, two labels, two numbers
    ctr: Tensor, cvr: Tensor, without: Tensor, click: Tensor, buy: Tensor, clip: float, prior: float
) -> Tensor:
    """Weighted means of both losses plus prior * mean |1 - (y + y*)|, `[]`; sums written out row by row."""
    p = torch.clamp(torch.sigmoid(ctr), clip, 1 - clip).detach()
    sums = {name: [torch.zeros(()), torch.zeros(())] for name in ("clicked", "rest")}
    for row in range(len(click)):
        name = "clicked" if click[row] == 1 else "rest"
        weight = 1 / p[row] if name == "clicked" else 1 / (1 - p[row])
        logit, label = (cvr[row], buy[row]) if name == "clicked" else (without[row], torch.ones(()))
        sums[name][0] = sums[name][0] + weight * logistic(logit, label)
        sums[name][1] = sums[name][1] + weight
    means = [top / bottom if bottom > 0 else top for top, bottom in sums.values()]
    opposite = torch.abs(1 - (torch.sigmoid(cvr) + torch.sigmoid(without))).mean()
    return means[0] + means[1] + prior * opposite
