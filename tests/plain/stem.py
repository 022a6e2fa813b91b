"""STEM (2308.13537): embedding tables per task and shared; gates see all experts, other tasks' without gradient."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import Batch, Fields, Gate, Inputs, Level, Mlp, Reference, Tower, mix

TASKS = ("click", "like")
SIDES = (*TASKS, "shared")
INPUTS: Fields = {
    **{f"user_{side}": {"kind": "sparse", "column": "user", "vocab": 2000, "dim": 16} for side in SIDES},
    **{f"item_{side}": {"kind": "sparse", "column": "item", "vocab": 1000, "dim": 16} for side in SIDES},
    **{
        f"history_{side}": {
            "kind": "sequence", "column": "history", "table": f"item_{side}", "length": 10, "pool": "mean",
        }
        for side in SIDES
    },
}  # fmt: skip


class Stem(Reference):
    """Experts of a side read that side's tables only."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make three sets of tables, two experts per side, a gate and a tower per task."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        self.level1 = Level(
            {side: [Mlp(48, [64, 32]) for _ in range(2)] for side in SIDES}, {task: Gate(48, 6) for task in TASKS}
        )
        self.towers = nn.ModuleDict({task: Tower(32, [32]) for task in TASKS})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower, `[B]`."""
        vectors = self.inputs.read(batch)
        x = {
            side: torch.cat([vectors[f"{name}_{side}"] for name in ("user", "item", "history")], dim=1)
            for side in SIDES
        }
        experts = {side: self.level1.run(side, x[side]) for side in SIDES}
        logits = {}
        for task in TASKS:
            others = [expert.detach() for other in TASKS if other != task for expert in experts[other]]
            weights = self.level1.gates[task](x[task] + x["shared"])
            logits[task] = self.towers[task](mix(weights, experts[task] + experts["shared"] + others))
        return logits
