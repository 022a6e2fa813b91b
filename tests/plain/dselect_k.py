"""DSelect-k (2106.03760): k selectors choose experts by the bits of their numbers."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from .blocks import Batch, Fields, Inputs, Level, Mlp, Reference, Tower, mix

INPUTS: Fields = {
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "item": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "item", "length": 10, "pool": "mean"},
    "stats": {"kind": "dense", "dim": 8},
}
TASKS = ("engagement", "satisfaction")


def smooth_step(t: Tensor, gamma: float) -> Tensor:
    """0 up to -gamma/2, 1 from gamma/2 on, a cubic between."""
    cubic = -2 / gamma**3 * t**3 + 3 / (2 * gamma) * t + 0.5
    return torch.where(t <= -gamma / 2, torch.zeros_like(t), torch.where(t >= gamma / 2, torch.ones_like(t), cubic))


class Selectors(nn.Module):
    """sum_j softmax(w)_j r^(j), one selector after the other, one expert after the other."""

    def __init__(self, width: int, experts: int, k: int, gamma: float = 1.0) -> None:
        """Make the layers of the bits and of the selectors' weights."""
        super().__init__()
        self.experts, self.k, self.gamma = experts, k, gamma
        self.bits = math.ceil(math.log2(experts))
        self.z = nn.Linear(width, k * self.bits)
        self.w = nn.Linear(width, k)

    def forward(self, x: Tensor) -> Tensor:
        """Weights of the experts, `[B, E]`."""
        shares = torch.softmax(self.w(x), dim=1)
        self.outputs = [self.selector(j, x) for j in range(self.k)]
        return mix(shares, self.outputs)

    def selector(self, j: int, x: Tensor) -> Tensor:
        """r^(j): the weights that selector j gives to the experts, `[B, E]`."""
        steps = smooth_step(self.z(x), self.gamma)
        columns = []
        for expert in range(self.experts):
            r = torch.ones_like(steps[:, 0])
            for bit in range(self.bits):
                step = steps[:, j * self.bits + bit]
                r = r * (step if expert >> bit & 1 else 1 - step)
            columns.append(r)
        return torch.stack(columns, dim=1)

    def regularizer(self, entropy: float) -> Tensor:
        """Entropy of every selector and row, plus 1 / (sum of its outputs) if some codes are unreachable; summed."""
        total = torch.zeros(())
        for r in self.outputs:
            total = total - entropy * (r * torch.log(r + 1e-6)).sum()
            if self.experts < 2**self.bits:
                total = total + (1 / r.sum(dim=1)).sum()
        return total


class DselectK(Reference):
    """MMoE whose gates are selectors."""

    INPUTS = INPUTS

    def __init__(self, experts: int = 8, entropy: float = 0.0) -> None:
        """Make the experts, two selectors per task, and the towers."""
        super().__init__()
        self.entropy, self.regular = entropy, entropy > 0 or experts & (experts - 1) > 0
        self.inputs = Inputs(INPUTS)
        width = self.inputs.width()
        self.level1 = Level(
            {"shared": [Mlp(width, [64, 32]) for _ in range(experts)]},
            {task: Selectors(width, experts, 2) for task in TASKS},
        )
        self.towers = nn.ModuleDict({task: Tower(32, [32]) for task in TASKS})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower, `[B]`."""
        x = self.inputs.concat(batch)
        experts = self.level1.run("shared", x)
        return {task: self.towers[task](mix(self.level1.gates[task](x), experts)) for task in TASKS}

    def auxiliary_losses(self) -> dict[str, Tensor]:
        """The loss that each gate adds, after a forward pass."""
        gates = {f"level1.gates.{task}": cast("Selectors", self.level1.gates[task]) for task in TASKS}
        return {name: gate.regularizer(self.entropy) for name, gate in gates.items()} if self.regular else {}
