"""Columns of the batch as values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.program import Builder, Scope
from archspec.program.nodes import NodeName

if TYPE_CHECKING:
    from archspec.contract import InputKind, Reference
    from archspec.graph.graph import Graph
    from archspec.program import Value
    from archspec.program.columns import Column


class Columns:
    """The columns of a batch as values; each column is read once."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.builder = Builder(self.read, self.column, self.domain, self.setting_column)
        self.inputs: dict[str, InputKind] = {name: block.settings for name, block in graph.spec.inputs.items()}
        """The settings of all inputs, for shared tables."""
        self.columns: dict[str, tuple[str, Column]] = {}
        self.raw: dict[str, Value] = {}

    def read(self, reference: Reference, scope: Scope) -> Value:
        """The stream of a reference; only the forward program has streams."""
        raise NotImplementedError

    def column(self, name: str) -> Value:
        """The batch's column of an input."""
        if name not in self.raw:
            block = self.graph.spec.inputs[name]
            column: Column = block.settings.column(self.inputs)
            key = block.common.column
            self.columns[name] = (key, column)
            scope = Scope(self.builder, NodeName("inputs", name))
            value = scope.op("column", (), column.shape, name="column", dtype=column.dtype, key=key, source="batch")
            self.raw[name] = self.builder.hint(value, name)
        return self.raw[name]

    def setting_column(self, name: str, setting: str) -> Value:
        """A further column of the batch that an input reads, named by a setting."""
        kind = self.inputs[name]
        column, key = kind.columns(self.inputs)[setting], str(getattr(kind, setting))
        self.columns[f"{name}.{setting}"] = (key, column)
        scope = Scope(self.builder, NodeName("inputs", name))
        value = scope.op("column", (), column.shape, name=setting, dtype=column.dtype, key=key, source="batch")
        return self.builder.hint(value, f"{name}_{setting}")

    def domain(self, name: str) -> tuple[str, ...]:
        """The values of a domain input."""
        values = self.inputs[name].domain()
        assert values is not None, f"{name} is not a domain input"
        return values
