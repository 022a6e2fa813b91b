"""A gate whose `lower` takes an int and returns a string."""

from archspec import GateKind, gate


@gate("mistake")
class Mistake(GateKind):
    def lower(self, at: int, gate: int) -> str:
        return str(at)
