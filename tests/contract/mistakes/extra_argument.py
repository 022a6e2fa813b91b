"""An expert whose `lower` requires an argument that archspec does not pass."""

from archspec import ExpertKind, Scope, Value, expert


@expert("mistake")
class Mistake(ExpertKind):
    def width(self, input: int) -> int:
        return input

    def lower(self, at: Scope, x: Value, training: bool) -> Value:
        return x
