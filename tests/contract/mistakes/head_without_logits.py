"""A tower whose head returns nothing."""

from archspec import Scope, TowerKind, Value, tower


@tower("mistake")
class Mistake(TowerKind):
    def width(self, input: int) -> int:
        return input

    def lower(self, at: Scope, x: Value) -> Value:
        return x

    def head(self, at: Scope, hidden: Value, outputs: int) -> None:
        at.linear(hidden, outputs, "head")
