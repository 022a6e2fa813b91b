"""Cross-stitch networks (Misra et al., CVPR 2016): after each layer x~_j = sum_k a_jk x_k, a is K x K."""

from __future__ import annotations

from torch import Tensor, nn

from .blocks import Batch, Fields, Inputs, Level, Mlp, Reference, StaticGate, Tasks, Tower, mix

INPUTS: Fields = {"image": {"kind": "dense", "dim": 128}}
TASKS: Tasks = {"detection": 21, "attribute": 1}


class CrossStitch(Reference):
    """A one-layer network per task and level, mixed by static weights that start as the identity."""

    INPUTS = INPUTS

    def __init__(self, tasks: Tasks = TASKS) -> None:
        """Make two levels of one expert per task, and towers that are a head only."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        self.level1 = self._level(self.inputs.width(), tasks)
        self.level2 = self._level(64, tasks)
        self.towers = nn.ModuleDict({task: Tower(64, [], classes) for task, classes in tasks.items()})

    @staticmethod
    def _level(width: int, tasks: Tasks) -> Level:
        """One expert and one row of the cross-stitch matrix per task."""
        return Level(
            {task: [Mlp(width, [64])] for task in tasks},
            {task: StaticGate([float(task == other) for other in tasks]) for task in tasks},
        )

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower, `[B]` or `[B, classes]`."""
        x = self.inputs.concat(batch)
        streams = dict.fromkeys(self.towers, x)
        for level in (self.level1, self.level2):
            experts = [output for task, stream in streams.items() for output in level.run(task, stream)]
            streams = {task: mix(level.gates[task](len(x)), experts) for task in streams}
        return {task: tower(streams[task]) for task, tower in self.towers.items()}
