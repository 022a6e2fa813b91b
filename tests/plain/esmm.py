"""Entire Space Multi-Task Model (Ma et al., SIGIR 2018): pCTCVR = pCTR * pCVR."""

from __future__ import annotations

from torch import Tensor, nn

from .blocks import Batch, Fields, Inputs, Reference, Tower, product_logit

INPUTS: Fields = {
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "item": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "category": {"kind": "sparse", "vocab": 100, "dim": 8},
    "history": {"kind": "sequence", "table": "item", "length": 10, "pool": "sum"},
    "stats": {"kind": "dense", "dim": 8},
}


class Esmm(Reference):
    """Two towers on shared embeddings; the second is trained only through the product."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make the tables and both towers."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        width = self.inputs.width()
        self.towers = nn.ModuleDict({"ctr": Tower(width, [64, 32]), "cvr": Tower(width, [64, 32])})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits of ctr, cvr and their product, `[B]`."""
        x = self.inputs.concat(batch)
        ctr = self.towers["ctr"](x)
        cvr = self.towers["cvr"](x)
        return {"ctr": ctr, "cvr": cvr, "ctcvr": product_logit(ctr, cvr)}
