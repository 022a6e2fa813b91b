"""Customized Gate Control (Tang et al., RecSys 2020, eq. 2-5).

y_k = tower_k(w^k(x) S^k(x)), S^k = own experts first, then the shared ones, w^k(x) = softmax(W x).
"""

from __future__ import annotations

from torch import Tensor, nn

from .blocks import Batch, Fields, Gate, Inputs, Level, Mlp, Reference, Tower, mix

INPUTS: Fields = {
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "video": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "video", "length": 10, "pool": "mean"},
    "stats": {"kind": "dense", "dim": 8},
}


class Cgc(Reference):
    """Two experts for each of two tasks, three shared ones, and one gate per task."""

    INPUTS = INPUTS

    def __init__(self, own: int = 2, shared: int = 3) -> None:
        """Make `own` experts per task and `shared` shared ones."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        width = self.inputs.width()
        experts = {
            "vtr": [Mlp(width, [64, 32]) for _ in range(own)],
            "vcr": [Mlp(width, [64, 32]) for _ in range(own)],
            "shared": [Mlp(width, [64, 32]) for _ in range(shared)],
        }
        gates = {"vtr": Gate(width, own + shared), "vcr": Gate(width, own + shared)}
        self.level1 = Level(experts, gates)
        self.towers = nn.ModuleDict({"vtr": Tower(32, [32, 16]), "vcr": Tower(32, [32, 16])})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower, `[B]`."""
        x = self.inputs.concat(batch)
        shared = self.level1.run("shared", x)
        vtr = mix(self.level1.gates["vtr"](x), self.level1.run("vtr", x) + shared)
        vcr = mix(self.level1.gates["vcr"](x), self.level1.run("vcr", x) + shared)
        return {"vtr": self.towers["vtr"](vtr), "vcr": self.towers["vcr"](vcr)}
