"""Shared-Bottom (Caruana, 1997): y_k = tower_k(f(x))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from .blocks import Batch, Fields, Inputs, Level, Mlp, Reference, Tasks, Tower

if TYPE_CHECKING:
    from collections.abc import Sequence

INPUTS: Fields = {
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "item": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "item", "length": 10, "pool": "mean"},
    "stats": {"kind": "dense", "dim": 8},
}
TASKS: Tasks = {"click": 1, "like": 1, "stay": 1}


class SharedBottom(Reference):
    """One network that every tower reads."""

    INPUTS = INPUTS

    def __init__(self, inputs: Fields = INPUTS, tasks: Tasks = TASKS, units: Sequence[int] = (64, 32)) -> None:
        """Make a bottom of `units` and one tower per task."""
        super().__init__()
        self.inputs = Inputs(inputs)
        self.level1 = Level({"bottom": [Mlp(self.inputs.width(), units)]})
        self.towers = nn.ModuleDict({task: Tower(units[-1], [32], classes) for task, classes in tasks.items()})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower."""
        (bottom,) = self.level1.run("bottom", self.inputs.concat(batch))
        return {task: tower(bottom) for task, tower in self.towers.items()}
