"""Inputs of a plugin that read several columns or other inputs, or that have settings with unusual names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from archspec import Column, ColumnName, Init, InputKind, InputName, Reference, TableName, Width, input
from archspec.contract.settings import Count

if TYPE_CHECKING:
    from archspec import Scope, Value

Inputs = Mapping[str, InputKind]


@input("named_like_built_ins")
class NamedLikeBuiltIns(InputKind):
    """A number times the first of `values`; `table` is only a remark, and without `dim` the stream is 1 wide."""

    values: float = 2.0
    table: str = ""
    dim: Count | None = None

    def width(self, inputs: Inputs) -> Width:
        """`dim`, or 1 by default."""
        return self.dim or 1

    def column(self, inputs: Inputs) -> Column:
        """Floats."""
        return Column("float", ("B", self.dim or 1))

    def lower(self, at: Scope, column: Value, inputs: Inputs) -> Value:
        """`[B, dim]`."""
        return at.scale(column, self.values)


@input("weighted")
class Weighted(InputKind):
    """A row of a table times a weight from another column of the batch."""

    vocab: Count
    dim: Count
    weights: ColumnName | None = None
    table: TableName | None = None

    def width(self, inputs: Inputs) -> Width:
        """`dim`."""
        return self.dim

    def column(self, inputs: Inputs) -> Column:
        """Ids `[B]`."""
        return Column("int", ("B",), 0, self.vocab, table=self.table)

    def columns(self, inputs: Inputs) -> Mapping[str, Column]:
        """One weight per row."""
        return {"weights": Column("float", ("B", 1))}

    def shared_table(self) -> str | None:
        """`table`."""
        return self.table

    def lower(self, at: Scope, column: Value, inputs: Inputs) -> Value:
        """`[B] -> [B, dim]`."""
        owner = at if self.table is None else at.sibling(self.table)
        rows = at.embed(column, owner.weight("weight", (self.vocab, self.dim), Init("normal", 1.0)), self.dim)
        return rows if self.weights is None else at.product(rows, at.setting_column("weights"))


@input("beside")
class Beside(InputKind):
    """A number times the number of another input."""

    other: InputName

    def width(self, inputs: Inputs) -> Width:
        """One."""
        return 1

    def column(self, inputs: Inputs) -> Column:
        """A float."""
        return Column("float", ("B", 1))

    def lower(self, at: Scope, column: Value, inputs: Inputs) -> Value:
        """`[B, 1]`."""
        return at.product(column, at.column(self.other))


@input("steered")
class Steered(InputKind):
    """A number times a linear layer of other streams."""

    by: Reference

    def width(self, inputs: Inputs) -> Width:
        """One."""
        return 1

    def column(self, inputs: Inputs) -> Column:
        """A float."""
        return Column("float", ("B", 1))

    def lower(self, at: Scope, column: Value, inputs: Inputs) -> Value:
        """`[B, 1]`."""
        return at.product(column, at.linear(at.read(self.by), 1, "by"))
