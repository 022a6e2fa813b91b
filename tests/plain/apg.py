"""APG (2203.16218): a trunk whose layers contain a matrix per row, generated from the scene."""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor, nn

from .blocks import Batch, Inputs, Level, Reference, Tower
from .mlora import INPUTS

UNITS = (64, 32)


class Generated(nn.Module):
    """relu(((x U + a) S(z) + b(z)) V + c), twice."""

    def __init__(self, width: int) -> None:
        """Make the shared parts and the generators."""
        super().__init__()
        pairs = list(zip((width, *UNITS), UNITS, strict=False))
        ranks = [ceil(min(pair) / 4) for pair in pairs]
        self.downs = nn.ModuleList([nn.Linear(pair[0], k) for pair, k in zip(pairs, ranks, strict=True)])
        self.ups = nn.ModuleList([nn.Linear(k, pair[1]) for pair, k in zip(pairs, ranks, strict=True)])
        self.kernels = nn.ModuleList([nn.Linear(8, k * k) for k in ranks])
        self.shifts = nn.ModuleList([nn.Linear(8, k) for k in ranks])

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """`[B, width], [B, 8] -> [B, 32]`."""
        for down, up, kernel, shift in zip(self.downs, self.ups, self.kernels, self.shifts, strict=True):
            h = down(x)
            k = h.shape[1]
            made = torch.einsum("bi,bij->bj", h, kernel(z).reshape(-1, k, k)) + shift(z)
            x = torch.relu(up(made))
        return x


class Apg(Reference):
    """One trunk, a head per task."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make the trunk and the heads."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        self.level1 = Level({"trunk": [Generated(self.inputs.width())]})
        self.towers = nn.ModuleDict({task: Tower(32, []) for task in ("click", "buy")})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per task, `[B]`."""
        x, scene = self.inputs.concat(batch), self.inputs.vector("scene", batch)
        trunk: Tensor = self.level1.get_submodule("experts.trunk.0")(x, scene.detach())
        return {task: tower(trunk) for task, tower in self.towers.items()}
