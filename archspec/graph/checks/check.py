"""Checks of a graph: no cycles, widths that fit, kinds that accept what they read."""

from __future__ import annotations

from graphlib import CycleError
from typing import TYPE_CHECKING, Any

from archspec.contract import FusionKind, GateKind, InputKind, overrides
from archspec.diagnostics import Diagnostics, Note, Span, SpecError
from archspec.graph.calls import call, setting_span
from archspec.graph.checks.cycle import report_cycle
from archspec.graph.checks.domains import check_by_domain
from archspec.graph.checks.labels import check_labels
from archspec.graph.checks.limits import check_table
from archspec.graph.checks.outputs import excess, why
from archspec.graph.checks.sharing import check_sharing
from archspec.graph.checks.tokens import check_beside, check_stream
from archspec.graph.graph import Graph, Node, Stream
from archspec.graph.reach import reach
from archspec.graph.widths import count_of, read_by, seen_by, width_of
from archspec.spec.spec import Block, Switch, TaskBlock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from archspec.program.columns import Column
    from archspec.program.nodes import NodeName


def check(graph: Graph, diagnostics: Diagnostics) -> None:
    """Fills in order, widths and tasks of the graph; reports violations."""
    try:
        graph.order = graph.sorted()
    except CycleError as error:
        report_cycle(graph, error.args[1], diagnostics)
        return
    checker = _Checker(graph, diagnostics)
    for name in graph.order:
        checker.visit(graph.nodes[name])
    check_labels(graph, checker.columns, diagnostics)
    check_sharing(graph, diagnostics)
    graph.tasks = reach(graph)


