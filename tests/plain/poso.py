"""POSO (2108.04690) on MMoE: 2 s(MLP(personal features)) times every hidden layer."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from .blocks import Batch, Fields, Gate, Inputs, Level, Reference, mix
from .modulation import ModulatedMlp, ScaleGate

INPUTS: Fields = {
    "activity": {"kind": "sparse", "vocab": 8, "dim": 4},
    "age": {"kind": "dense", "dim": 2},
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "video": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "video", "length": 10, "pool": "mean"},
}
MAIN = ("user", "video", "history")
TASKS = ("finish", "like")


def personal(out: int) -> ScaleGate:
    """A gate that reads the personal features."""
    return ScaleGate(6, out, [16])


class Poso(Reference):
    """Experts and towers whose units are amplified or damped by a person's features."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make four experts, a gate and a tower per task."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        self.level1 = Level(
            {"shared": [ModulatedMlp(48, [64, 32], personal) for _ in range(4)]}, {task: Gate(48, 4) for task in TASKS}
        )
        self.towers = nn.ModuleDict({task: ModulatedMlp(32, [32], personal, classes=1) for task in TASKS})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower, `[B]`."""
        vectors = self.inputs.read(batch)
        x = torch.cat([vectors[name] for name in MAIN], dim=1)
        person = torch.cat([vectors["activity"], vectors["age"]], dim=1)
        experts = [expert(x, person) for expert in cast("nn.ModuleList", self.level1.experts["shared"])]
        return {task: self.towers[task](mix(self.level1.gates[task](x), experts), person) for task in TASKS}
