"""A setting `chosen`, which hides the method `chosen` that archspec calls."""

from archspec import GateInputs, GateKind, Scope, Value, gate


@gate("mistake")
class Mistake(GateKind):
    chosen: int = 2

    def lower(self, at: Scope, gate: GateInputs) -> Value:
        assert gate.selector is not None
        return at.softmax(at.linear(gate.selector, gate.seen.count, "head"))
