"""Adaptive Task-to-Task Fusion (2304.04959): f = softmax gate over all experts + static gate over own experts."""

from __future__ import annotations

from torch import Tensor, nn

from .blocks import Batch, Fields, Gate, Inputs, Level, Mlp, Reference, StaticGate, Tower, mix

INPUTS: Fields = {
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "video": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "video", "length": 10, "pool": "mean"},
    "stats": {"kind": "dense", "dim": 8},
}
TASKS = ("watch", "like", "share")


class Adatt(Reference):
    """Two levels; each task fuses all experts by a gate on its own stream, and adds its own experts."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make two experts per task and level, a gate and static weights per task, and the towers."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        width = self.inputs.width()
        for number in (1, 2):
            own = {f"own_{task}": StaticGate([0.5, 0.5]) for task in TASKS}
            level = Level(
                {task: [Mlp(width, [64, 32]) for _ in range(2)] for task in TASKS},
                {**own, **{task: Gate(width, 6, bias=True) for task in TASKS}},
            )
            self.add_module(f"level{number}", level)
            width = 32
        self.towers = nn.ModuleDict({task: Tower(32, [32, 16]) for task in TASKS})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower, `[B]`."""
        streams = dict.fromkeys(TASKS, self.inputs.concat(batch))
        for number in (1, 2):
            streams = self._fuse(getattr(self, f"level{number}"), streams)
        return {task: tower(streams[task]) for task, tower in self.towers.items()}

    @staticmethod
    def _fuse(level: Level, streams: dict[str, Tensor]) -> dict[str, Tensor]:
        """One level: for each task the sum of both mixes."""
        experts = {task: level.run(task, streams[task]) for task in TASKS}
        everybody = [expert for task in TASKS for expert in experts[task]]
        fused = {}
        for task in TASKS:
            own = level.gates[f"own_{task}"](len(streams[task]))
            fused[task] = mix(level.gates[task](streams[task]), everybody) + mix(own, experts[task])
        return fused
