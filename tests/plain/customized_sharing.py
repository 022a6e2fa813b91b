"""Customized sharing (PLE, Fig. 1c): y_k = tower_k(concat(f_s(x), f_k(x)))."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import Batch, Fields, Inputs, Level, Mlp, Reference, Tasks, Tower

INPUTS: Fields = {
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "item": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "item", "length": 10, "pool": "sum"},
    "scene": {"kind": "domain", "values": ["home", "search", "feed"], "dim": 4},
    "stats": {"kind": "dense", "dim": 8},
}
TASKS: Tasks = {"click": 1, "finish": 1, "rating": 5}


class CustomizedSharing(Reference):
    """A shared network and one per task, concatenated below the task's tower."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make the shared network, one network per task, and the towers."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        width = self.inputs.width()
        self.level1 = Level({group: [Mlp(width, [64, 32])] for group in ["shared", *TASKS]})
        self.towers = nn.ModuleDict({task: Tower(32 + 32, [32], classes) for task, classes in TASKS.items()})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower, `[B]` or `[B, classes]`."""
        x = self.inputs.concat(batch)
        (shared,) = self.level1.run("shared", x)
        logits = {}
        for task, tower in self.towers.items():
            (own,) = self.level1.run(task, x)
            logits[task] = tower(torch.cat([shared, own], dim=1))
        return logits
