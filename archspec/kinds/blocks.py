"""What several kinds are made of: the small gate network, and the modulation of a block's layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from archspec.contract import Reference, Settings
from archspec.contract.settings import Count, Finite, Units

if TYPE_CHECKING:
    from archspec.program import Scope, Value

Activation = Literal["relu", "silu", "gelu", "tanh", "sigmoid", "leaky_relu", "elu", "softplus", "none"]
Norm = Literal["none", "batch", "layer"]


class GateLayers(Settings):
    """The network that turns a selector into gate logits: hidden ReLU layers with biases, maybe a low rank, a head."""

    units: Units = ()
    """Hidden layers, ReLU, with biases."""
    bias: bool = False
    """Bias of the last linear layer."""
    rank: Count | None = None
    """Width of a bottleneck without activation before the last layer: x B A (HoME, 2408.05430)."""

    def logits(self, at: Scope, selector: Value, width: int) -> Value:
        """`[B, D] -> [B, width]`."""
        x = selector
        for index, units in enumerate(self.units):
            x = at.activation(at.linear(x, units, f"layers.{index}"), "relu")
        if self.rank is not None:
            x = at.linear(x, self.rank, "down", bias=False)
        return at.linear(x, width, "head", bias=self.bias)


class Modulation(GateLayers):
    """A sigmoid gate times what a block's layers give or take: `scale * sigmoid(gate(selector)) * x`.

    PPNet (2302.01115): `at: layer_inputs`. HoME's experts (2408.05430): `at: input, rank: 4`. POSO (2108.04690).
    """

    at: Literal["hidden", "input", "layer_inputs"] = "hidden"
    """`hidden`: what each of `units` gives. `input`: the block's input. `layer_inputs`: what each layer takes, a
    tower's head included."""
    selector: Reference | None = None
    """What decides; the block's own input where not given."""
    scale: Finite = 2.0

    def apply(self, block: Scope, index: int, x: Value, default: Value) -> Value:
        """x `[B, H]` times its gate; `index` counts the gates of the block."""
        at = block.child(f"modulate.{index}")
        selector = default if self.selector is None else block.read(self.selector)
        gate = at.activation(self.logits(at, selector, x.width), "sigmoid")
        return at.product(x, at.scale(gate, self.scale))
