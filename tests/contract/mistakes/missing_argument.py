"""An input whose `lower` does not take the settings of the others."""

from collections.abc import Mapping

from archspec import Column, InputKind, Scope, Value, input


@input("mistake")
class Mistake(InputKind):
    def width(self, inputs: Mapping[str, InputKind]) -> int:
        return 1

    def column(self, inputs: Mapping[str, InputKind]) -> Column:
        return Column("float", ("B", 1))

    def lower(self, at: Scope, column: Value) -> Value:
        return column
