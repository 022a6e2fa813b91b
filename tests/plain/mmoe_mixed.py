"""MMoE whose experts are cross networks, MaskNets and MLPs (Li et al., Pinterest Engineering, 2025)."""

from __future__ import annotations

from torch import Tensor, nn

from .blocks import Batch, Gate, Inputs, Level, Mlp, Reference, Tower, mix
from .interactions import Cross, MaskNet
from .mmoe import INPUTS, TASKS


class MmoeMixed(Reference):
    """Experts of three kinds, one linear gate on the raw input per task."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make the experts, and a gate and a tower per task."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        width = self.inputs.width()
        experts: dict[str, list[nn.Module]] = {
            "dcn": [Cross(width, 2, 16, units=[64, 32]) for _ in range(3)],
            "mask": [MaskNet(width, [64, 64], units=[32]) for _ in range(2)],
            "deep": [Mlp(width, [64, 32]) for _ in range(2)],
        }
        self.level1 = Level(experts, {task: Gate(width, 7) for task in TASKS})
        self.towers = nn.ModuleDict({task: Tower(32, [32]) for task in TASKS})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower, `[B]`."""
        x = self.inputs.concat(batch)
        experts = [expert for group in ("dcn", "mask", "deep") for expert in self.level1.run(group, x)]
        return {task: tower(mix(self.level1.gates[task](x), experts)) for task, tower in self.towers.items()}
