"""Progressive Layered Extraction (Tang et al., RecSys 2020, eq. 6-7)."""

from __future__ import annotations

from torch import Tensor, nn

from .blocks import Batch, Fields, Gate, Inputs, Level, Mlp, Reference, Tower, mix

INPUTS: Fields = {
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "video": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "video", "length": 10, "pool": "mean"},
    "stats": {"kind": "dense", "dim": 8},
}
TASKS = ("vtr", "vcr")


class Ple(Reference):
    """Experts of module k read gate k of the level below; that stream steers gate k too.

    The last level has no shared gate: no tower would read it.
    """

    INPUTS = INPUTS

    def __init__(self, levels: int = 2, own: int = 2, shared: int = 3) -> None:
        """Make `levels` levels of `own` experts per task and `shared` shared ones."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        self.levels = levels
        width = self.inputs.width()
        for number in range(1, levels + 1):
            groups = {group: [Mlp(width, [64, 32]) for _ in range(own)] for group in TASKS}
            groups["shared"] = [Mlp(width, [64, 32]) for _ in range(shared)]
            gates = {task: Gate(width, own + shared) for task in TASKS}
            if number < levels:
                gates["shared"] = Gate(width, own * len(TASKS) + shared)
            self.add_module(f"level{number}", Level(groups, gates))
            width = 32
        self.towers = nn.ModuleDict({task: Tower(width, [32, 16]) for task in TASKS})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower, `[B]`."""
        streams = dict.fromkeys([*TASKS, "shared"], self.inputs.concat(batch))
        for number in range(1, self.levels + 1):
            streams = self._extract(getattr(self, f"level{number}"), streams)
        return {task: tower(streams[task]) for task, tower in self.towers.items()}

    @staticmethod
    def _extract(level: Level, streams: dict[str, Tensor]) -> dict[str, Tensor]:
        """One level: a task's gate sees its own experts, then the shared ones; the shared gate sees all."""
        experts = {group: level.run(group, stream) for group, stream in streams.items()}
        mixed = {}
        for name, gate in level.gates.items():
            groups = [*TASKS, "shared"] if name == "shared" else [name, "shared"]
            seen = [expert for group in groups for expert in experts[group]]
            mixed[name] = mix(gate(streams[name]), seen)
        return mixed
