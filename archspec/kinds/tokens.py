"""Kinds of experts and blocks that read tokens, `[B, T, D]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from archspec.contract import ExpertKind, Width, expert

if TYPE_CHECKING:
    from archspec.program import Scope, Value


@expert("pool")
class Pool(ExpertKind):
    """Tokens to rows without weights: mean, sum or maximum of real tokens, or the last of them; zeros for none."""

    title: ClassVar[str] = "pool"
    formula: ClassVar[str] = "pool over t with a token of x_t"
    takes: ClassVar[Literal["rows", "fields", "tokens"]] = "tokens"
    how: Literal["mean", "sum", "max", "last"] = "mean"

    def width(self, input: Width) -> Width:
        """The width of a token."""
        return input

    def lower(self, at: Scope, x: Value) -> Value:
        """`[B, T, D] -> [B, D]`."""
        return at.pool_tokens(x, self.how)

    def detail(self) -> str:
        """The value of `how`."""
        return self.how
