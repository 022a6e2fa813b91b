"""MTAN (1803.10704) with linear layers: a trunk, a mask per task in each block, and one encoder for all tasks."""

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
        """Make the gate from its input to the trunk's 64 features."""
        super().__init__()
        self.modulate = nn.ModuleList([ScaleGate(width, 64, [32], scale=1.0)])

    def forward(self, selector: Tensor) -> Tensor:
        """The mask, `[B, 64]`."""
        mask: Tensor = self.modulate[0](selector)
        return mask


class Mtan(Reference):
    """Two blocks of two trunk layers; each task's attended features of the first pass through the shared encoder."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make the trunk, the masks and the towers."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        for number, width in ((1, 128), (2, 64)):
            trunk: dict[str, Sequence[nn.Module]] = {"u": [Mlp(width, [64])], "p": [Mlp(64, [64])]}
            shared: dict[str, Sequence[nn.Module]] = {"f_segment": [Mlp(64, [64])]} if number == 1 else {}
            masks = {task: [Mask(64 * number)] for task in TASKS}
            self.add_module(f"level{number}", Level({**trunk, **masks, **shared}))
        self.towers = nn.ModuleDict({task: Tower(64, [32], classes) for task, classes in TASKS.items()})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower, `[B, classes]` or `[B]`."""
        p = self.inputs.concat(batch)
        below, above = cast("list[Level]", [self.level1, self.level2])
        (u,) = below.run("u", p)
        (p,) = below.run("p", u)
        encoded = {task: below.run("f_segment", p * below.run(task, u)[0])[0] for task in TASKS}
        (u,) = above.run("u", p)
        (p,) = above.run("p", u)
        attended = {task: p * above.run(task, torch.cat([u, encoded[task]], dim=1))[0] for task in TASKS}
        return {task: tower(attended[task]) for task, tower in self.towers.items()}
