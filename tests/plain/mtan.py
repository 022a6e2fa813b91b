"""MTAN (1803.10704) with linear layers: a trunk, and a mask per task on the second layer of each block."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from .blocks import Batch, Fields, Inputs, Level, Mlp, Reference, Tower
from .modulation import ScaleGate

if TYPE_CHECKING:
    from collections.abc import Sequence

INPUTS: Fields = {"image": {"kind": "dense", "dim": 128}}
TASKS = {"segment": 13, "depth": 1}


class Mask(nn.Module):
    """s(g(x)), g one hidden layer."""

    def __init__(self, width: int) -> None:
        """Make the gate from what it reads to the trunk's 64 features."""
        super().__init__()
        self.modulate = nn.ModuleList([ScaleGate(width, 64, [32], scale=1.0)])

    def forward(self, selector: Tensor) -> Tensor:
        """The mask, `[B, 64]`."""
        mask: Tensor = self.modulate[0](selector)
        return mask


class Mtan(Reference):
    """Two blocks of two trunk layers each."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make the trunk, the masks and the towers."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        for number, width in ((1, 128), (2, 64)):
            trunk: dict[str, Sequence[nn.Module]] = {"u": [Mlp(width, [64])], "p": [Mlp(64, [64])]}
            self.add_module(f"level{number}", Level({**trunk, **{task: [Mask(64 * number)] for task in TASKS}}))
        self.towers = nn.ModuleDict({task: Tower(64, [32], classes) for task, classes in TASKS.items()})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower, `[B, classes]` or `[B]`."""
        p = self.inputs.concat(batch)
        attended: dict[str, Tensor] = {}
        for level in cast("list[Level]", [self.level1, self.level2]):
            (u,) = level.run("u", p)
            (p,) = level.run("p", u)
            for task in TASKS:
                read = torch.cat([u, attended[task]], dim=1) if task in attended else u
                attended[task] = p * level.run(task, read)[0]
        return {task: tower(attended[task]) for task, tower in self.towers.items()}
