"""Kinds of inputs: what a batch contains and how it becomes a stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from archspec.contract import ColumnName, InputKind, KindError, TableName, Width, input
from archspec.contract.limits import LONGEST_ROW, MOST_DOMAINS
from archspec.contract.settings import Count, NotNegative, added
from archspec.program.columns import Column
from archspec.program.program import Init

if TYPE_CHECKING:
    from archspec.program import Scope, Value

Inputs = Mapping[str, InputKind]


@input("dense")
class Dense(InputKind):
    """Unchanged numbers, `[B, dim]` (or `[B]` if dim is 1)."""

    formula: ClassVar[str] = "x"
    dim: Count

    def width(self, inputs: Inputs) -> Width:
        """`dim`."""
        return self.dim

    def column(self, inputs: Inputs) -> Column:
        """Floats `[B, dim]`."""
        return Column("float", ("B", self.dim))

    def lower(self, at: Scope, column: Value, inputs: Inputs) -> Value:
        """The column itself."""
        return column

    def detail(self) -> str:
        """The width."""
        return str(self.dim)


class Table(InputKind):
    """Ids that index an embedding table, the input's own (`vocab`, `dim`) or another input's (`table`)."""

    instead: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "table": ("vocab", "dim", "sparse_grad", "trainable"),
        **dict.fromkeys(("vocab", "dim", "sparse_grad", "trainable"), ("table",)),
    }  # fmt: skip
    """A setting -> the settings that have no meaning next to it: `defaults` do not set them."""

    vocab: Count | None = None
    dim: Count | None = None
    table: TableName | None = None
    sparse_grad: bool | None = None
    """Sparse gradients for the table: rows that are not in a batch cost nothing. The optimizer must support them."""
    trainable: bool = added(default=True)
    """`false`: a frozen table, which gets no gradient and is in no parameter group, but in checkpoints."""
    l2: NotNegative = added(0.0)
    """Adds l2 / B * (sum of ||e||^2 over all ids of all B rows, e being an id's row) to the loss in training."""

    @model_validator(mode="after")
    def _one_table(self) -> Self:
        own = {"vocab": self.vocab, "dim": self.dim}
        if self.table is None and (missing := [key for key, value in own.items() if value is None]):
            other = ", or `table` to share another input's" if len(missing) > 1 else ""
            raise KindError(
                f"needs {' and '.join(f'`{key}`' for key in missing)}{other}", help=f"add `{missing[0]}: ...`"
            )
        frozen = None if self.trainable else False
        given = [
            key for key, value in {**own, "sparse_grad": self.sparse_grad, "trainable": frozen}.items()
            if value is not None
        ]  # fmt: skip
        if self.table is not None and given:
            raise KindError(
                f"`{given[0]}` belongs to the input whose table is shared, `{self.table}`", at=given[:1],
                help=f"drop {' and '.join(f'`{key}`' for key in given)}, or drop `table`",
            )  # fmt: skip
        if self.sparse_grad and not self.trainable:
            raise KindError(
                "takes `sparse_grad` or `trainable: false`, not both: a frozen table has no gradient",
                at=("sparse_grad",),
                help="drop `sparse_grad`",
            )
        self._check_decayed(self)
        return self

    def _check_decayed(self, owner: Table) -> None:
        if self.l2 and not owner.trainable:
            raise KindError("`l2` has no effect on a frozen table", at=("l2",), help="drop `l2`")

    def owner(self, inputs: Inputs) -> Table:
        """The input that owns the table. Raises KindError if `table` is not the name of an input with its own table."""
        if self.table is None:
            return self
        other = inputs.get(self.table)
        if not isinstance(other, Table) or other.table is not None:
            raise KindError(
                f"`table: {self.table}` is not an input with its own table", at=("table",),
                help="write the name of an input with `vocab` and `dim`, of kind `sparse` or `sequence`",
            )  # fmt: skip
        self._check_decayed(other)
        return other

    def width(self, inputs: Inputs) -> Width:
        """The table's `dim`."""
        return self.owner(inputs).dim or 0

    def shared_table(self) -> str | None:
        """The value of `table`."""
        return self.table

    def frozen_table(self) -> bool:
        """`trainable: false`."""
        return not self.trainable

    def sparse_gradients(self) -> bool:
        """`sparse_grad` of the input that owns the table."""
        return bool(self.sparse_grad)

    def weight(self, at: Scope, inputs: Inputs) -> str:
        """Declares the table and returns its canonical name."""
        owner = self.owner(inputs)
        home = at.sibling(self.table) if self.table is not None else at
        shape = (owner.vocab or 0, owner.dim or 0)
        frozen = not owner.trainable
        return home.weight("weight", shape, Init("normal", 1.0), sparse=bool(owner.sparse_grad), frozen=frozen)

    def decay(self, at: Scope, rows: Value) -> None:
        """Adds `l2` of the looked-up rows, `[B, dim]` or `[B, L, dim]` with zeros for padding, to the loss."""
        if self.l2:
            at.auxiliary_loss(at.scale(at.apply("squares_per_row", rows, shape=()), self.l2))

    def detail(self) -> str:
        """Vocabulary and width, or the table that is shared."""
        frozen = "" if self.trainable else ", frozen"
        return f"table of {self.table}" if self.table else f"{self.vocab} x {self.dim}{frozen}"


@input("sparse")
class Sparse(Table):
    """One id per row, `[B]`, 0 to vocab-1; the stream is its row of the embedding table."""

    formula: ClassVar[str] = "table[id]"

    def column(self, inputs: Inputs) -> Column:
        """Ids `[B]`."""
        return Column("int", ("B",), 0, self.owner(inputs).vocab, table=self.table)

    def lower(self, at: Scope, column: Value, inputs: Inputs) -> Value:
        """`[B] -> [B, dim]`."""
        rows = at.embed(column, self.weight(at, inputs), self.width(inputs))
        self.decay(at, rows)
        return rows


@input("sequence")
class Sequence(Table):
    """A list of ids per row, `[B, length]`, padded with -1: their embeddings, pooled (zeros if none) or as tokens."""

    formula: ClassVar[str] = "pool over i with id_i >= 0 of table[id_i]"
    pool: Literal["mean", "sum", "max", "last", "none"] = "mean"
    """`last`: the last id that is not -1. `none`: one token per id (masked and zero for -1); needs `length`."""
    length: Annotated[int, Field(ge=1, le=LONGEST_ROW)] | None = None
    """The longest list; None: any length."""
    weights: ColumnName | None = None
    """A column with one weight per id: a weighted `mean` divides by the sum of the weights, and is 0 if that is 0.

    With `pool: none`, each token is multiplied by its weight.
    """

    @model_validator(mode="after")
    def _weighed(self) -> Self:
        if self.weights is not None and self.pool not in {"mean", "sum", "none"}:
            raise KindError(
                f"`weights` have no effect with `pool: {self.pool}`", at=("weights",),
                help="write `pool: mean` or `pool: sum`, or drop `weights`",
            )  # fmt: skip
        if self.pool == "none" and self.length is None:
            raise KindError(
                "`pool: none` needs `length`, the number of tokens", at=("pool",),
                help="add `length: 50`, for example: shorter lists are padded with -1",
            )  # fmt: skip
        return self

    def tokens(self, inputs: Inputs) -> int | None:
        """`length` with `pool: none`; otherwise None, because the stream is rows."""
        return self.length if self.pool == "none" else None

    def column(self, inputs: Inputs) -> Column:
        """Ids `[B, length]`, -1 pads."""
        return Column("int", ("B", self.length or "L"), -1, self.owner(inputs).vocab, table=self.table)

    def columns(self, inputs: Inputs) -> Mapping[str, Column]:
        """`weights`: one float per id, `[B, length]`."""
        return {"weights": Column("float", ("B", self.length or "L"), beside=True)}

    def lower(self, at: Scope, column: Value, inputs: Inputs) -> Value:
        """`[B, L] -> [B, dim]`, or `[B, L, dim]` with `pool: none`."""
        weights = None if self.weights is None else at.setting_column("weights")
        if self.l2:
            self.decay(at, at.embed_list(column, self.weight(at, inputs), self.width(inputs), name="decayed"))
        if self.pool == "none":
            return at.embed_list(column, self.weight(at, inputs), self.width(inputs), weights=weights)
        return at.pool(column, self.weight(at, inputs), self.width(inputs), self.pool, weights=weights)


@input("domain")
class Domain(InputKind):
    """Which domain (scene, business, tab) a row belongs to: an index into `values`, `[B]`; embedded with `dim`."""

    formula: ClassVar[str] = "table[domain], or nothing without dim"
    values: Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST_DOMAINS)]
    dim: Count | None = None

    @model_validator(mode="after")
    def _different(self) -> Self:
        first = {value: index for index, value in reversed([*enumerate(self.values)])}
        twice = next((index for index, value in enumerate(self.values) if first[value] < index), None)
        if twice is not None:
            raise KindError(
                f"`values` lists `{self.values[twice]}` twice", at=("values", twice), help="remove one of them"
            )
        return self

    def domain(self) -> tuple[str, ...]:
        """`values`."""
        return self.values

    def width(self, inputs: Inputs) -> Width:
        """`dim`, or 0 if there is no embedding."""
        return self.dim or 0

    def column(self, inputs: Inputs) -> Column:
        """Indices `[B]` into `values`."""
        return Column("int", ("B",), 0, len(self.values), words=self.values)

    def lower(self, at: Scope, column: Value, inputs: Inputs) -> Value:
        """`[B] -> [B, dim]`."""
        table = at.weight("weight", (len(self.values), self.dim or 0), Init("normal", 1.0))
        return at.embed(column, table, self.dim or 0)

    def detail(self) -> str:
        """The number of domains."""
        return f"{len(self.values)} domains"
