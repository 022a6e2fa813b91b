"""Sub-Network Routing (AAAI 2019): connections, sampled in training, with a matrix each (Trans) or without (Aver)."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from .blocks import Batch, Fields, Inputs, Level, Mlp, Reference, Tower, mix

INPUTS: Fields = {
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "video": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "video", "length": 10, "pool": "mean"},
    "stats": {"kind": "dense", "dim": 8},
}
UPPER = ("u0", "u1", "u2", "u3")
TASKS = ("engagement", "satisfaction")
BETA, GAMMA, ZETA, PENALTY = 0.9, -0.1, 1.1, 1e-4


class HardConcrete(nn.Module):
    """Connections to four sub-networks: t = s((log u - log(1 - u) + log a) / beta), stretched and clamped to 0..1."""

    def __init__(self, width: int, *, matrices: bool) -> None:
        """Start with log a = 0; `width` is that of the sub-networks below."""
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4))
        if matrices:
            self.transform = nn.ModuleList([nn.Linear(width, width, bias=False) for _ in range(4)])

    def connect(self, below: list[Tensor]) -> Tensor:
        """v = sum_j z_j W_j u_j, `[B, width]`."""
        t: Tensor = self.weight
        if self.training:
            u = torch.rand_like(t).clamp(1e-6, 1 - 1e-6)
            t = (torch.log(u) - torch.log1p(-u) + t) / BETA
        z = torch.clamp(torch.sigmoid(t) * (ZETA - GAMMA) + GAMMA, 0, 1)
        if hasattr(self, "transform"):
            below = [matrix(u) for matrix, u in zip(self.transform, below, strict=True)]
        return mix(z.expand(len(below[0]), -1), below)

    def open_connections(self) -> Tensor:
        """The expected number of connections that are not 0, `[]`."""
        return torch.sigmoid(self.weight - BETA * math.log(-GAMMA / ZETA)).sum()


def gates_of(level: Level) -> list[tuple[str, HardConcrete]]:
    """The connections above a layer, by the name of their reader."""
    return [(name, cast("HardConcrete", gate)) for name, gate in level.gates.items()]


class SnrTrans(Reference):
    """Four sub-networks below, four above, a tower per task; every connection is learned."""

    INPUTS = INPUTS
    matrices = True

    def __init__(self) -> None:
        """Make both layers of sub-networks, the connections above each, and the towers."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        self.level1 = Level(
            {"bottom": [Mlp(self.inputs.width(), [64]) for _ in range(4)]},
            {name: HardConcrete(64, matrices=self.matrices) for name in UPPER},
        )
        self.level2 = Level(
            {name: [Mlp(64, [32])] for name in UPPER},
            {task: HardConcrete(32, matrices=self.matrices) for task in TASKS},
        )
        self.towers = nn.ModuleDict({task: Tower(32, [32]) for task in TASKS})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower, `[B]`."""
        below = self.level1.run("bottom", self.inputs.concat(batch))
        joined = {name: gate.connect(below) for name, gate in gates_of(self.level1)}
        above = [expert for name in UPPER for expert in self.level2.run(name, joined[name])]
        return {task: self.towers[task](gate.connect(above)) for task, gate in gates_of(self.level2)}

    def auxiliary_losses(self) -> dict[str, Tensor]:
        """The penalty of every gate."""
        return {
            f"level{number}.gates.{name}": PENALTY * gate.open_connections()
            for number, level in ((1, self.level1), (2, self.level2))
            for name, gate in gates_of(level)
        }


class SnrAver(SnrTrans):
    """SNR-Trans without its matrices."""

    matrices = False
