"""DeepSeekMoE (2401.06066, 2412.19437): shared experts, the best k of the others, and biases that balance the load."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import Batch, Fields, Inputs, Level, Mlp, Reference, Tower

INPUTS: Fields = {
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "item": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "item", "length": 10, "pool": "mean"},
    "stats": {"kind": "dense", "dim": 8},
}
TASKS = ("click", "like")
K, UPDATE = 2, 0.001


class Router(nn.Module):
    """Chooses K of eight experts for each row."""

    bias: Tensor

    def __init__(self, width: int) -> None:
        """Make the layer of the affinities and the biases."""
        super().__init__()
        self.head = nn.Linear(width, 8, bias=False)
        self.register_buffer("bias", torch.zeros(8))

    def forward(self, x: Tensor, shared: list[Tensor], routed: list[Tensor]) -> Tensor:
        """Sum of the shared experts and of the chosen ones, `[B, H]`; row by row."""
        affinity = torch.sigmoid(self.head(x))
        load = torch.zeros_like(self.bias)
        rows = []
        for row in range(len(x)):
            chosen = torch.topk(affinity[row] + self.bias, K).indices.tolist()
            total = sum(affinity[row, i] for i in chosen)
            rows.append(
                sum(expert[row] for expert in shared) + sum(affinity[row, i] / total * routed[i][row] for i in chosen)
            )
            load[chosen] += 1
        if self.training:
            self.bias += UPDATE * torch.sign(load.mean() - load)
        return torch.stack(rows) if rows else shared[0]


class DeepseekMoe(Reference):
    """Two shared and eight routed experts, a router per task."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make the experts, the routers and the towers."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        width = self.inputs.width()
        self.level1 = Level(
            {"shared": [Mlp(width, [32, 32]) for _ in range(2)], "routed": [Mlp(width, [32, 32]) for _ in range(8)]},
            {task: Router(width) for task in TASKS},
        )
        self.towers = nn.ModuleDict({task: Tower(32, [32]) for task in TASKS})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower, `[B]`."""
        x = self.inputs.concat(batch)
        shared, routed = self.level1.run("shared", x), self.level1.run("routed", x)
        return {task: self.towers[task](self.level1.gates[task](x, shared, routed)) for task in TASKS}
