"""A plugin for tests: kinds of experts for each type of stream, as operations and as modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from archspec import ExpertKind, KindError, Reference, Width, expert
from archspec.contract.settings import Count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from archspec.program import Scope, Value

Tokens = Literal["rows", "fields", "tokens"]


@expert("average")
class Average(ExpertKind):
    """Mean of the unmasked tokens; zeros if there are none."""

    takes: ClassVar[Tokens] = "tokens"

    def width(self, input: Width) -> Width:
        """As wide as the tokens."""
        return input

    def lower(self, at: Scope, x: Value) -> Value:
        """`[B, T, D] -> [B, D]`."""
        mask = at.mask(x)
        return at.apply("streams_plugin:average", *([x] if mask is None else [x, mask]), shape=("B", x.width))


@expert("deep")
class Deep(ExpertKind):
    """relu(W x_t + b) of each token, plus a stream."""

    takes: ClassVar[Tokens] = "tokens"
    gives: ClassVar[Literal["rows", "tokens"]] = "tokens"
    units: Count = 3
    plus: Reference | None = None

    def width(self, input: Width) -> Width:
        """`units`."""
        return self.units

    def check_streams(self, input: Width, widths: Mapping[str, Width]) -> None:
        """The added stream must be `units` wide."""
        if widths.get("plus", self.units) != self.units:
            message = f"`plus` is {widths['plus']} wide, not {self.units}"
            raise KindError(message, at=("plus",), help=f"write `units: {widths['plus']}`")

    def lower(self, at: Scope, x: Value) -> Value:
        """`[B, T, D] -> [B, T, units]`."""
        h = at.activation(at.linear(x, self.units, "layer"), "relu")
        if self.plus is None:
            return h
        return at.apply("streams_plugin:added", h, at.read(self.plus), shape=h.shape)


@expert("weighed")
class Weighed(ExpertKind):
    """sum_i W_i p_i over the fields p."""

    takes: ClassVar[Tokens] = "fields"
    units: Count = 3

    def width(self, input: tuple[Width, ...]) -> Width:
        """`units`."""
        return self.units

    def lower(self, at: Scope, x: tuple[Value, ...]) -> Value:
        """Fields `[B, w]` to `[B, units]`."""
        return at.sum(*(at.linear(part, self.units, f"parts.{i}") for i, part in enumerate(x)))


@expert("as_tokens")
class AsTokens(ExpertKind):
    """A token W_i p_i for each field p."""

    takes: ClassVar[Tokens] = "fields"
    gives: ClassVar[Literal["rows", "tokens"]] = "tokens"
    units: Count = 3

    def width(self, input: tuple[Width, ...]) -> Width:
        """`units`."""
        return self.units

    def lower(self, at: Scope, x: tuple[Value, ...]) -> Value:
        """Fields `[B, w]` to `[B, fields, units]`."""
        parts = [at.linear(part, self.units, f"parts.{i}") for i, part in enumerate(x)]
        return at.apply("streams_plugin:stacked", *parts, shape=("B", len(x), self.units))


@expert("average_module")
class AverageModule(ExpertKind):
    """`average` as a module."""

    takes: ClassVar[Tokens] = "tokens"

    def width(self, input: Width) -> Width:
        """As wide as the tokens."""
        return input

    def build(self, input: Width) -> nn.Module:
        """Tokens and their mask to `[B, D]`."""
        from torch import nn

        class Module(nn.Module):
            def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
                return average(x, mask)

        return Module()


@expert("weighed_module")
class WeighedModule(ExpertKind):
    """`weighed` as a module."""

    takes: ClassVar[Tokens] = "fields"
    units: Count = 3

    def width(self, input: tuple[Width, ...]) -> Width:
        """The width of its units."""
        return self.units

    def build(self, input: tuple[Width, ...]) -> nn.Module:
        """Fields `[B, w]`, one after the other, to `[B, units]`."""
        from torch import nn

        class Module(nn.Module):
            def __init__(self, units: int) -> None:
                super().__init__()
                self.parts = nn.ModuleList(nn.Linear(width, units) for width in input)

            def forward(self, *fields: Tensor) -> Tensor:
                found: list[Tensor] = [part(x) for part, x in zip(self.parts, fields, strict=True)]
                return sum(found[1:], found[0])

        return Module(self.units)

    def parameters(self, input: tuple[Width, ...]) -> int:
        """One layer for each field."""
        return self.units * (sum(input) + len(input))


def average(x: Tensor, mask: Tensor | None = None) -> Tensor:
    """`[B, T, D] -> [B, D]`."""
    if mask is None:
        return x.mean(dim=1)
    return (x * mask.unsqueeze(-1)).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp_min(1)


def added(x: Tensor, row: Tensor) -> Tensor:
    """`[B, T, D], [B, D] -> [B, T, D]`."""
    return x + row.unsqueeze(1)


def stacked(*parts: Tensor) -> Tensor:
    """Stacks a row `[B, D]` T times to `[B, T, D]`."""
    import torch

    return torch.stack(parts, dim=1)
