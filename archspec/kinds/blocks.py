"""Building blocks of several kinds: a hidden layer, the small gate network, and the modulation of a block's layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from archspec.contract import Reference, Settings
from archspec.contract.settings import Count, Epsilon, Finite, Momentum, Probability, Slope, Units, added

if TYPE_CHECKING:
    from archspec.program import Scope, Value

Activation = Literal[
    "relu", "silu", "gelu", "tanh", "sigmoid", "leaky_relu", "elu", "softplus", "prelu", "dice", "none"
]
Norm = Literal["none", "batch", "layer"]


class Layered(Settings):
    """Settings of hidden layers: how an activation and a norm are computed."""

    if TYPE_CHECKING:  # each block declares these itself, in the order of its settings
        activation: Activation
        norm: Norm

    slope: Slope = added(0.01)
    """Slope of `leaky_relu` below zero (TensorFlow's default is 0.2)."""
    eps: Epsilon = added(1e-5)
    """The number that a norm adds to the variance (Keras's default is 1e-3)."""
    momentum: Momentum = added(0.1)
    """The batch's share in running statistics (`norm: batch`, `dice`), as in torch (Keras's default would be 0.01)."""

    def layer(self, at: Scope, x: Value, units: int, index: int, *, bias: bool = True) -> Value:
        """Linear, norm, activation: `[B, D] -> [B, units]`."""
        h = at.linear(x, units, f"layers.{index}", bias=bias)
        h = at.norm(h, self.norm, f"norms.{index}", eps=self.eps, momentum=self.momentum)
        return at.activation(h, self.activation, slope=self.slope, name=f"activations.{index}", momentum=self.momentum)

    def idle(self) -> dict[tuple[str | int, ...], str]:
        """Settings for an activation or a norm that the block does not have."""
        found: dict[tuple[str | int, ...], str] = {}
        if self.activation != "leaky_relu":
            found["slope",] = f"the activation is `{self.activation}`, not `leaky_relu`"
        if self.norm == "none":
            found["eps",] = "there is no norm"
        if self.norm != "batch" and self.activation != "dice":
            found["momentum",] = f"it belongs to `norm: batch` and `activation: dice`, and the norm is `{self.norm}`"
        return found


class FinalLayers(Layered):
    """Layers that may follow those of a kind: linear with bias, norm, activation, dropout, in this order."""

    units: Units = ()
    """Sizes of the final layers; the last one is the output width."""
    activation: Activation = "relu"
    """Activation of each of the final layers."""
    norm: Norm = "none"
    """Norm of each of the final layers."""
    dropout: Probability = 0.0
    """Dropout after each of the final layers, in training."""

    def final(self, at: Scope, x: Value) -> Value:
        """Applies the final layers to `[B, D]`; returns x itself if there are none."""
        for index, size in enumerate(self.units):
            x = at.dropout(self.layer(at, x, size, index), self.dropout)
        return x

    def idle(self) -> dict[tuple[str | int, ...], str]:
        """Settings of final layers if there are none, or of an activation or a norm that they do not have."""
        if self.units:
            return super().idle()
        keys = ("activation", "slope", "norm", "eps", "momentum", "dropout")
        return {(key,): "there are no `units`" for key in keys}


class GateHidden(Layered):
    """The hidden layers of a gate network: linear with bias, norm, activation, dropout, in this order."""

    if TYPE_CHECKING:  # as above
        units: Units

    activation: Activation = added("relu")
    """Activation after every hidden layer of the gate network."""
    norm: Norm = added("none")
    """Norm of every hidden layer of the gate network."""
    hidden_dropout: Probability = added(0.0)
    """Dropout after every hidden layer of the gate network, in training."""

    def hidden(self, at: Scope, x: Value) -> Value:
        """Applies the hidden layers to `[B, D]`."""
        for index, size in enumerate(self.units):
            x = at.dropout(self.layer(at, x, size, index), self.hidden_dropout)
        return x

    def idle(self) -> dict[tuple[str | int, ...], str]:
        """Settings of hidden layers if there are none, or of an activation or a norm that they do not have."""
        if self.units:
            return super().idle()
        keys = ("activation", "slope", "norm", "eps", "momentum", "hidden_dropout")
        return {(key,): "the gate network has no hidden layers" for key in keys}


class GateLayers(GateHidden):
    """The network that turns a selector into gate logits: hidden layers with biases, an optional low rank, a head."""

    units: Units = ()
    """Sizes of the hidden layers."""
    bias: bool = False
    """Bias of the last linear layer."""
    rank: Count | None = None
    """Width of a bottleneck without activation before the last layer: x B A (HoME, 2408.05430)."""

    def logits(self, at: Scope, selector: Value, width: int) -> Value:
        """`[B, D] -> [B, width]`."""
        x = self.hidden(at, selector)
        if self.rank is not None:
            x = at.linear(x, self.rank, "down", bias=False)
        return at.linear(x, width, "head", bias=self.bias)


class Modulation(GateLayers):
    """A sigmoid gate on the inputs or outputs of a block's layers: `scale * sigmoid(gate(selector)) * x`.

    PPNet (2302.01115): `at: layer_inputs`. HoME's experts (2408.05430): `at: input, rank: 4`. POSO
    (2108.04690): `at: hidden`.
    """

    at: Literal["hidden", "input", "layer_inputs"] = "hidden"
    """`hidden`: the output of each of `units`. `input`: the block's input. `layer_inputs`: the input of each layer,
    including a tower's head."""
    selector: Reference | None = None
    """The stream that the gate is computed from; by default the block's own input."""
    scale: Finite = 2.0

    def apply(self, block: Scope, index: int, x: Value, default: Value) -> Value:
        """Multiplies x `[B, H]` by its gate; `index` is the number of the gate in the block."""
        at = block.child(f"modulate.{index}")
        selector = default if self.selector is None else block.read(self.selector)
        gate = at.activation(self.logits(at, selector, x.width), "sigmoid")
        return at.product(x, at.scale(gate, self.scale))
