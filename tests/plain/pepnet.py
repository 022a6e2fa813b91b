"""PEPNet (2302.01115): EPNet scales the embedding by domain, PPNet the input of every layer of a tower by person."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import Batch, Fields, Inputs, Reference
from .modulation import ModulatedMlp, ScaleGate

INPUTS: Fields = {
    "scene": {"kind": "domain", "values": ["single", "double", "featured"], "dim": 8},
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "item": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "author": {"kind": "sparse", "vocab": 500, "dim": 16},
    "history": {"kind": "sequence", "table": "item", "length": 10, "pool": "mean"},
    "stats": {"kind": "dense", "dim": 8},
}
FIELDS = ("user", "item", "author", "history", "stats")
PRIOR = ("user", "item", "author")


class Pepnet(Reference):
    """E' = 2 s(MLP([domain, sg(E)])) E; then towers whose layers take their input times 2 s(MLP([prior, sg(E')]))."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make EPNet and three modulated towers."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        width = self.inputs.width(FIELDS)
        self.feature_gates = nn.ModuleDict({"personal": ScaleGate(8 + width, width, [64])})
        selector = self.inputs.width(PRIOR) + width
        self.towers = nn.ModuleDict(
            {
                task: ModulatedMlp(
                    width, [64, 32], lambda out: ScaleGate(selector, out, [32]), at="layer_inputs", classes=1
                )
                for task in ("like", "follow", "watch")
            }
        )

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower, `[B]`."""
        vectors = self.inputs.read(batch)
        fields = torch.cat([vectors[name] for name in FIELDS], dim=1)
        prior = torch.cat([vectors[name] for name in PRIOR], dim=1)
        personal = fields * self.feature_gates["personal"](torch.cat([vectors["scene"], fields.detach()], dim=1))
        selector = torch.cat([prior, personal.detach()], dim=1)
        return {task: tower(personal, selector) for task, tower in self.towers.items()}
