"""Kinds of experts: `[B, D] -> [B, H]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from archspec.contract import ExpertKind, Width, expert
from archspec.contract.settings import Units
from archspec.kinds.mlp import Mlp, Modulated

if TYPE_CHECKING:
    from archspec.program import Scope, Value


@expert("mlp")
class MlpExpert(Mlp):
    """A multilayer perceptron: the expert of MMoE, CGC and PLE."""

    units: Annotated[Units, Field(min_length=1)]
    """Sizes of the layers; the last one is the output width."""


@expert("identity")
class Identity(Modulated, ExpertKind):
    """Passes its input on, so that a gate can mix streams that already exist."""

    title: ClassVar[str] = "identity"
    formula: ClassVar[str] = "x"

    def width(self, input: Width) -> Width:
        """The input's width."""
        return input

    def lower(self, at: Scope, x: Value) -> Value:
        """`[B, D] -> [B, D]`."""
        return self.modulated(at, "input" if self.modulate is None else self.modulate.at, 0, x, x)
