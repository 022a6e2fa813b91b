"""M3oE (2404.18465): shared, scene and task experts, balanced by learned numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import Batch, Cases, Fields, Gate, Inputs, Level, Mlp, Reference, StaticGate, mix

SCENES = ("home", "search", "nearby")
TASKS = ("click", "buy")
INPUTS: Fields = {
    "scene": {"kind": "domain", "values": list(SCENES), "dim": 8},
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "item": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "item", "length": 10, "pool": "mean"},
    "stats": {"kind": "dense", "dim": 8},
}


class NormedTower(nn.Module):
    """Linear, layer norm, ReLU, linear: one logit."""

    def __init__(self, width: int) -> None:
        """Make a hidden layer as wide as its input, and the head."""
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(width, width)])
        self.norms = nn.ModuleList([nn.LayerNorm(width)])
        self.head = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `[B]`."""
        logits: Tensor = self.head(torch.relu(self.norms[0](self.layers[0](x))))
        return logits.squeeze(1)


class M3oe(Reference):
    """Per scene and task: shared mix + s(a) scene mix + s(c) task mix."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make the experts, the static weights, a gate per scene and task, and the towers."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        width = self.inputs.width()
        pairs = [f"{scene}_{task}" for scene in SCENES for task in TASKS]
        experts = {"shared": [Mlp(width, [64, 32], norm="layer") for _ in range(4)]}
        experts |= {name: [Mlp(width, [64, 32], norm="layer")] for name in (*SCENES, *TASKS)}
        gates = {f"at_{scene}": StaticGate([0.0] * 3) for scene in SCENES}
        gates |= {f"of_{task}": StaticGate([0.0] * 2) for task in TASKS}
        self.level1 = Level(experts, gates)
        self.level2 = Level(
            {},
            {
                **{f"shared_{pair}": Gate(width, 4, bias=True) for pair in pairs},
                **{pair: StaticGate([0.0] * 2) for pair in pairs},
            },
        )
        self.towers = nn.ModuleDict({task: Cases({scene: NormedTower(32) for scene in SCENES}) for task in TASKS})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower, `[B]`."""
        x = self.inputs.concat(batch)
        shared = self.level1.run("shared", x)
        scenes = [self.level1.run(scene, x)[0] for scene in SCENES]
        tasks = [self.level1.run(task, x)[0] for task in TASKS]
        logits = {}
        for task in TASKS:
            of_task = mix(torch.softmax(self.level1.gates[f"of_{task}"](len(x)), dim=1), tasks)
            streams = []
            for scene in SCENES:
                at_scene = mix(torch.softmax(self.level1.gates[f"at_{scene}"](len(x)), dim=1), scenes)
                balance = torch.sigmoid(self.level2.gates[f"{scene}_{task}"](len(x)))
                fused = mix(self.level2.gates[f"shared_{scene}_{task}"](x.detach()), shared)
                streams.append(fused + mix(balance, [at_scene, of_task]))
            logits[task] = self.towers[task](batch["scene"], streams)
        return logits
