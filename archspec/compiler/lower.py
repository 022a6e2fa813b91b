"""Graph -> program: each node's kind writes its operations; afterwards there are no experts or gates, only tensors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from archspec.compiler.passes.dead_operations import dead_operations
from archspec.compiler.size import check_size
from archspec.contract import ExpertKind, FeatureGateKind, FusionKind, GateKind, InputKind, overrides
from archspec.diagnostics import Diagnostics, SpecError
from archspec.graph.calls import call, checked_call, unimportable, wrong_result
from archspec.graph.graph import INDEX_ROLES, Graph, Node, Stream
from archspec.graph.outputs import output_of
from archspec.graph.resolve import Reader, Resolver
from archspec.graph.widths import seen_by
from archspec.program import Builder, GateInputs, Part, Program, Scope, Seen, Value, verify
from archspec.program.nodes import NodeName
from archspec.program.program import Attr, Dim, Module
from archspec.program.verify import illegal
from archspec.spec.spec import Block, Switch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.contract import Reference
    from archspec.diagnostics import Diagnostic
    from archspec.program.columns import Column
    from archspec.spec.exclude import Exclude


@dataclass(frozen=True, slots=True)
class Lowered:
    """The programs of a model: `forward` from batch to logits, `predict` from logits (and batch) to scores."""

    forward: Program
    predict: Program
    columns: Mapping[str, tuple[str, Column]]
    """Input -> its key in the batch, and what must be there."""
    findings: tuple[Diagnostic, ...] = ()
    """Warnings about the size of the weights."""


def lower(graph: Graph) -> Lowered:
    """The plain program of a checked graph: the meaning of the spec. What no output needs is left out.

    Raises:
        SpecError: AS502: the operations of a kind are not what it said, or it raises an error; AS221: no machine holds
            the weights.
    """
    forward = _Forward(graph)
    for name in graph.order:
        forward.visit(graph.nodes[name])
    predict = _Predict(graph, forward.outputs)
    program = dead_operations(_legal(forward.builder.program(), graph)).program
    return Lowered(program, verify(predict.lower()), forward.columns, check_size(program, graph))


def _legal(program: Program, graph: Graph) -> Program:
    """The program, if it is legal; otherwise the kind whose operations are not is named at its place in the spec."""
    try:
        return verify(program)
    except AssertionError:
        for op, wrong in illegal(program):
            if node := graph.nodes.get(op.node.node):
                raise SpecError([wrong_result(node, f"writes an illegal operation: {wrong}")]) from None
        raise


class _Columns:
    """Columns of the batch as values, each read once."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.builder = Builder(self.read, self.column, self.domain, self.setting_column)
        self.inputs: dict[str, InputKind] = {name: block.settings for name, block in graph.spec.inputs.items()}
        """The settings of all inputs, for shared tables."""
        self.columns: dict[str, tuple[str, Column]] = {}
        self.raw: dict[str, Value] = {}

    def read(self, reference: Reference, scope: Scope) -> Value:
        """The stream of a reference; only the forward program has streams."""
        raise NotImplementedError

    def column(self, name: str) -> Value:
        """The batch's column of an input."""
        if name not in self.raw:
            block = self.graph.spec.inputs[name]
            column: Column = block.settings.column(self.inputs)
            key = block.common.column
            self.columns[name] = (key, column)
            scope = Scope(self.builder, NodeName("inputs", name))
            value = scope.op("column", (), column.shape, name="column", dtype=column.dtype, key=key, source="batch")
            self.raw[name] = self.builder.hint(value, name)
        return self.raw[name]

    def setting_column(self, name: str, setting: str) -> Value:
        """A further column of the batch that an input reads: the one that its setting names."""
        kind = self.inputs[name]
        column, key = kind.columns(self.inputs)[setting], str(getattr(kind, setting))
        self.columns[f"{name}.{setting}"] = (key, column)
        scope = Scope(self.builder, NodeName("inputs", name))
        value = scope.op("column", (), column.shape, name=setting, dtype=column.dtype, key=key, source="batch")
        return self.builder.hint(value, f"{name}_{setting}")

    def domain(self, name: str) -> tuple[str, ...]:
        """The values of a domain input."""
        values = self.inputs[name].domain()
        assert values is not None, f"{name} is no domain input"
        return values


