"""Kinds of feature gates: from a selector `[B, D]` to one factor per field or element, `[B, count]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from archspec.contract import FeatureGateKind, feature_gate
from archspec.kinds.blocks import GateLayers

if TYPE_CHECKING:
    from archspec.program import Scope, Value


@feature_gate("softmax")
class Softmax(GateLayers, FeatureGateKind):
    """Factors that add up to one: Meituan's feature selection gate, one per input field."""

    formula: ClassVar[str] = "softmax(W s)"
    adds_up: ClassVar[bool] = True
    """With a single field the factor is always 1, which is a warning."""

    def lower(self, at: Scope, selector: Value, count: int) -> Value:
        """`[B, D] -> [B, count]`."""
        return at.softmax(self.logits(at, selector, count))


@feature_gate("linear")
class Linear(GateLayers, FeatureGateKind):
    """Unbounded factors: with `squeeze: mean`, those of SENet without its last ReLU."""

    formula: ClassVar[str] = "W s"

    def lower(self, at: Scope, selector: Value, count: int) -> Value:
        """`[B, D] -> [B, count]`."""
        return self.logits(at, selector, count)


@feature_gate("relu")
class Relu(GateLayers, FeatureGateKind):
    """Nonnegative factors: with `squeeze: mean`, those of SENet (FiBiNET, 1905.09433, eq. 4-6)."""

    formula: ClassVar[str] = "relu(W s)"

    def lower(self, at: Scope, selector: Value, count: int) -> Value:
        """`[B, D] -> [B, count]`."""
        return at.activation(self.logits(at, selector, count), "relu")


@feature_gate("sigmoid")
class Sigmoid(GateLayers, FeatureGateKind):
    """Independent factors between 0 and 1: EPNet with `per: element, scale: 2` (PEPNet, 2302.01115)."""

    formula: ClassVar[str] = "sigmoid(W s)"

    def lower(self, at: Scope, selector: Value, count: int) -> Value:
        """`[B, D] -> [B, count]`."""
        return at.activation(self.logits(at, selector, count), "sigmoid")
