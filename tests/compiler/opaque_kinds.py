"""Kinds that build an opaque module, in every category that can: an expert, gates, a feature gate and a tower."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from archspec import ExpertKind, FeatureGateKind, GateKind, TowerKind, expert, feature_gate, gate, tower
from archspec.contract.settings import Count

if TYPE_CHECKING:
    from archspec import Width
    from archspec.program import Seen


@expert("opaque_expert")
class OpaqueExpert(ExpertKind):
    """Two projections, multiplied; its module is a class inside a function, which pickle cannot find by name."""

    units: Count = 4

    def width(self, input: Width) -> Width:
        """The width of its own units."""
        return self.units

    def build(self, input: Width) -> nn.Module:
        """`[B, D] -> [B, units]`."""

        class Product(nn.Module):
            def __init__(self, units: int) -> None:
                super().__init__()
                self.left, self.right = nn.Linear(input, units), nn.Linear(input, units)

            def forward(self, x: Tensor) -> Tensor:
                product: Tensor = self.left(x) * self.right(x)
                return product

        return Product(self.units)

    def parameters(self, input: Width) -> int:
        """The parameters of both projections."""
        return 2 * self.units * (input + 1)

    def flops(self, input: Width) -> int:
        """Two products and a multiplication."""
        return self.units * (4 * input + 1)


class Weigher(nn.Module):
    """Softmax of a linear layer; experts that a row's domain excludes get zero."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, count)

    def forward(self, x: Tensor, allowed: Tensor | None = None) -> Tensor:
        """`[B, D] -> [B, E]`."""
        logits = self.layer(x)
        return torch.softmax(logits if allowed is None else logits.masked_fill(~allowed, float("-inf")), dim=-1)


@gate("opaque_gate")
class OpaqueGate(GateKind):
    """softmax(W s + b), with `exclude`."""

    excluded: ClassVar[float] = float("-inf")
    penalty: float = Field(default=0.5, alias="lambda")
    """A setting whose name is a Python keyword."""

    def build(self, seen: Seen) -> nn.Module:
        """`[B, D] -> [B, E]`."""
        assert seen.selector is not None
        return Weigher(seen.selector, seen.count)

    def parameters(self, seen: Seen) -> int:
        """One per expert and feature, and biases."""
        return seen.count * ((seen.selector or 0) + 1)


class Free(nn.Module):
    """Learned weights."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.numbers = nn.Parameter(torch.linspace(0, 1, count))

    def forward(self) -> Tensor:
        """`[E]`."""
        return self.numbers * 1


@gate("opaque_static")
class OpaqueStatic(GateKind):
    """Weights that are the same for every row."""

    def build(self, seen: Seen) -> nn.Module:
        """`[E]`."""
        return Free(seen.count)


@gate("opaque_domain")
class OpaqueDomain(GateKind):
    """Separate weights for each domain."""

    selects: ClassVar[Literal["stream", "domain", "none"]] = "domain"

    def build(self, seen: Seen) -> nn.Module:
        """`[B] -> [B, E]`."""
        assert seen.domain is not None
        return nn.Embedding(len(seen.domain), seen.count)


@feature_gate("opaque_factors")
class OpaqueFactors(FeatureGateKind):
    """A linear layer."""

    def build(self, selector: Width, count: int) -> nn.Module:
        """`[B, D] -> [B, count]`."""
        return nn.Linear(selector, count)

    def parameters(self, selector: Width, count: int) -> int:
        """Weights and biases."""
        return count * (selector + 1)


@tower("opaque_tower")
class OpaqueTower(TowerKind):
    """A linear layer with batch normalisation."""

    units: Count = 3

    def width(self, input: Width) -> Width:
        """The width of its own units."""
        return self.units

    def build(self, input: Width) -> nn.Module:
        """`[B, D] -> [B, units]`."""
        return nn.Sequential(nn.Linear(input, self.units), nn.LayerNorm(self.units))
