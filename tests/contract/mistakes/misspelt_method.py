"""An optional method with a misspelt name, which archspec would never call."""

from typing_extensions import override

from archspec import GateInputs, GateKind, Scope, Seen, Value, gate


@gate("mistake")
class Mistake(GateKind):
    def lower(self, at: Scope, gate: GateInputs) -> Value:
        assert gate.selector is not None
        return at.softmax(at.linear(gate.selector, gate.seen.count, "head"))

    @override
    def choosen(self, seen: Seen) -> int:
        return 1
