"""HMoE (CIKM 2020): a mixture of experts per scene, then a mixture of the scenes' hidden vectors."""

from __future__ import annotations

from torch import Tensor, nn

from .blocks import Batch, Cases, Fields, Gate, Inputs, Level, Mlp, Reference, Tower, mix

SCENES = ("spain", "france", "poland")
INPUTS: Fields = {
    "scene": {"kind": "domain", "values": list(SCENES), "dim": 8},
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "item": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "item", "length": 10, "pool": "mean"},
    "stats": {"kind": "dense", "dim": 8},
}


class Hmoe(Reference):
    """z_t = a_tt h_t + sum over other scenes of a_tk sg(h_k)."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make both levels and the towers."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        width = self.inputs.width()
        experts = {"shared": [Mlp(width, [64, 32]) for _ in range(4)]}
        self.level1 = Level(experts, {scene: Gate(width, 4, [16]) for scene in SCENES})
        hidden = {scene: [Mlp(32, [32])] for scene in SCENES}
        self.level2 = Level(hidden, {scene: Gate(width, 3, [16]) for scene in SCENES})
        self.towers = nn.ModuleDict({"buy": Cases({scene: Tower(32, []) for scene in SCENES})})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits, `[B]`."""
        x = self.inputs.concat(batch)
        shared = self.level1.run("shared", x)
        h = {scene: self.level2.run(scene, mix(self.level1.gates[scene](x), shared))[0] for scene in SCENES}
        mixed = []
        for scene in SCENES:
            others = [h[other].detach() for other in SCENES if other != scene]
            mixed.append(mix(self.level2.gates[scene](x), [h[scene], *others]))
        return {"buy": self.towers["buy"](batch["scene"], mixed)}
