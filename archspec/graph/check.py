"""What must hold of a graph: no cycles, widths that fit, kinds that accept their surroundings."""

from __future__ import annotations

from collections.abc import Callable
from graphlib import CycleError
from typing import Any

from archspec.contract import KindError
from archspec.diagnostics import Diagnostics, Note
from archspec.graph.connect import is_none
from archspec.graph.graph import INDEX_ROLES, Graph, Node, Stream
from archspec.program import Seen
from archspec.spec.spec import Block, Switch, TaskBlock


def check(graph: Graph, diagnostics: Diagnostics) -> None:
    """Fills in order, widths and tasks of the graph; reports what does not hold."""
    try:
        graph.order = graph.sorted()
    except CycleError as error:
        _report_cycle(graph, error.args[1], diagnostics)
        return
    checker = _Checker(graph, diagnostics)
    for name in graph.order:
        checker.visit(graph.nodes[name])
    graph.tasks = reach(graph)


def reach(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Node -> the tasks whose loss has a gradient there: reachability against the edges, stopped by `detach`."""
    found: dict[str, set[str]] = {name: set() for name in graph.nodes}
    readers: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for edge in graph.edges:
        if not edge.detached and edge.role not in INDEX_ROLES:
            readers[edge.source].append(edge.target)
    for name in reversed(graph.order):
        node = graph.nodes[name]
        found[name] = {node.block.name} if node.category == "task" else set()
        found[name].update(*(found[reader] for reader in readers[name]))
    tasks = tuple(graph.spec.tasks)
    return {name: tuple(t for t in tasks if t in trained) if len(trained) < len(tasks) else tasks for name, trained in found.items()}


def seen_by(graph: Graph, node: Node) -> Seen:
    """What the kind of a gate may know of its surroundings; widths that a mistake hides count as 0."""
    block = node.block
    assert isinstance(block, Block)
    inputs = graph.spec.inputs
    domain = next((e.source for e in graph.edges if e.target == node.name and e.role == "domain"), None) if (
        getattr(block.settings, "selects", "stream") == "domain") else None  # fmt: skip
    stream = graph.streams.get((node.name, "selector"))
    static = is_none(block.common.selector) if block.common.selector else domain is None
    seen = graph.seen[node.name]
    return Seen(
        gate=block.name,
        groups=tuple(expert.group for expert in seen),
        width=(graph.widths.get(seen[0].node) or 0) if seen else 0,
        selector=None if static or stream is None else width_of(graph, stream) or 0,
        domain=_values(inputs, domain.partition(".")[2]) if domain else None,
        excludes=_values(inputs, block.common.exclude) if block.common.exclude else None,
    )


def _values(inputs: Any, name: str) -> tuple[str, ...] | None:  # noqa: ANN401 - a mapping of blocks
    values: tuple[str, ...] | None = getattr(inputs[name].settings, "values", None) if name in inputs else None
    return values


def width_of(graph: Graph, stream: Stream) -> int | None:
    """Width of a stream, None where it is not known."""
    widths = [graph.widths.get(i) if isinstance(i, str) else width_of(graph, i) for i in stream.items]
    known = [width for width in widths if width is not None]
    if len(known) < len(widths) or not known:
        return None
    return known[0] if stream.combine == "sum" else sum(known)


def _report_cycle(graph: Graph, cycle: list[str], diagnostics: Diagnostics) -> None:
    cycle = cycle[::-1] if (cycle[0], cycle[1]) not in {(e.source, e.target) for e in graph.edges} else cycle
    first = min(range(len(cycle) - 1), key=lambda i: list(graph.nodes).index(cycle[i]))
    turned = [*cycle[first:-1], *cycle[:first], cycle[first]]
    notes = [Note(graph.nodes[name].what, graph.nodes[name].block.node.span) for name in turned[1:-1]]
    node = graph.nodes[turned[0]]
    diagnostics.error(
        "AS208", f"these read each other in a circle: {' -> '.join(turned)}", node.block.node.span, notes=notes,
        help="drop one of these references",
    )  # fmt: skip


class _Checker:
    def __init__(self, graph: Graph, diagnostics: Diagnostics) -> None:
        self.graph, self.diagnostics = graph, diagnostics
        self.widths = graph.widths
        self.reported: set[int] = set()

    def visit(self, node: Node) -> None:
        """Checks one node whose sources are known."""
        rules: dict[str, Callable[[Node], int | None]] = {
            "input": self.input, "feature_gate": self.feature_gate, "expert": self.block, "gate": self.gate,
            "tower": self.tower, "fusion": self.fusion, "task": self.task,
        }  # fmt: skip
        for (name, _role), stream in ((key, stream) for key, stream in self.streams_of(node)):
            self.sums(node, stream) if name else None
        self.widths[node.name] = rules[node.category](node)

    def streams_of(self, node: Node) -> list[tuple[tuple[str, str], Stream]]:
        """The streams that a node reads."""
        roles = dict.fromkeys(edge for edge in self.roles(node))
        return [((node.name, role), self.graph.streams[node.name, role]) for role in roles]

    def roles(self, node: Node) -> list[str]:
        """The roles in which a node reads streams."""
        if not hasattr(self, "_roles"):
            self._roles: dict[str, list[str]] = {}
            for name, role in self.graph.streams:
                self._roles.setdefault(name, []).append(role)
        return self._roles.get(node.name, [])

    def sums(self, node: Node, stream: Stream) -> None:
        """What is added must be equally wide."""
        for item in stream.items:
            if isinstance(item, Stream):
                self.sums(node, item)
        if stream.combine != "sum":
            return
        widths = {_shown(item): self.widths.get(item) if isinstance(item, str) else width_of(self.graph, item) for item in stream.items}
        if len({width for width in widths.values() if width is not None}) > 1:
            shown = ", ".join(f"`{name}` is {width} wide" for name, width in widths.items())
            self.once(node, "AS209", f"{node.what} adds streams of different widths: {shown}", stream.span,
                      help="add streams of one width, or write a list to concatenate")  # fmt: skip

    def once(self, node: Node, code: str, message: str, span: Any, **details: Any) -> None:  # noqa: ANN401 - passed on
        """An error of a block, said once for all experts of a group."""
        notes = [*node.block.node.trail, *details.pop("notes", ())]
        self.diagnostics.error(code, message, span, notes=notes, **details)

    def asked(self, node: Node, ask: Callable[[], Any]) -> Any:  # noqa: ANN401 - what the kind answers
        """The answer of a kind; its objection becomes a diagnostic."""
        try:
            return ask()
        except KindError as error:
            span = node.block.span(*error.at) if isinstance(node.block, Block) else node.block.node.span
            self.once(node, "AS210", f"{node.what}: {error}", span, help=error.help)
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything
            self.once(node, "AS502", f"{node.what}: its kind `{node.kind}` failed: {type(error).__name__}: {error}",
                      node.block.node.span, help="a defect of the plugin that defines the kind")  # fmt: skip
        return None

    # -- rules --------------------------------------------------------------------------------------------------------

    def input(self, node: Node) -> int | None:
        """An input's width."""
        settings = {name: block.settings for name, block in self.graph.spec.inputs.items() if block.settings is not None}
        own = getattr(node.block, "settings", None)
        width: int | None = self.asked(node, lambda: own.width(settings)) if own is not None else None
        return width

    def source(self, node: Node) -> int | None:
        """Width of what a block reads."""
        stream = self.graph.streams.get((node.name, "from"))
        if stream is None:
            return None
        width = width_of(self.graph, stream)
        if width is None and not stream.items and not self.failed():
            self.once(node, "AS206", f"{node.what} reads nothing", node.block.node.span, help="name what it reads in `from`")
        return width

    def failed(self) -> bool:
        """Whether something is wrong already."""
        return any(item.severity == "error" for item in self.diagnostics.items)

    def feature_gate(self, node: Node) -> int | None:
        """As wide as what it scales."""
        return self.source(node)

    def block(self, node: Node) -> int | None:
        """An expert or tower: its kind says how wide it is."""
        width, settings = self.source(node), getattr(node.block, "settings", None)
        if width is None or settings is None:
            return None
        answer: int | None = self.asked(node, lambda: settings.width(width))
        return answer

    def gate(self, node: Node) -> int | None:
        """As wide as the experts it sees, which must agree."""
        block, seen = node.block, self.graph.seen.get(node.name, ())
        assert isinstance(block, Block)
        parts = {expert.node: f"expert group `{expert.group}`" for expert in seen}
        parts |= {e.source: self.graph.nodes[e.source].what for e in self.residuals(node)}
        widths = {name: self.widths.get(name) for name in parts}
        known = [(name, width) for name, width in widths.items() if width is not None]
        different = next(((name, width) for name, width in known if width != known[0][1]), None)
        if different:
            (first, width), (other, wider) = known[0], different
            notes = [Note(f"{parts[n]}: {w} wide", self.graph.nodes[n].block.node.span) for n, w in (known[0], different)]
            self.once(
                node, "AS209", f"{node.what} mixes streams of different widths: {parts[first]} is {width} wide, "
                f"{parts[other]} is {wider}", block.span("sees"), notes=notes, help="give them the same last `units`",
            )  # fmt: skip
            return None
        if len(known) == len(widths) and block.settings is not None and hasattr(block.settings, "check"):
            self.asked(node, lambda: block.settings.check(seen_by(self.graph, node)))
        self.exclude(node, block)
        return known[0][1] if known else None

    def residuals(self, node: Node) -> list[Any]:
        """The edges of `residual`."""
        residual = getattr(node.block.common, "residual", None) if isinstance(node.block, Block) else None
        name = f"level{node.level}.gates.{residual}"
        return [edge for edge in self.graph.edges if edge.target == node.name and edge.source == name] if residual else []

    def exclude(self, node: Node, block: Block) -> None:
        """Leaving experts out must leave some, for every value."""
        if block.common is None or block.common.exclude is None:
            return
        if not hasattr(block.settings, "excluded"):
            self.once(node, "AS210", f"{node.what}: a `{block.kind}` gate cannot `exclude`", block.span("exclude"),
                      help="use a softmax, sigmoid, linear or topk gate")  # fmt: skip
            return
        groups = {expert.group for expert in self.graph.seen[node.name]}
        if len(groups) == 1 and groups <= set(_values(self.graph.spec.inputs, block.common.exclude) or ()):
            self.once(node, "AS210", f"{node.what}: `exclude` leaves rows of `{groups.pop()}` without an expert",
                      block.span("exclude"), help="let the gate see experts of other domains too")  # fmt: skip

    def tower(self, node: Node) -> int | None:
        """The last hidden width; a switch has one if its cases agree."""
        if not isinstance(node.block, Switch):
            return self.block(node)
        widths = {self.widths.get(edge.source) for edge in self.graph.edges if edge.target == node.name and edge.role == "case"}
        width = widths.pop() if len(widths) == 1 else None
        readers = [e.target for e in self.graph.edges if e.source == node.name and e.role not in {"of", "output"}]
        if width is None and None not in widths and readers and len(widths) > 0:
            reader = self.graph.nodes[readers[0]]
            self.once(reader, "AS209", f"{reader.what} reads {node.what}, whose cases are of different widths",
                      reader.block.node.span, help="give the cases the same last `units`")  # fmt: skip
        return width

    def fusion(self, node: Node) -> int | None:
        """One score per row; only outputs of one number can be combined."""
        block = node.block
        assert isinstance(block, Block)
        for edge in (edge for edge in self.graph.edges if edge.target == node.name and edge.role == "of"):
            task = self.graph.spec.tasks.get(edge.source.partition(".")[2])
            if task is not None and task.task.kind == "multiclass":
                self.once(node, "AS215", f"{node.what} combines `{task.name}`, a multiclass task", block.span("of"),
                          help="fusions combine binary and regression outputs")  # fmt: skip
        task = self.graph.spec.tasks.get(block.name)
        if task is not None and task.task.kind == "multiclass":
            self.once(node, "AS215", f"{node.what} cannot be the multiclass task `{task.name}`", block.node.span,
                      help="give the task a tower")  # fmt: skip
        if task is not None and task.task.kind == "binary" and block.settings is not None and not hasattr(block.settings, "logits"):
            self.once(node, "AS215", f"{node.what} of kind `{block.kind}` is no probability, but `{task.name}` is a binary task",
                      block.node.span, help="use `product` or `weighted_product`, or make the task a regression")  # fmt: skip
        for edge in (edge for edge in self.graph.edges if edge.target == node.name and edge.role == "column"):
            if self.widths.get(edge.source) != 1 or self.graph.nodes[edge.source].kind != "dense":
                self.once(node, "AS212", f"{node.what}: `{edge.source.partition('.')[2]}` is no dense input of width 1",
                          block.span("times"), help="name a dense input with `dim: 1`")  # fmt: skip
        return 1

    def task(self, node: Node) -> int | None:
        """One logit, or one per class."""
        assert isinstance(node.block, TaskBlock)
        return node.block.task.classes or 1


def _shown(item: Stream | str) -> str:
    return item if isinstance(item, str) else "+".join(_shown(part) for part in item.items)
