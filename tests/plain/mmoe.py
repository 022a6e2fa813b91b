"""Multi-gate Mixture-of-Experts (Ma et al., KDD 2018): f^k = sum_i g^k(x)_i E_i(x), g^k = softmax(W_k x)."""

from __future__ import annotations

from torch import Tensor, nn

from .blocks import Batch, Fields, Gate, Inputs, Level, Mlp, Reference, Tasks, Tower, mix

INPUTS: Fields = {
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "item": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "item", "length": 10, "pool": "mean"},
    "scene": {"kind": "domain", "values": ["home", "search", "feed"], "dim": 4},
    "stats": {"kind": "dense", "dim": 8},
}
TASKS: Tasks = {"engagement": 1, "satisfaction": 1}


class Mmoe(Reference):
    """Experts for all tasks, one linear gate on the raw input per task."""

    INPUTS = INPUTS

    def __init__(
        self, inputs: Fields = INPUTS, tasks: Tasks = TASKS, *, experts: int = 8, tower: tuple[int, ...] = (32,)
    ) -> None:
        """Make the experts, and a gate and a tower with hidden layers `tower` per task."""
        super().__init__()
        self.inputs = Inputs(inputs)
        width = self.inputs.width()
        self.level1 = Level(
            {"shared": [Mlp(width, [64, 32]) for _ in range(experts)]},
            {task: Gate(width, experts) for task in tasks},
        )
        self.towers = nn.ModuleDict({task: Tower(32, tower, classes) for task, classes in tasks.items()})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower, `[B]`."""
        x = self.inputs.concat(batch)
        experts = self.level1.run("shared", x)
        return {task: tower(mix(self.level1.gates[task](x), experts)) for task, tower in self.towers.items()}
