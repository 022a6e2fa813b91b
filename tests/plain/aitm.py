"""AITM (2105.08489): every step of a funnel attends over its own vector and the one from the step before."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from .blocks import Batch, Fields, Inputs, Level, Mlp, Reference, Tower

INPUTS: Fields = {
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "item": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "item", "length": 10, "pool": "mean"},
    "stats": {"kind": "dense", "dim": 8},
}
TASKS = ("click", "request", "approve")


class Transfer(nn.Module):
    """sum over u of softmax(<W1 u, W2 u> / sqrt(H)) W3 u."""

    def __init__(self, width: int) -> None:
        """Make the three matrices."""
        super().__init__()
        self.key = nn.Linear(width, width, bias=False)
        self.query = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)

    def forward(self, own: Tensor, before: Tensor) -> Tensor:
        """Two vectors `[B, H]` -> `[B, H]`."""
        scores = [(self.key(u) * self.query(u)).sum(1) / math.sqrt(u.shape[1]) for u in (own, before)]
        weights = torch.softmax(torch.stack(scores, dim=1), dim=1)
        mixed: Tensor = weights[:, :1] * self.value(own) + weights[:, 1:] * self.value(before)
        return mixed


class Aitm(Reference):
    """Three steps: click, request, approve."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make a bottom and a tower per step, and the transfers between steps."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        experts = {task: [Mlp(self.inputs.width(), [64, 32])] for task in TASKS}
        experts |= {f"after_{task}": [Mlp(32, [32])] for task in TASKS[:-1]}
        self.level1 = Level(experts, {task: Transfer(32) for task in TASKS[1:]})
        self.towers = nn.ModuleDict({task: Tower(32, [32]) for task in TASKS})
        self.logits: dict[str, Tensor] = {}

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower, `[B]`."""
        x = self.inputs.concat(batch)
        z: Tensor | None = None
        for index, task in enumerate(TASKS):
            (q,) = self.level1.run(task, x)
            if z is None:
                z = q
            else:
                (p,) = self.level1.run(f"after_{TASKS[index - 1]}", z)
                z = self.level1.gates[task](q, p)
            self.logits[task] = self.towers[task](z)
        return dict(self.logits)

    def auxiliary_losses(self) -> dict[str, Tensor]:
        """0.6 times the mean excess of each step's probability over that of the step before."""
        p = [torch.sigmoid(self.logits[task]) for task in TASKS]
        excess = [torch.clamp(after - before, min=0).mean() for before, after in pairwise(p)]
        return {"fusion.in_order": 0.6 * (excess[0] + excess[1])}
