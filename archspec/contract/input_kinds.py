"""Inputs: the keys that all have, and the base class of their kinds, with the methods that archspec calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from archspec.contract.kind import Kind
from archspec.contract.settings import Settings, Width

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.program import Scope, Value
    from archspec.program.columns import Column


class InputCommon(Settings):
    """Keys of every input."""

    column: str | None = None


class InputKind(Kind):
    """A kind of input: what a batch contains, and how it becomes a stream.

    `inputs` are the settings of all inputs by name, since an input may read another input's table.
    """

    common: ClassVar[type[Settings]] = InputCommon

    def width(self, inputs: Mapping[str, InputKind]) -> Width:
        """Width of the stream; 0 if the input has no stream, like a domain without an embedding."""
        raise NotImplementedError

    def column(self, inputs: Mapping[str, InputKind]) -> Column:
        """The column of the batch under the input's `column`, or under its name."""
        raise NotImplementedError

    def columns(self, inputs: Mapping[str, InputKind]) -> Mapping[str, Column]:
        """Further columns of the batch, keyed by the setting of type `ColumnName` whose value is the column's name.

        `at.setting_column(setting)` returns them in `lower`. A setting that is None reads no column. Float columns have
        a fixed number of values per row, except those `beside` the ids of a list.
        """
        return {}

    def lower(self, at: Scope, column: Value, inputs: Mapping[str, InputKind]) -> Value:
        """The stream `[B, width]` from the column; `[B, T, width]` if it has tokens."""
        raise NotImplementedError

    def tokens(self, inputs: Mapping[str, InputKind]) -> int | None:
        """T, the number of tokens of the stream in every row; None if the stream is one row of numbers."""
        return None

    def domain(self) -> tuple[str, ...] | None:
        """The names of the domains (scenes, for example) that the column's ids index; None for other inputs."""
        return None

    def shared_table(self) -> str | None:
        """The input whose embedding table this one reads; None if it has its own table, or no table."""
        return None

    def sparse_gradients(self) -> bool:
        """Whether the gradient of its own table is sparse."""
        return False

    def frozen_table(self) -> bool:
        """Whether its own table has no gradient."""
        return False
