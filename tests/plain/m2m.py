"""M2M (2201.06814): gates and towers with matrices that the scenario generates."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from .blocks import Batch, Inputs, Level, Reference, mix
from .mlora import INPUTS

FEATURES = ("user", "item", "history", "stats")
TASKS = ("click", "buy")
SLOPE = 0.1


class Leaky(nn.Module):
    """Layers with leaky ReLUs."""

    def __init__(self, *widths: int) -> None:
        """Make the layers."""
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in pairwise(widths)])

    def forward(self, x: Tensor) -> Tensor:
        """`[B, first width] -> [B, last width]`."""
        for layer in self.layers:
            x = leaky_relu(layer(x), SLOPE)
        return x


class Meta(nn.Module):
    """Generates a square matrix and a vector from the scenario."""

    def __init__(self, scenario: int, width: int) -> None:
        """Make the generators."""
        super().__init__()
        self.width = width
        self.matrix, self.shift = nn.Linear(scenario, width**2), nn.Linear(scenario, width)

    def forward(self, x: Tensor, scenario: Tensor) -> Tensor:
        """x W(s) + b(s), `[B, width]`."""
        matrix = self.matrix(scenario).reshape(-1, self.width, self.width)
        made: Tensor = torch.einsum("bi,bij->bj", x, matrix) + self.shift(scenario)
        return made


class MetaGate(nn.Module):
    """softmax over experts of v . leaky_relu(meta([E_i, t]))."""

    def __init__(self, scenario: int, width: int) -> None:
        """Make the meta unit, the task's vector and v."""
        super().__init__()
        self.meta = Meta(scenario, 2 * width)
        self.task, self.v = nn.Parameter(torch.randn(width)), nn.Parameter(torch.randn(2 * width))

    def forward(self, experts: list[Tensor], scenario: Tensor) -> Tensor:
        """Weights, `[B, E]`."""
        scores = []
        for expert in experts:
            x = torch.cat([expert, self.task.repeat(len(expert), 1)], dim=1)
            scores.append(leaky_relu(self.meta(x, scenario), SLOPE) @ self.v)
        return torch.softmax(torch.stack(scores, dim=1), dim=1)


class MetaTower(nn.Module):
    """leaky_relu(meta(R) + R), a hidden layer, a head."""

    def __init__(self, scenario: int, width: int) -> None:
        """Make the meta unit, the hidden layer and the head."""
        super().__init__()
        self.meta = nn.ModuleList([Meta(scenario, width)])
        self.layers = nn.ModuleList([nn.Linear(width, 32)])
        self.head = nn.Linear(32, 1)

    def forward(self, x: Tensor, scenario: Tensor) -> Tensor:
        """Logits, `[B]`."""
        x = leaky_relu(self.meta[0](x, scenario) + x, SLOPE)
        logits: Tensor = self.head(torch.relu(self.layers[0](x)))
        return logits.squeeze(1)


class M2m(Reference):
    """Four experts, a meta gate and a meta tower per task."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make the experts, the gates and the towers."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        width = self.inputs.width(FEATURES)
        experts = {"scenario": [Leaky(24, 16)], "pool": [Leaky(width, 32, 16) for _ in range(4)]}
        self.level1 = Level(experts, {task: MetaGate(16, 16) for task in TASKS})
        self.towers = nn.ModuleDict({task: MetaTower(16, 16) for task in TASKS})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per task, `[B]`."""
        read = self.inputs.read(batch)
        scenario = self.level1.run("scenario", torch.cat([read["scene"], read["user"]], dim=1))[0]
        experts = self.level1.run("pool", torch.cat([read[name] for name in FEATURES], dim=1))
        mixed = {task: mix(self.level1.gates[task](experts, scenario), experts) for task in TASKS}
        return {task: self.towers[task](mixed[task], scenario) for task in TASKS}
