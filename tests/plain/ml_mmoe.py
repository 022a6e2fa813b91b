"""ML-MMoE (PLE paper, 5.1.2): MMoE in two levels, every gate steered by the raw input."""

from __future__ import annotations

from torch import Tensor, nn

from .blocks import Batch, Fields, Gate, Inputs, Level, Mlp, Reference, Tower, mix

INPUTS: Fields = {
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "video": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "video", "length": 10, "pool": "mean"},
    "stats": {"kind": "dense", "dim": 8},
}
TASKS = ("vtr", "vcr")
EXPERTS = ("e0", "e1", "e2", "e3")


class MlMmoe(Reference):
    """Level 1 has one gate per expert of level 2, level 2 one gate per task."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make four experts per level, the gates and the towers."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        width = self.inputs.width()
        self.level1 = Level(
            {"bottom": [Mlp(width, [64, 32]) for _ in range(4)]},
            {expert: Gate(width, 4) for expert in EXPERTS},
        )
        self.level2 = Level(
            {expert: [Mlp(32, [32])] for expert in EXPERTS},
            {task: Gate(width, len(EXPERTS)) for task in TASKS},
        )
        self.towers = nn.ModuleDict({task: Tower(32, [32]) for task in TASKS})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower, `[B]`."""
        x = self.inputs.concat(batch)
        bottom = self.level1.run("bottom", x)
        experts = []
        for expert in EXPERTS:
            experts += self.level2.run(expert, mix(self.level1.gates[expert](x), bottom))
        return {task: tower(mix(self.level2.gates[task](x), experts)) for task, tower in self.towers.items()}
