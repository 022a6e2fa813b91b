"""Sluice networks (1705.08142): alpha mixes all halves of layers, beta the layers, a penalty parts the halves."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import Batch, Fields, Inputs, Level, Mlp, Reference, StaticGate, Tower, mix

INPUTS: Fields = {"text": {"kind": "dense", "dim": 128}}
TASKS = {"entity": 9, "chunk": 5}
HALVES = tuple(f"{task}_{half}" for half in "ab" for task in TASKS)
PENALTY = 0.01


class Sluice(Reference):
    """Two layers per task."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make layers, alpha (identity), beta (equal) and the towers."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        for number, width in ((1, 128), (2, 64)):
            alpha = {half: StaticGate([float(half == other) for other in HALVES]) for half in HALVES}
            self.add_module(f"level{number}", Level({half: [Mlp(width, [32])] for half in HALVES}, alpha))
        self.level3 = Level({}, {task: StaticGate([0.5, 0.5]) for task in TASKS})
        self.towers = nn.ModuleDict({task: Tower(64, [32], classes) for task, classes in TASKS.items()})
        self.overlaps: dict[str, Tensor] = {}

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower, `[B, classes]`."""
        x = self.inputs.concat(batch)
        read = dict.fromkeys(TASKS, x)
        layers: list[dict[str, Tensor]] = []
        for number in (1, 2):
            level: Level = getattr(self, f"level{number}")
            h = {half: level.run(half, read[half[:-2]])[0] for half in HALVES}
            mixed = {half: mix(level.gates[half](len(x)), list(h.values())) for half in HALVES}
            read = {task: torch.cat([mixed[f"{task}_a"], mixed[f"{task}_b"]], dim=1) for task in TASKS}
            layers.append(read)
            for task in TASKS:
                a, b = (level.state_dict(keep_vars=True)[f"experts.{task}_{half}.0.layers.0.weight"] for half in "ab")
                self.overlaps[f"level{number}.gates.{task}_a"] = torch.linalg.matrix_norm(a.T @ b) ** 2
        return {
            task: tower(mix(self.level3.gates[task](len(x)), [layer[task] for layer in layers]))
            for task, tower in self.towers.items()
        }

    def auxiliary_losses(self) -> dict[str, Tensor]:
        """0.01 times the squared Frobenius norm of W_a^T W_b, per task and layer."""
        return {name: PENALTY * overlap for name, overlap in self.overlaps.items()}
