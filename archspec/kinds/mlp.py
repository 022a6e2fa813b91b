"""The multilayer perceptron that experts and towers share."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from archspec.contract import Settings, TowerKind, Width
from archspec.contract.settings import NotNegative, Probability, Units, added
from archspec.kinds.blocks import Activation, Layered, Modulation, Norm

if TYPE_CHECKING:
    from archspec.program import Scope, Value


class Modulated(Settings):
    """Settings of a block that can be modulated."""

    modulate: Modulation | None = None

    def modulated(self, at: Scope, where: str, index: int, x: Value, default: Value) -> Value:
        """Multiplies x `[B, H]` by its gate if `modulate.at` is `where`; else returns x."""
        if self.modulate is None or self.modulate.at != where:
            return x
        return self.modulate.apply(at, index, x, default)

    def idle(self) -> dict[tuple[str | int, ...], str]:
        """Settings, including those of the modulation, that change nothing."""
        own = self.modulate.idle() if self.modulate is not None else {}
        return super().idle() | {("modulate", *path): reason for path, reason in own.items()}


class Mlp(Modulated, Layered, TowerKind):
    """Layers of linear, norm, activation, dropout, in this order."""

    title: ClassVar[str] = "MLP"
    headed: ClassVar[bool] = False
    """Whether a linear head follows: then its input counts as a layer's input, too."""
    formula: ClassVar[str] = "h_i = dropout(activation(norm(W_i h_(i-1) + b_i)))"

    units: Units = ()
    """Sizes of the layers; the last one is the output width."""
    activation: Activation = "relu"
    norm: Norm = "none"
    dropout: Probability = 0.0
    bias: bool = True
    input_norm: Norm = added("none")
    """Norm of the block's input, before the first layer."""
    l2: NotNegative = added(0.0)
    """Adds l2 * (sum of the squares of the matrices of the layers, without a tower's head) to the loss in training."""

    def idle(self) -> dict[tuple[str | int, ...], str]:
        """Settings of an activation or norm that the block does not have, even for its input."""
        used = {"none": (), "layer": ("eps",), "batch": ("eps", "momentum")}[self.input_norm]
        found = {path: reason for path, reason in super().idle().items() if path[0] not in used}
        return found if self.units else found | {("l2",): "there are no `units`, so no matrices"}

    def width(self, input: Width) -> Width:
        """The last of `units`, or the input's width if there are none."""
        return self.units[-1] if self.units else input

    def lower(self, at: Scope, x: Value) -> Value:
        """`[B, D] -> [B, H]`."""
        x = at.norm(x, self.input_norm, "input_norm", eps=self.eps, momentum=self.momentum)
        h = source = self.modulated(at, "input", 0, x, x)
        for index, units in enumerate(self.units):
            h = self.modulated(at, "layer_inputs", index, h, source)
            h = self.layer(at, h, units, index, bias=self.bias)
            h = self.modulated(at, "hidden", index, at.dropout(h, self.dropout), source)
        self._decay(at)
        return self.modulated(at, "layer_inputs", len(self.units), h, source) if self.headed else h

    def _decay(self, at: Scope) -> None:
        if self.l2 and at.like is None:  # shared matrices count once, in the block that owns them
            own, names = at.weights_of(at.name), (at.path(f"layers.{index}.weight") for index in range(len(self.units)))
            matrices = [own[name] for name in names]
            at.auxiliary_loss(at.scale(at.apply("sum_of_squares", *matrices, shape=()), self.l2))

    def detail(self) -> str:
        """The sizes, such as `256, 128`."""
        return ", ".join(map(str, self.units))
