"""HiNet (2303.06095): mini mixtures per scene, attention over the other scenes', then CGC per scene and task."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import Batch, Cases, Fields, Gate, Inputs, Level, Mlp, Reference, Tower, mix

SCENES = ("home", "search", "nearby")
TASKS = ("click", "buy")
FEATURES = ("user", "item", "history", "stats")
INPUTS: Fields = {
    "scene": {"kind": "domain", "values": list(SCENES), "dim": 8},
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "item": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "item", "length": 10, "pool": "mean"},
    "stats": {"kind": "dense", "dim": 8},
}


class Attention(nn.Module):
    """softmax(MLP(s)) over all scenes, the weight of the row's own then set to 0."""

    def __init__(self) -> None:
        """Make the network from the scene's embedding to a logit per scene."""
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(8, 32), nn.Linear(32, 16)])
        self.head = nn.Linear(16, len(SCENES))

    def forward(self, embedding: Tensor, scene: Tensor, mixtures: list[Tensor]) -> Tensor:
        """Mix of the others' mixtures, `[B, H]`; row by row."""
        h = embedding
        for layer in self.layers:
            h = torch.relu(layer(h))
        rows = []
        for row, (own, weights) in enumerate(zip(scene.tolist(), torch.softmax(self.head(h), dim=1), strict=True)):
            others = [index for index in range(len(SCENES)) if index != own]
            rows.append(sum(weights[index] * mixtures[index][row] for index in others))
        return torch.stack(rows) if rows else mixtures[0]


class Hinet(Reference):
    """Scenario layer, then a task layer per scene and task."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make the mixtures, the attention, the CGC level and the towers."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        width = self.inputs.width(FEATURES)
        names = (*SCENES, "shared")
        self.level1 = Level(
            {name: [Mlp(width, [64, 32]) for _ in range(2)] for name in names},
            {name: Gate(width, 2, bias=True) for name in names},
        )
        self.level2 = Level({}, {"others": Attention()})
        pairs = [f"{scene}_{task}" for scene in SCENES for task in TASKS]
        self.level3 = Level(
            {name: [Mlp(96, [32]) for _ in range(2)] for name in (*pairs, "shared")},
            {pair: Gate(96, 4, bias=True) for pair in pairs},
        )
        self.towers = nn.ModuleDict({task: Cases({scene: Tower(32, [32]) for scene in SCENES}) for task in TASKS})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower, `[B]`."""
        x = torch.cat([self.inputs.vector(name, batch) for name in FEATURES], dim=1)
        mixtures = {name: mix(gate(x), self.level1.run(name, x)) for name, gate in self.level1.gates.items()}
        scenes = [mixtures[name] for name in SCENES]
        own = torch.stack(scenes, dim=1)[torch.arange(len(x)), batch["scene"]]
        others = self.level2.gates["others"](self.inputs.vector("scene", batch), batch["scene"], scenes)
        joined = torch.cat([others, own, mixtures["shared"]], dim=1)
        shared = self.level3.run("shared", joined)
        streams = {
            pair: mix(gate(joined), self.level3.run(pair, joined) + shared) for pair, gate in self.level3.gates.items()
        }
        return {
            task: self.towers[task](batch["scene"], [streams[f"{scene}_{task}"] for scene in SCENES]) for task in TASKS
        }
