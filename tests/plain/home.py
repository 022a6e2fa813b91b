"""HoME (2408.05430): experts with batch norm and SiLU behind low-rank feature gates; groups of tasks, then tasks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import Batch, Fields, Gate, Inputs, Level, Reference, Tower, mix
from .modulation import ModulatedMlp, ScaleGate

INPUTS: Fields = {
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "video": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "video", "length": 10, "pool": "mean"},
    "stats": {"kind": "dense", "dim": 8},
}
GROUPS = {"watching": ("finish", "long_view"), "acting": ("like", "comment")}


def experts(width: int, units: int) -> list[ModulatedMlp]:
    """Two experts: 2 s(x B A) x, linear, batch norm, SiLU."""
    return [
        ModulatedMlp(
            width,
            [units],
            lambda out: ScaleGate(out, out, rank=4),
            at="input",
            norm=True,
            activation=nn.functional.silu,
        )
        for _ in range(2)
    ]


class Home(Reference):
    """Level 1 outputs a stream per group and a shared one; level 2 a vector per task."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make both levels and a tower per task."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        width = self.inputs.width()
        self.level1 = Level(
            {name: experts(width, 64) for name in ("shared", *GROUPS)},
            {"shared": Gate(width, 6), **{group: Gate(width, 4) for group in GROUPS}},
        )
        tasks = [task for members in GROUPS.values() for task in members]
        self.level2 = Level(
            {name: experts(64, 32) for name in ("shared", *GROUPS, *tasks)},
            {
                **{f"own_{task}": Gate(64, 2) for task in tasks},
                **{task: Gate(128, 6) for task in tasks},
            },
        )
        self.towers = nn.ModuleDict({task: Tower(32, [32]) for task in tasks})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower, `[B]`."""
        x = self.inputs.concat(batch)
        made = {name: self.level1.run(name, x) for name in ("shared", *GROUPS)}
        everybody = [expert for group in made.values() for expert in group]
        shared = mix(self.level1.gates["shared"](x), everybody)
        streams = {group: mix(self.level1.gates[group](x), made["shared"] + made[group]) for group in GROUPS}

        logits = {}
        common = self.level2.run("shared", shared)
        for group, tasks in GROUPS.items():
            members = self.level2.run(group, streams[group])
            for task in tasks:
                own = self.level2.run(task, streams[group])
                selector = torch.cat([shared, streams[group]], dim=1)
                fused = mix(self.level2.gates[task](selector), common + members + own)
                fused = fused + mix(self.level2.gates[f"own_{task}"](streams[group]), own)
                logits[task] = self.towers[task](fused)
        return logits
