"""The 100-wide, two-task, two-level PLE with gate networks 16, 8 and towers 32, 16, biases everywhere.

Written out stream by stream, without a loop over tasks or levels.
"""

from __future__ import annotations

from torch import Tensor, nn

from .blocks import Batch, Fields, Gate, Inputs, Level, Mlp, Reference, Tower, mix

INPUTS: Fields = {"x": {"kind": "dense", "dim": 100}}


def experts(width: int) -> list[nn.Module]:
    """Two experts of 64, 32, 16."""
    return [Mlp(width, [64, 32, 16]), Mlp(width, [64, 32, 16])]


def gate(width: int, seen: int) -> Gate:
    """Make a gate network 16, 8 and a head with a bias."""
    return Gate(width, seen, [16, 8], bias=True)


class PleVideo(Reference):
    """Two experts each for `like`, `click` and both, in two levels."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make both levels and the towers."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        self.level1 = Level(
            {"like": experts(100), "click": experts(100), "shared": experts(100)},
            {"like": gate(100, 4), "click": gate(100, 4), "shared": gate(100, 6)},
        )
        self.level2 = Level(
            {"like": experts(16), "click": experts(16), "shared": experts(16)},
            {"like": gate(16, 4), "click": gate(16, 4)},
        )
        self.towers = nn.ModuleDict({"like": Tower(16, [32, 16]), "click": Tower(16, [32, 16])})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower, `[B]`."""
        x = batch["x"]
        like1, click1, shared1 = (self.level1.run(group, x) for group in ("like", "click", "shared"))
        like = mix(self.level1.gates["like"](x), like1 + shared1)
        click = mix(self.level1.gates["click"](x), click1 + shared1)
        shared = mix(self.level1.gates["shared"](x), like1 + click1 + shared1)

        shared2 = self.level2.run("shared", shared)
        like = mix(self.level2.gates["like"](like), self.level2.run("like", like) + shared2)
        click = mix(self.level2.gates["click"](click), self.level2.run("click", click) + shared2)
        return {"like": self.towers["like"](like), "click": self.towers["click"](click)}
