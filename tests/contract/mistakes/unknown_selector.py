"""A gate whose type of selector does not exist in the language."""

from typing import ClassVar, Literal

from archspec import GateInputs, GateKind, Scope, Value, gate


@gate("mistake")
class Mistake(GateKind):
    selects: ClassVar[Literal["stream", "domain", "none"]] = "streams"

    def lower(self, at: Scope, gate: GateInputs) -> Value:
        assert gate.selector is not None
        return at.softmax(at.linear(gate.selector, gate.seen.count, "head"))