class _Checker:
    def __init__(self, graph: Graph, diagnostics: Diagnostics) -> None:
        self.graph, self.diagnostics = graph, diagnostics
        self.widths = graph.widths
        self.inputs = {n: block.settings for n, block in graph.spec.inputs.items() if block.settings is not None}
        """The settings of all inputs without mistakes."""
        self.columns: dict[str, tuple[Node, Column | None]] = {}
        self.numbers: set[str] = set()
        """Inputs that contain numbers, not ids."""
        self.streams: dict[str, list[tuple[str, Stream]]] = {}
        for (name, role), stream in graph.streams.items():
            self.streams.setdefault(name, []).append((role, stream))
        self.refused: set[str] = set()
        """Nodes that read a stream that does not fit them; their own width is unknown."""
        self.readers = {edge.source: edge.target for edge in graph.edges if edge.role not in {"of", "output", "loss"}}
        self.rules: dict[str, Callable[[Node], int | None]] = {
            "input": self.input, "feature_gate": self.source, "gate": self.gate,
            "tower": self.tower, "fusion": self.fusion, "task": self.task,
        }  # fmt: skip

    def visit(self, node: Node) -> None:
        """Checks one node whose sources are known."""
        for role, stream in self.streams.get(node.name, ()):
            if check_stream(self.graph, node, role, stream, self.diagnostics):
                self.sums(node, stream)
            else:
                self.refused.add(node.name)
        self.widths[node.name] = self.rules.get(node.category, self.block)(node)

    def sums(self, node: Node, stream: Stream) -> None:
        """Checks that added streams have the same width."""
        for item in stream.items:
            if isinstance(item, Stream):
                self.sums(node, item)
        if stream.combine != "sum":
            return
        widths = {
            _shown(i): self.widths.get(i) if isinstance(i, str) else width_of(self.graph, i) for i in stream.items
        }
        if len({width for width in widths.values() if width is not None}) > 1:
            shown = ", ".join(f"`{name}` is {width} wide" for name, width in widths.items())
            self.error(node, "AS209", f"{node.what} adds streams of different widths: {shown}", stream.span,
                       help="add streams of the same width, or write a list to concatenate them")  # fmt: skip

    def error(self, node: Node, code: str, message: str, span: Span | None, **details: Any) -> None:  # noqa: ANN401 - passed on
        """Reports an error of a block; equal errors of the experts of a group are reported once."""
        notes = [*node.block.provenance, *details.pop("notes", ())]
        self.diagnostics.error(code, message, span, notes=notes, **details)

    def call(self, node: Node, method: str, *arguments: Any) -> Any:  # noqa: ANN401 - each method has its own
        """Calls a method of a node's kind; an error becomes a diagnostic, and the result None."""
        try:
            return call(node, method, *arguments)
        except SpecError as error:
            self.diagnostics.items += error.diagnostics
        return None

    # -- rules --------------------------------------------------------------------------------------------------------

    def input(self, node: Node) -> int | None:
        """An input's width."""
        settings, block = self.inputs, node.block
        if not isinstance(block, Block) or block.common is None or block.settings is None:
            return None
        own: InputKind = block.settings
        table = own.shared_table()
        if table is not None and table not in settings:
            return None
        width: int | None = self.call(node, "width", settings)
        if width is not None:
            self.count(node, self.call(node, "tokens", settings))
            holds = self.call(node, "column", settings)
            if holds is not None and holds.dtype == "float":
                self.numbers.add(node.name)
            self.one_column(node, block.common.column, "column", holds)
            for setting, further in (self.call(node, "columns", settings) or {}).items():
                key = getattr(own, setting)
                if key is not None:
                    self.one_column(node, key, setting, further)
        return width

    def one_column(self, node: Node, key: str, setting: str, holds: Column | None) -> None:
        """Checks that inputs which read the same column agree on it: ids or numbers, and how many."""
        first, expected = self.columns.setdefault(key, (node, holds))
        if holds is None or expected is None or _agree(holds, expected):
            return
        renamed = f", NAME; `archspec train --column NAME={key}` then reads NAME from the file's column `{key}`"
        self.error(
            node, "AS217", f"{node.what} reads the column `{key}` as {_holding(holds)}, "
            f"{first.what} as {_holding(expected)}", setting_span(node, setting),
            notes=[Note(f"{first.what}", first.block.node.span)], help=f"give one of them another `{setting}`{renamed}",
        )  # fmt: skip

    def source(self, node: Node) -> int | None:
        """Width of a block's input; that of a feature gate is also its own."""
        stream = self.graph.streams.get((node.name, "from"))
        if stream is None or node.name in self.refused:
            return None
        if not stream.items and not self.diagnostics.failed:
            self.error(
                node,
                "AS206",
                f"{node.what} reads nothing",
                setting_span(node, "from"),
                help="write in `from` what it reads",
            )
        return width_of(self.graph, stream)

    def block(self, node: Node) -> int | None:
        """Width of an expert or tower, as its kind declares it."""
        settings = node.block.settings if isinstance(node.block, Block) else None
        if self.source(node) is None or settings is None:
            return None
        given = read_by(self.graph, node)
        width: int | None = self.call(node, "width", given)
        if width is not None:
            named = {role: width_of(self.graph, stream) for role, stream in self.streams[node.name] if role != "from"}
            if None not in named.values():
                self.call(node, "check_streams", given, named)
            self.count(node, self.call(node, "tokens", count_of(self.graph, node)))
        return width

    def count(self, node: Node, tokens: int | None) -> None:
        """Records how many tokens a node returns."""
        if tokens is not None:
            self.graph.tokens[node.name] = tokens

    def gate(self, node: Node) -> int | None:
        """Width of a gate: that of the experts it sees, which must agree."""
        block, seen = node.block, self.graph.seen.get(node.name, ())
        assert isinstance(block, Block)
        if block.common is None:
            return None
        parts = {expert.node: f"expert group `{expert.group}`" for expert in seen}
        parts |= {edge.source: self.graph.nodes[edge.source].what for edge in self.graph.into(node.name, "residual")}
        known = [(name, width) for name in parts if (width := self.widths.get(name)) is not None]
        different = next((item for item in known if item[1] != known[0][1]), None)
        if different:
            self.different(node, parts, known[0], different)
            return None
        names = [name for name, _ in known]
        if names and not check_beside(self.graph, node, names, setting_span(node, "sees"), self.diagnostics):
            return None
        if names and names[0] in self.graph.tokens:
            self.graph.tokens[node.name] = self.graph.tokens[names[0]]
        if not check_table(self.graph, node, self.diagnostics):
            return None
        kind: GateKind | None = block.settings
        if kind is not None and len(known) == len(parts) and self.selected(node, kind):
            self.call(node, "check", seen_by(self.graph, node))
        check_by_domain(self.graph, node, self.diagnostics)
        return known[0][1] if known else None

    def selected(self, node: Node, kind: GateKind) -> bool:
        """Whether a gate has the selector that its kind takes; a domain gate without a domain was reported already."""
        return kind.selects != "domain" or bool(self.graph.into(node.name, "domain"))

    def different(
        self, node: Node, parts: Mapping[NodeName, str], first: tuple[NodeName, int], other: tuple[NodeName, int]
    ) -> None:
        """Reports experts of two widths, with the place of each."""
        (one, width), (two, wider) = first, other
        notes = [
            Note(f"{parts[name]}: {w} wide", setting_span(self.graph.nodes[name], "units"))
            for name, w in (first, other)
        ]
        self.error(
            node,
            "AS209",
            f"{node.what} mixes streams of different widths: {parts[one]} is {width} wide, {parts[two]} is {wider}",
            setting_span(node, "sees"),
            notes=notes,
            help="give them the same last `units`",
        )

    def tower(self, node: Node) -> int | None:
        """Width of the last hidden layer; a switch has one only if its cases agree."""
        if not isinstance(node.block, Switch):
            return self.block(node)
        widths = {self.widths.get(edge.source) for edge in self.graph.into(node.name, "case")}
        reader = self.readers.get(node.name)
        if len(widths) > 1 and None not in widths and reader is not None:
            other = self.graph.nodes[reader]
            self.error(other, "AS209", f"{other.what} reads {node.what}, whose cases have different widths",
                       setting_span(other, "from"), notes=[Note(node.what, node.block.place)],
                       help="give the cases the same last `units`")  # fmt: skip
        return widths.pop() if len(widths) == 1 else None

    def fusion(self, node: Node) -> int | None:
        """Width 1; checks that only outputs with a single number are combined."""
        block, tasks = node.block, self.graph.spec.tasks
        assert isinstance(block, Block)
        for edge in self.graph.into(node.name, "of"):
            part = edge.source.name
            if part in tasks and tasks[part].settings.output == "multiclass":
                self.error(node, "AS215", f"{node.what} combines `{part}`, a {tasks[part].kind} task",
                           _part(block, part), help="fusions combine binary and regression outputs")  # fmt: skip
        self.output(node, block)
        for edge in self.graph.into(node.name, "column"):
            width = self.widths.get(edge.source)
            if width is not None and (width != 1 or edge.source not in self.numbers):
                self.error(
                    node,
                    "AS212",
                    f"{node.what}: `{edge.source.name}` is not a dense input of width 1",
                    setting_span(node, "times", "input"),
                    help="choose a dense input with `dim: 1`",
                )
        return 1

    def output(self, node: Node, block: Block) -> None:
        """Checks that a fusion with a task's name has that task's kind of output."""
        task = self.graph.spec.tasks.get(block.name)
        if task is None:
            return
        kind = task.settings
        if kind.output == "multiclass" or (kind.output == "regression" and kind.score):
            self.error(node, "AS215", f"{node.what} cannot be the {task.kind} task `{task.name}`", block.place,
                       notes=[Note(f"task `{task.name}`", task.place)], help="give the task a tower")  # fmt: skip
        elif kind.output == "binary" and block.settings is not None:
            self.probability(node, block, task)

    def probability(self, node: Node, block: Block, task: TaskBlock) -> None:
        """Checks that the score of a fusion with a binary task's name is a probability, whatever its parts are."""
        notes = [Note(f"task `{task.name}`", task.place)]
        if not overrides(block.settings, FusionKind.logits):
            self.error(
                node, "AS215",
                f"{node.what} of kind `{block.kind}` is not a probability, but `{task.name}` is a binary task",
                setting_span(node, "kind"), notes=notes,
                help="use `product`, `weighted_product` or `mixture`, or make the task a regression",
            )  # fmt: skip
            return
        try:
            found = excess(self.graph, node)
        except SpecError as error:  # of this fusion, or of one that it combines
            self.diagnostics.items += [item for item in error.diagnostics if item not in self.diagnostics.items]
            return
        if found is not None:
            part, does = found
            self.error(
                node, "AS215", f"{node.what} {does}; `{task.name}` is a binary task", _part(block, part),
                notes=[*notes, *why(self.graph, part)],
                help="combine probabilities that cannot exceed 1, or make the task a regression (`kind: regression`)",
            )  # fmt: skip

    def task(self, node: Node) -> int | None:
        """The number of outputs."""
        assert isinstance(node.block, TaskBlock)
        return node.block.settings.outputs()


def _agree(one: Column, other: Column) -> bool:
    """Whether one tensor can be both columns; a sequence of any length matches any given length."""
    fits = all(a == b or "L" in {a, b} for a, b in zip(one.shape, other.shape, strict=False))
    return one.dtype == other.dtype and len(one.shape) == len(other.shape) and fits


def _holding(column: Column) -> str:
    """The contents of a column, in words."""
    shape = ", ".join(map(str, column.shape))
    return f"{'numbers' if column.dtype == 'float' else 'ids'} [{shape}]"


def _part(block: Block, part: str) -> Span:
    of = block.settings.of
    return block.span("of", of.index(part)) if isinstance(of, tuple) else block.span("of", part, key=True)


def _shown(item: Stream | NodeName) -> str:
    return item if isinstance(item, str) else "+".join(_shown(part) for part in item.items)
