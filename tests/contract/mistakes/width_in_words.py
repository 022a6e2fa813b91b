"""An expert that spells its width out."""

from archspec import ExpertKind, Scope, Value, expert


@expert("mistake")
class Mistake(ExpertKind):
    def width(self, input: int) -> str:
        return "as wide as its input"

    def lower(self, at: Scope, x: Value) -> Value:
        return x
