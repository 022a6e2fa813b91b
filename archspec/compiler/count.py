"""The cost of a network, counted from its program without torch: trainable weights, and FLOPs per row.

FLOPs count a multiply-add as 2 (see `archspec.program.operations`) and are those of the forward pass from a batch to
the logits of the plain program, before any pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Final, Literal

from archspec.compiler.lower import lower
from archspec.contract import ExpertKind, FeatureGateKind, GateKind, overrides
from archspec.graph.calls import call
from archspec.graph.widths import factors_of, read_by, seen_by, selector_of
from archspec.program.operations import OPERATIONS
from archspec.spec.spec import Block

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from archspec.graph.graph import Graph, Node
    from archspec.program import Program
    from archspec.program.program import Module, Weight


@dataclass(frozen=True, slots=True)
class Cost:
    """Parameters and FLOPs per row; None: unknown, because a plugin's module does not declare them."""

    parameters: int | None = 0
    flops: int | None = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(sum_of(self.parameters, other.parameters), sum_of(self.flops, other.flops))


@dataclass(frozen=True, slots=True)
class Count:
    """The costs of a network by graph node, in the graph's order."""

    nodes: dict[str, Cost]

    @property
    def total(self) -> Cost:
        """The sum over all nodes; None if a part is unknown."""
        return sum(self.nodes.values(), start=Cost())

    @property
    def known(self) -> Cost:
        """The sum over all nodes, with unknown costs counted as zero: a lower bound."""
        costs = self.nodes.values()
        return Cost(sum(cost.parameters or 0 for cost in costs), sum(cost.flops or 0 for cost in costs))


def count(graph: Graph) -> Count:
    """Parameters and FLOPs per row of each node of a checked graph.

    A weight is counted for the node whose canonical name is a prefix of the weight's name; a shared table for the input
    that owns it, and an expert's shared weights for the expert that owns them. For modules and functions that a plugin
    calls by name, the kind's methods `parameters` and `flops` declare the cost; without them, the cost of a module is
    unknown, and a function counts as one operation per element.
    """
    return count_program(graph, lower(graph).forward)


def count_program(graph: Graph, program: Program) -> Count:
    """The same, if the graph's plain program already exists."""
    costs = {name: Cost(parameters=number) for name, number in parameters(graph, program).items()}
    own = _own_flops(graph, program)
    for op in program.ops:
        node = op.node.node
        if op.kind not in _BY_NAME or node not in own:
            costs[node] += Cost(flops=None if op.kind == "call" else OPERATIONS[op.kind].flops(op))
    for name, flops in own.items():
        costs[name] += Cost(flops=flops)
    return Count(costs)


_BY_NAME: Final = frozenset({"apply", "call"})
"""Operations that the program knows only by name: their kind declares the cost."""


def _own_flops(graph: Graph, program: Program) -> dict[str, int | None]:
    """Node -> the FLOPs that the `flops` of its kind returns; only for nodes with operations in _BY_NAME."""
    callers = dict.fromkeys(op.node.node for op in program.ops if op.kind in _BY_NAME)
    return {
        name: call(graph.nodes[name], "flops", *_arguments(graph, graph.nodes[name]))
        for name in callers
        if _overrides(graph.nodes[name], "flops")
    }


def _overrides(node: Node, method: Literal["parameters", "flops"]) -> bool:
    """Whether the kind of a node declares the cost of its module or functions."""
    kind = node.block.settings if isinstance(node.block, Block) else None
    base = next((base for base in (ExpertKind, GateKind, FeatureGateKind) if isinstance(kind, base)), None)
    return base is not None and overrides(kind, getattr(base, method))


def _arguments(graph: Graph, node: Node) -> tuple[Any, ...]:
    """The arguments of a kind's `build`, `parameters` and `flops`."""
    if node.category == "gate":
        return (seen_by(graph, node),)
    if node.category == "feature_gate":
        return selector_of(graph, node), factors_of(graph, node)
    return (read_by(graph, node),)


def parameters(graph: Graph, program: Program) -> dict[str, int | None]:
    """The number of weights by graph node, without statistics; None: the module of a plugin does not declare it."""
    counts: dict[str, int | None] = dict.fromkeys(graph.order, 0)
    for weights in counted_weights(graph, program):
        counts[weights.owner] = sum_of(counts[weights.owner], weights.parameters)
    return counts


@dataclass(frozen=True, slots=True)
class CountedWeights:
    """A weight, or all weights of a plugin's module, with the node that it is counted for and the nodes that use it."""

    owner: str
    parameters: int | None
    users: frozenset[str]
    table: bool = False
    """Whether rows of it are looked up."""
    frozen: bool = False
    """Whether no gradient trains it."""


def counted_weights(graph: Graph, program: Program) -> Iterator[CountedWeights]:
    """Every weight of a plain program except statistics."""
    users, tables = _users(program), {name for op in program.ops if op.kind == "embed" for name in op.weights}
    storages = program.slots()
    for weight in program.weights.values():
        if weight.trainable:
            storage = storages[weight.name][0].name
            owner = _owner(weight, storage, program, graph.nodes)
            used = frozenset(users.get(storage, {owner}))
            yield CountedWeights(owner, prod(weight.shape), used, storage in tables, weight.frozen)
    for module in program.modules.values():
        node = _caller(module, program, graph.nodes)
        known = _overrides(graph.nodes[node], "parameters")
        number = call(graph.nodes[node], "parameters", *_arguments(graph, graph.nodes[node])) if known else None
        yield CountedWeights(node, number, frozenset(users.get(module.name, {node})))


def _users(program: Program) -> dict[str, set[str]]:
    """Storage or module -> the graph nodes whose operations read it."""
    users: dict[str, set[str]] = {}
    for op in program.ops:
        for name in (*op.weights, *((op.attr("module"),) if op.kind == "call" else ())):
            users.setdefault(name, set()).add(op.node.node)
    return users


def sum_of(*numbers: int | None) -> int | None:
    """The sum; None if one of the numbers is unknown."""
    return None if None in numbers else sum(number or 0 for number in numbers)


def _owner(weight: Weight, storage: str, program: Program, nodes: Container[str]) -> str:
    """The node that a weight is counted for. If a table's own input is pruned, it is the input that reads the table."""
    if weight.owner in nodes:
        return weight.owner
    return next(op.node.node for op in program.ops if storage in op.weights)


def _caller(module: Module, program: Program, nodes: Container[str]) -> str:
    """The node that a module is counted for: the one with its name or, if that is pruned, the first that calls it."""
    if module.name in nodes:
        return module.name
    return next(op.node.node for op in program.ops if op.kind == "call" and op.attr("module") == module.name)
