"""An input whose `lower` does not accept the settings of the other inputs."""

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
