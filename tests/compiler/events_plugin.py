"""A plugin for tests: an input whose kind works on tokens, `[B, T, W]`, before they become rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from archspec import InputKind, Settings, input
from archspec.contract.settings import Count
from archspec.kinds.blocks import Norm
from archspec.program.columns import Column
from archspec.program.program import Init

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from archspec.program import Scope, Value


@input("events")
class Events(InputKind):
    """mean over tokens of relu(norm(W e)) times a number per token."""

    formula: ClassVar[str] = "mean_t relu(norm(W e_t)) s(v . e_t)"

    vocab: Count
    dim: Count
    length: Count
    table: str | None = None
    norm: Norm = "none"

    def column(self, inputs: Mapping[str, Settings]) -> Column:
        """Ids `[B, length]`."""
        return Column("int", ("B", self.length), 0, self.vocab)

    def width(self, inputs: Mapping[str, Settings]) -> int:
        """As wide as an embedding."""
        return self.dim

    def lower(self, at: Scope, column: Value, inputs: Mapping[str, Settings]) -> Value:
        """`[B, T] -> [B, T, W] -> [B, W]`."""
        owner = at if self.table is None else at.sibling(self.table)
        tokens = at.embed(column, owner.weight("weight", (self.vocab, self.dim), Init("normal", 1.0)), self.dim)
        hidden = at.activation(at.norm(at.linear(tokens, self.dim, "layer"), self.norm, "norm"), "relu")
        score = at.activation(at.linear(tokens, 1, "score"), "sigmoid")
        return at.apply("events_plugin:mean", at.product(hidden, score), shape=("B", self.dim))


def mean(tokens: Tensor) -> Tensor:
    """`[B, T, W] -> [B, W]`."""
    return tokens.mean(dim=1)
