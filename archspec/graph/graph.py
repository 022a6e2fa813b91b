"""The classes of the graph: nodes with canonical names, edges with roles, and streams, which combine nodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, cast

from archspec.contract import Category
from archspec.program.order import in_order
from archspec.spec.categories import DEFAULTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archspec.diagnostics import Span
    from archspec.program.nodes import NodeName, Section
    from archspec.spec.spec import Block, Spec, Switch, TaskBlock

NodeCategory = Category | Literal["block", "task"]

_CATEGORIES: Final[dict[Section, NodeCategory]] = {
    **{section: cast("NodeCategory", category) for category, section in DEFAULTS.items()},
    "tasks": "task",
}
"""The category of the nodes of each section."""

INDEX_ROLES = frozenset({"switch", "exclude", "only", "domain", "column"})
"""Roles in which a column is read directly, without a gradient."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node. `what` is its name in messages; `owner` the task of the same name, None for a shared node."""

    name: NodeName
    kind: str
    level: int
    what: str
    block: Block | Switch | TaskBlock
    owner: str | None = None
    like: NodeName | None = None
    """The expert whose weights this one uses, by canonical name (it may be pruned); None: its own weights."""

    @property
    def category(self) -> NodeCategory:
        """The category of the node."""
        return _CATEGORIES[self.name.section]

    @property
    def group(self) -> str | None:
        """The group of an expert; None for other nodes."""
        return self.name.name if self.category == "expert" else None

    @property
    def index(self) -> int | None:
        """The number of an expert in its group, from 0; None for other nodes."""
        return self.name.number

    @property
    def case(self) -> str | None:
        """The domain value of a switch's case; None for other nodes."""
        return self.name.case


@dataclass(frozen=True, slots=True)
class Edge:
    """`target` reads `source` in a role; `detached`: no gradient flows back."""

    source: NodeName
    target: NodeName
    role: str
    detached: bool = False


@dataclass(frozen=True, slots=True)
class Stream:
    """A resolved reference: nodes, concatenated, added or detached."""

    combine: Literal["concat", "sum", "detach"]
    items: tuple[Stream | NodeName, ...]
    span: Span | None = field(default=None, compare=False)

    def nodes(self, *, detached: bool = False) -> Iterator[tuple[NodeName, bool]]:
        """Every node in it and whether its gradient is stopped."""
        for item in self.items:
            if not isinstance(item, Stream):
                yield item, detached or self.combine == "detach"
            else:
                yield from item.nodes(detached=detached or self.combine == "detach")

    def leaves(self) -> Iterator[Stream | NodeName]:
        """The concatenated parts: the fields of a feature gate."""
        if self.combine != "concat":
            yield self
            return
        for item in self.items:
            if not isinstance(item, Stream):
                yield item
            else:
                yield from item.leaves()


@dataclass(frozen=True, slots=True)
class SeenExpert:
    """One expert that a gate sees."""

    node: NodeName
    detached: bool

    @property
    def group(self) -> str:
        """The expert's group."""
        return self.node.name


@dataclass
class Graph:
    """Nodes by canonical name, edges, and what each node reads. A width is None if a mistake in the spec hides it."""

    spec: Spec
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    streams: dict[tuple[str, str], Stream] = field(default_factory=dict)
    """(node, role) -> the stream that it reads; roles are `from`, `selector`, and settings (`modulate.selector`)."""
    seen: dict[str, tuple[SeenExpert, ...]] = field(default_factory=dict)
    widths: dict[str, int | None] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    """Node that returns tokens -> how many; the other nodes return rows."""
    tasks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Node -> the tasks whose loss reaches it, in the spec's order."""
    order: tuple[NodeName, ...] = ()
    """Topological order, from bottom to top."""
    _by_target: dict[str, list[Edge]] = field(default_factory=dict, repr=False, compare=False)
    _indexed: int = field(default=0, repr=False, compare=False)

    def into(self, name: str, role: str | None = None) -> list[Edge]:
        """The edges that end at a node, optionally only those of one role, in the order of the spec."""
        for edge in self.edges[self._indexed :]:
            self._by_target.setdefault(edge.target, []).append(edge)
        self._indexed = len(self.edges)
        found = self._by_target.get(name, [])
        return found if role is None else [edge for edge in found if edge.role == role]

    def sources(self) -> dict[NodeName, set[NodeName]]:
        """Node -> the nodes that it reads."""
        found: dict[NodeName, set[NodeName]] = {node.name: set() for node in self.nodes.values()}
        for edge in self.edges:
            found[edge.target].add(edge.source)
        return found

    def users(self) -> dict[str, list[NodeName]]:
        """Owner of weights -> the nodes that use them, in order; only where other nodes than the owner use them."""
        found: dict[str, list[NodeName]] = {}
        for name in self.order:
            found.setdefault(self.nodes[name].like or name, []).append(name)
        return {owner: names for owner, names in found.items() if names != [owner]}

    def sorted(self) -> tuple[NodeName, ...]:
        """The nodes in topological order; if there is a choice, by level, experts before gates, then as written.

        Raises:
            CycleError: `error.args[1]` lists the cycle; its first and last node are the same.
        """
        place = {name: index for index, name in enumerate(self.nodes)}
        return in_order(
            self.sources(),
            lambda name: (self.nodes[name].level, self.nodes[name].category == "gate", place[name]),
        )

    def without(self, names: set[str]) -> Graph:
        """The graph without some nodes."""
        return Graph(
            self.spec,
            {name: node for name, node in self.nodes.items() if name not in names},
            [edge for edge in self.edges if edge.source not in names and edge.target not in names],
            {key: stream for key, stream in self.streams.items() if key[0] not in names},
            {name: seen for name, seen in self.seen.items() if name not in names},
            {name: width for name, width in self.widths.items() if name not in names},
            {name: count for name, count in self.tokens.items() if name not in names},
            self.tasks,
            tuple(name for name in self.order if name not in names),
        )
