"""HiNet (2303.06095): mini mixtures per scene, attention over the other scenes', then CGC per task."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import Batch, Fields, Gate, Inputs, Level, Mlp, Reference, Tower, mix

SCENES = ("home", "search", "nearby")
TASKS = ("click", "buy")
INPUTS: Fields = {
    "scene": {"kind": "domain", "values": list(SCENES), "dim": 8},
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "item": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "item", "length": 10, "pool": "mean"},
    "stats": {"kind": "dense", "dim": 8},
}


class Attention(nn.Module):
    """softmax(W s) over all scenes but the row's own."""

    def __init__(self) -> None:
        """Make the matrix from the scene's embedding to a logit per scene."""
        super().__init__()
        self.head = nn.Linear(8, len(SCENES), bias=False)

    def forward(self, embedding: Tensor, scene: Tensor, mixtures: list[Tensor]) -> Tensor:
        """Mix of the others' mixtures, `[B, H]`; row by row."""
        rows = []
        for row, own in enumerate(scene.tolist()):
            others = [index for index in range(len(SCENES)) if index != own]
            weights = torch.softmax(self.head(embedding[row])[others], dim=0)
            rows.append(sum(w * mixtures[index][row] for w, index in zip(weights, others, strict=True)))
        return torch.stack(rows) if rows else mixtures[0]


class Hinet(Reference):
    """Scenario layer, then task layer."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make the mixtures, the attention, the CGC level and the towers."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        width = self.inputs.width()
        names = (*SCENES, "shared")
        self.level1 = Level(
            {name: [Mlp(width, [64, 32]) for _ in range(2)] for name in names}, {name: Gate(width, 2) for name in names}
        )
        self.level2 = Level({}, {"others": Attention()})
        self.level3 = Level(
            {name: [Mlp(96, [32]) for _ in range(2)] for name in (*TASKS, "shared")},
            {task: Gate(96, 4) for task in TASKS},
        )
        self.towers = nn.ModuleDict({task: Tower(32, [32]) for task in TASKS})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower, `[B]`."""
        x = self.inputs.concat(batch)
        mixtures = {name: mix(gate(x), self.level1.run(name, x)) for name, gate in self.level1.gates.items()}
        scenes = [mixtures[name] for name in SCENES]
        own = torch.stack(scenes, dim=1)[torch.arange(len(x)), batch["scene"]]
        others = self.level2.gates["others"](self.inputs.vector("scene", batch), batch["scene"], scenes)
        joined = torch.cat([mixtures["shared"], own, others], dim=1)
        shared = self.level3.run("shared", joined)
        return {
            task: self.towers[task](mix(self.level3.gates[task](joined), self.level3.run(task, joined) + shared))
            for task in TASKS
        }
