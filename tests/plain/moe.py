"""Mixture of experts with one gate (OMoE in the MMoE paper): f = sum_i g(x)_i E_i(x), the same f for all towers."""

from __future__ import annotations

from torch import Tensor, nn

from .blocks import Batch, Fields, Gate, Inputs, Level, Mlp, Reference, Tower, mix

INPUTS: Fields = {"x": {"kind": "dense", "dim": 100}}


class Moe(Reference):
    """Eight experts of 16, one gate, towers of 8."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make the experts, the gate and two towers."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        self.level1 = Level({"pool": [Mlp(100, [16]) for _ in range(8)]}, {"mix": Gate(100, 8)})
        self.towers = nn.ModuleDict({"first": Tower(16, [8]), "second": Tower(16, [8])})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Predicted values per tower, `[B]`."""
        x = self.inputs.concat(batch)
        mixed = mix(self.level1.gates["mix"](x), self.level1.run("pool", x))
        return {task: tower(mixed) for task, tower in self.towers.items()}