class _Forward(_Columns):
    """Lowers nodes in topological order."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.resolver = Resolver(graph.spec, Diagnostics())
        self.streams: dict[str, Value] = {}
        self.heads: dict[str, Value] = {}
        """Towers and cases -> `[B, outputs]` before they are squeezed."""
        self.outputs: dict[str, Part] = {}
        """Towers and fusions -> their logits, for fusions and `predict`."""
        self.node: Node | None = None
        self.combined: dict[tuple[str, tuple[str, ...]], Value] = {}
        self.hidden_readers = {e.source for e in graph.edges if e.role not in {"of", "output", "case", "loss"}}
        self.stream_readers = {e.source for e in graph.edges if e.role not in INDEX_ROLES}
        self.scores: dict[str, Part] = {}
        """Fusions that are no task but that a task combines."""

    def visit(self, node: Node) -> None:
        """Lowers one node."""
        self.node = node
        at = Scope(self.builder, node.name, node.like)
        match node.category:
            case "input":
                self.input(node, at)
            case "feature_gate":
                self.streams[node.name] = self.builder.hint(self.feature_gate(node, at), node.block.name)
            case "expert":
                value = self.made(node, at, self.source(node, at))
                self.streams[node.name] = self.builder.hint(value, f"{node.group}_{node.index}")
            case "gate":
                self.streams[node.name] = self.builder.hint(self.gate(node, at), node.block.name)
            case "tower":
                self.tower(node, at)
            case "fusion":
                self.fusion(node, at)
            case _:
                pass

    # -- streams ------------------------------------------------------------------------------------------------------

    def read(self, reference: Reference, scope: Scope) -> Value:
        """A reference among the settings of the node that is being lowered."""
        assert self.node is not None
        assert isinstance(self.node.block, Block)
        reader = Reader(self.node.what, self.node.level, self.node.block)
        return self.stream(self.resolver.stream(reference, reader, ()), scope)

    def source(self, node: Node, at: Scope, role: str = "from") -> Value:
        """What a node reads in a role."""
        return self.stream(self.graph.streams[node.name, role], at)

    def stream(self, stream: Stream, at: Scope) -> Value:
        """The value of a stream."""
        parts = [self.streams[i] if isinstance(i, str) else self.stream(i, at) for i in stream.items]
        if stream.combine == "concat":
            return self.concat(parts, at)
        if stream.combine == "sum":
            return at.sum(*parts)
        return at.detach(self.concat(parts, at))

    def concat(self, parts: list[Value], at: Scope) -> Value:
        """Values side by side; the same ones are put together once."""
        key = ("concat", tuple(part.name for part in parts))
        if key not in self.combined:
            made = at.concat(*parts)
            self.combined[key] = made if made in parts else self.builder.hint(made, "x")
        return self.combined[key]

    def made(self, node: Node, at: Scope, *values: Any) -> Value:  # noqa: ANN401 - an input's kind is given more
        """What a kind makes of one value, by its operations or by its module."""
        block = node.block
        assert isinstance(block, Block)
        width = self.graph.widths[node.name]
        assert width is not None
        if overrides(block.settings, ExpertKind.lower):
            value: Value = checked_call(
                node, "lower", at, *values, said=f"says that it is {width} wide", shapes=[("B", width)]
            )
            return value
        (x,) = values
        return self.opaque(node, at, (x.width,), [x], ("B", width))

    @staticmethod
    def opaque(
        node: Node, at: Scope, arguments: tuple[Attr | Seen, ...], values: list[Value], shape: tuple[Dim, ...]
    ) -> Value:
        """A call of the module that a plugin's kind builds."""
        block = node.block
        assert isinstance(block, Block)
        cls = type(block.settings)
        if "<locals>" in cls.__qualname__:
            raise SpecError([unimportable(node)])
        settings = tuple(sorted(block.settings.model_dump(mode="json", by_alias=True).items()))
        module = Module(at.home, cls.__module__, cls.__qualname__, settings, arguments)
        return at.call(module, values, shape)

    # -- nodes --------------------------------------------------------------------------------------------------------

    def input(self, node: Node, at: Scope) -> None:
        """The stream of an input, if it has one and somebody reads it."""
        assert isinstance(node.block, Block)
        column = self.column(node.block.name)
        if self.graph.widths[node.name] and node.name in self.stream_readers:
            value = self.made(node, at, column, self.inputs)
            self.streams[node.name] = self.builder.hint(value, node.block.name)

    def feature_gate(self, node: Node, at: Scope) -> Value:
        """Factors times fields, or times elements."""
        block, stream = node.block, self.graph.streams[node.name, "from"]
        assert isinstance(block, Block)
        fields = [self.streams[leaf] if isinstance(leaf, str) else self.stream(leaf, at) for leaf in stream.leaves()]
        per_field = block.common.per == "field"
        count = len(fields) if per_field else sum(field.width for field in fields)
        scale = float(len(fields)) if block.common.scale == "fields" else block.common.scale
        selector = self.source(node, at, "selector")
        if overrides(block.settings, FeatureGateKind.lower):
            said = f"scales {count} {'fields' if per_field else 'elements'}"
            factors = checked_call(node, "lower", at, selector, count, said=said, shapes=[("B", count)])
        else:
            factors = self.opaque(node, at, (selector.width, count), [selector], ("B", count))
        factors = self.builder.hint(at.scale(factors, scale), f"{block.name}_factors")
        if not per_field:
            return at.product(self.concat(fields, at), factors)
        return at.concat(*(at.product(field, at.slice(factors, i, i + 1)) for i, field in enumerate(fields)))

    def gate(self, node: Node, at: Scope) -> Value:
        """Weights from the gate's kind, then the mix of the experts seen."""
        block, seen = node.block, self.graph.seen[node.name]
        assert isinstance(block, Block)
        experts = tuple(self.expert(expert.node, at, detached=expert.detached) for expert in seen)
        exclude = block.common.exclude
        allowed = self.allowed(node, exclude, at) if exclude and not exclude.after_softmax else None
        names = tuple(expert.node for expert in seen)
        gate = GateInputs(seen_by(self.graph, node), self.selector(node, at), experts, allowed, names)
        said = f"sees {len(experts)} experts, {gate.seen.width} wide"
        if overrides(block.settings, GateKind.lower):
            shapes = [("B", len(experts)), (len(experts),)]
            weights = checked_call(node, "lower", at, gate, said=said, shapes=shapes)
        else:
            given = [value for value in (gate.selector, gate.allowed) if value is not None]
            shape = ("B", len(experts)) if given else (len(experts),)
            surroundings = replace(gate.seen, settings=())  # what a built file can write down
            weights = self.opaque(node, at, (surroundings,), given, shape)
        if exclude and exclude.after_softmax:
            weights = at.product(weights, self.allowed(node, exclude, at, "float"))
        self.builder.hint(weights, f"{block.name}_weights")
        shapes = [("B", gate.seen.width)]
        experts = checked_call(node, "values", at, gate, said=said, shapes=shapes, each=len(experts))
        if block.common.transform == "linear":
            experts = tuple(at.linear(e, e.width, f"transform.{i}", bias=False) for i, e in enumerate(experts))
        chosen = call(node, "chosen", gate.seen)
        mixed = at.mix(weights, experts, chosen=chosen)
        rows = (
            weights
            if weights.batch_axis is not None
            else at.apply("rows_like", weights, mixed, shape=("B", len(experts)))
        )
        self.builder.output("gates", node.name, rows)
        residual = block.common.residual
        return mixed if residual is None else at.sum(mixed, self.streams[node.name.sibling(residual)])

    def expert(self, name: str, at: Scope, *, detached: bool) -> Value:
        """An expert as a gate sees it."""
        key = ("detach", (name,))
        if detached and key not in self.combined:
            self.combined[key] = at.detach(self.streams[name])
        return self.combined[key] if detached else self.streams[name]

    def selector(self, node: Node, at: Scope) -> Value | None:
        """What decides a gate's weights: a stream, a domain's ids, or nothing."""
        domain = next((edge.source for edge in self.graph.into(node.name, "domain")), None)
        if domain is not None:
            return self.column(domain.name)
        return self.source(node, at, "selector") if (node.name, "selector") in self.graph.streams else None

    def allowed(self, node: Node, exclude: Exclude, at: Scope, dtype: Literal["float", "bool"] = "bool") -> Value:
        """`[B, E]`: False, or 0, where an expert of the row's own domain is left out."""
        groups = [expert.group for expert in self.graph.seen[node.name]]
        values, number = self.domain(exclude.domain), float if dtype == "float" else bool
        table = at.constant([[number(group != value) for group in groups] for value in values], dtype)
        return at.lookup(self.column(exclude.domain), table)

    def tower(self, node: Node, at: Scope) -> None:
        """A tower's hidden vector and head; for a switch, each row's own case."""
        name = node.name.name
        task = self.graph.spec.tasks.get(name)
        outputs = (task.task.classes if task else None) or 1
        if isinstance(node.block, Switch):
            ids = self.column(node.block.switch)
            cases = [NodeName("towers", name, case=value) for value in self.domain(node.block.switch)]
            head = at.select(ids, [self.heads[case] for case in cases])
            if node.name in self.hidden_readers:
                self.streams[node.name] = at.select(ids, [self.streams[case] for case in cases])
        else:
            assert isinstance(node.block, Block)
            hidden = self.made(node, at, self.source(node, at))
            self.streams[node.name] = self.builder.hint(hidden, f"{name}_hidden")
            said = f"heads a tower of {outputs} output{'s' * (outputs > 1)}"
            head = checked_call(node, "head", at, hidden, outputs, said=said, shapes=[("B", outputs)])
        self.heads[node.name] = head
        if node.case is None:
            logits = self.builder.hint(head if outputs > 1 else at.squeeze(head), f"{name}_logit")
            self.finish(name, logits)

    def finish(self, name: str, logits: Value) -> None:
        """Gives the logits of a tower or of a fusion that is a task back."""
        self.builder.output("logits", name, logits)
        self.outputs[name] = Part(name, output_of(self.graph, name), logits)

    def fusion(self, node: Node, at: Scope) -> None:
        """A fusion that is a task has a logit; the others are scores, made by `predict`. Each may add to the loss."""
        block = node.block
        assert isinstance(block, Block)
        parts = tuple(self.outputs[name] for name in block.settings.of if name in self.outputs)
        call(node, "auxiliary", at, parts)
        task = self.graph.spec.tasks.get(block.name)
        if task is None:
            return
        parts = tuple(self.part(name) for name in block.settings.of)
        method = "logits" if task.task.kind == "binary" else "lower"
        self.finish(block.name, self.builder.hint(_score(node, at, parts, method), f"{block.name}_logit"))

    def part(self, name: str) -> Part:
        """An output that a task's fusion combines: a tower's, a task's, or a score that is made here for it."""
        if name not in self.outputs and name not in self.scores:
            node = self.graph.nodes[NodeName("fusion", name)]
            assert isinstance(node.block, Block)
            parts = tuple(self.part(inner) for inner in node.block.settings.of)
            score = _score(node, Scope(self.builder, node.name), parts)
            self.scores[name] = Part(name, "regression", self.builder.hint(score, f"{name}_score"))
        return self.outputs[name] if name in self.outputs else self.scores[name]


