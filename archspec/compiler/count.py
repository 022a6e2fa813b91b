"""What a network costs, counted from its program without torch: weights that training changes, and FLOPs per row.

FLOPs count one multiply-add as 2 (see `archspec.program.operations`) and are those of the forward pass from a batch to
the logits of the plain program: what the spec says, not what passes make of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from archspec.compiler.lower import lower
from archspec.graph.answers import asked
from archspec.program.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Container

    from archspec.graph.graph import Graph, Node
    from archspec.program import Op, Program
    from archspec.program.program import Module


@dataclass(frozen=True, slots=True)
class Cost:
    """Parameters and FLOPs per row; None: unknown, since a plugin's module does not tell."""

    parameters: int | None = 0
    flops: int | None = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(_sum(self.parameters, other.parameters), _sum(self.flops, other.flops))


@dataclass(frozen=True, slots=True)
class Count:
    """The costs of a network by graph node, in the graph's order."""

    nodes: dict[str, Cost]

    @property
    def total(self) -> Cost:
        """All nodes together; None where a part is unknown."""
        return sum(self.nodes.values(), start=Cost())

    @property
    def known(self) -> Cost:
        """All nodes together, what is unknown counted as nothing: a lower bound."""
        costs = self.nodes.values()
        return Cost(sum(cost.parameters or 0 for cost in costs), sum(cost.flops or 0 for cost in costs))


def count(graph: Graph) -> Count:
    """Parameters and FLOPs per row of each node of a checked graph.

    A weight belongs to the node whose canonical name begins its own; a shared table to the input that owns it, and an
    expert's shared weights to the expert that owns them. A node
    that is a plugin's module counts what the kind's methods `parameters(...)` and `flops(...)` say, which take the
    arguments of its `build`.
    """
    program = lower(graph).forward
    costs = {name: Cost(parameters=number) for name, number in parameters(graph, program).items()}
    for op in program.ops:
        costs[_owner(op.node, costs) or op.node] += _flops(op, program, graph)
    return Count(costs)


def parameters(graph: Graph, program: Program) -> dict[str, int | None]:
    """Weights that training changes, by graph node; None: a plugin's module does not tell."""
    counts: dict[str, int | None] = dict.fromkeys(graph.order, 0)
    for name, weight in program.weights.items():
        if weight.trainable:
            home = _home(name, program, counts)
            counts[home] = _sum(counts[home], prod(weight.shape))
    for module in program.modules.values():
        node = _caller(module, program, counts)
        counts[node] = _sum(counts[node], _told(module, graph.nodes[node], "parameters"))
    return counts


def _sum(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a + b


def _owner(name: str, nodes: Container[str]) -> str | None:
    """The node with the longest name that begins a canonical name."""
    while name and name not in nodes:
        name = name.rpartition(".")[0]
    return name or None


def _home(weight: str, program: Program, nodes: Container[str]) -> str:
    """The node of a weight. A table whose own input nobody reads belongs to the input that reads the table."""
    if owner := _owner(weight, nodes):
        return owner
    holders = {storage.name for storage in program.storages.values() if any(s.weight == weight for s in storage.slots)}
    readers = (op.node for op in program.ops if holders & set(op.weights))
    return next(owner for reader in readers if (owner := _owner(reader, nodes)))


def _caller(module: Module, program: Program, nodes: Container[str]) -> str:
    """The node of a module: the one of its name, or, where that is pruned, the first that calls it."""
    if module.name in nodes:
        return module.name
    return next(op.node for op in program.ops if op.kind == "call" and op.attr("module") == module.name)


def _flops(op: Op, program: Program, graph: Graph) -> Cost:
    if op.kind == "call":
        return Cost(flops=_told(program.modules[op.attr("module")], graph.nodes[op.node], "flops"))
    return Cost(flops=OPERATIONS[op.kind].flops(op))


def _told(module: Module, node: Node, method: str) -> int | None:
    """What the kind of an opaque module says of itself, by its method `parameters` or `flops`."""
    told = callable(getattr(getattr(node.block, "settings", None), method, None))
    answer: int | None = asked(node, method, *module.arguments) if told else None
    return answer
