"""An expert that is marked as a gate."""

from archspec import ExpertKind, Scope, Value, gate


@gate("mistake")
class Mistake(ExpertKind):
    def width(self, input: int) -> int:
        return input

    def lower(self, at: Scope, x: Value) -> Value:
        return x