def _score(node: Node, at: Scope, parts: tuple[Part, ...], method: str = "lower") -> Value:
    """What a fusion makes of its parts, `[B]`."""
    score: Value = checked_call(node, method, at, parts, said="gives one number per row", shapes=[("B",)])
    return score


class _Predict(_Columns):
    """Lowers scores: probabilities and values of every output, and the fusions that are no task."""

    def __init__(self, graph: Graph, parts: Mapping[str, Part]) -> None:
        super().__init__(graph)
        self.parts = parts

    def lower(self) -> Program:
        """The program from logits to scores."""
        made: dict[str, Part] = {}
        for name, part in self.parts.items():
            at = Scope(self.builder, NodeName("scores", name))
            logits = at.op("column", (), part.logits.shape, name="logits", key=name, source="logits")
            made[name] = Part(name, part.output, self.builder.hint(logits, f"{name}_logit"))
            score = self.score(at, made[name])
            self.builder.output("scores", name, self.builder.hint(score, f"{name}_score"))
        for name in (name for name in self.graph.order if name.section == "fusion"):
            node, block = self.graph.nodes[name], self.graph.nodes[name].block
            assert isinstance(block, Block)
            if block.name not in made and overrides(block.settings, FusionKind.lower):
                parts = tuple(made[part] for part in block.settings.of)
                score = _score(node, Scope(self.builder, NodeName("scores", block.name)), parts)
                made[block.name] = Part(block.name, "regression", self.builder.hint(score, f"{block.name}_score"))
                self.builder.output("scores", block.name, score)
        return self.builder.program()

    @staticmethod
    def score(at: Scope, part: Part) -> Value:
        """The probability or value of an output."""
        match part.output:
            case "binary":
                return at.activation(part.logits, "sigmoid")
            case "multiclass":
                return at.softmax(part.logits)
            case _:
                return part.logits
