"""The streams of a program while it is lowered, and calls of kinds that produce them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from archspec.compiler.lower.columns import Columns
from archspec.contract import ExpertKind, overrides
from archspec.diagnostics import Diagnostics, SpecError
from archspec.graph.calls import checked_call, unimportable
from archspec.graph.checks.outputs import output_of
from archspec.graph.construct.resolve import Reader, Resolver
from archspec.graph.graph import INDEX_ROLES
from archspec.program import Part
from archspec.program.program import Module
from archspec.spec.spec import Block

if TYPE_CHECKING:
    from archspec.contract import Reference
    from archspec.graph.graph import Graph, Node, Stream
    from archspec.program import Scope, Seen, Value
    from archspec.program.program import Attr, Dim


class Streams(Columns):
    """The streams and outputs of the nodes lowered so far. Nodes are lowered in topological order."""

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
        """Fusions that are not a task but that a task combines."""

    def at(self, node: Node) -> Self:
        """Sets the node that is lowered next, for which references in settings are resolved; returns self."""
        self.node = node
        return self

    def read(self, reference: Reference, scope: Scope) -> Value:
        """The value of a reference in the settings of the node that is being lowered."""
        assert self.node is not None
        assert isinstance(self.node.block, Block)
        reader = Reader(self.node.what, self.node.level, self.node.block)
        return self.stream(self.resolver.stream(reference, reader, ()), scope)

    def source(self, node: Node, at: Scope, role: str = "from") -> Value:
        """The value that a node reads in a role."""
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
        """Concatenates values; the same values are concatenated only once."""
        key = ("concat", tuple(part.name for part in parts))
        if key not in self.combined:
            made = at.concat(*parts)
            self.combined[key] = made if made in parts else self.builder.hint(made, "x")
        return self.combined[key]

    def made(self, node: Node, at: Scope, *values: Any) -> Value:  # noqa: ANN401 - an input's kind is given more
        """The result of a kind, by its operations or by its module."""
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

    def output(self, name: str, logits: Value) -> None:
        """Adds the logits of a tower, or of a fusion that is a task, to the outputs."""
        self.builder.output("logits", name, logits)
        self.outputs[name] = Part(name, output_of(self.graph, name), logits)
