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
from archspec.program import Part, Value
from archspec.program.program import Module
from archspec.spec.spec import Block

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.contract import Reference
    from archspec.graph.graph import Graph, Node, Stream
    from archspec.program import Scope, Seen
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
        """The scores of fusions that are not a task, but that the fusion of a task combines."""

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
        if stream.combine == "sum":
            return self.masked(at.sum(*parts), parts, at)
        value = self.concat(parts, at)
        return value if stream.combine == "concat" else self.masked(at.detach(value), [value], at)

    def fields(self, stream: Stream, at: Scope) -> tuple[Value, ...]:
        """The values that a stream concatenates, not yet concatenated."""
        return tuple(self.streams[leaf] if isinstance(leaf, str) else self.stream(leaf, at) for leaf in stream.leaves())

    def masked(self, value: Value, parts: Sequence[Value], at: Scope) -> Value:
        """The same value; if it is tokens, the mask is True for each token that some part has."""
        masks = self.builder.masks
        if not value.is_tokens or value.name in masks:
            return value
        own = list(dict.fromkeys(masks.get(part.name) for part in parts))
        if None in own or len(own) == 1:
            masks[value.name] = None if None in own else own[0]
        else:
            known = [mask for mask in own if mask is not None]
            masks[value.name] = at.op("either", known, known[0].shape, name="mask", dtype="bool")
        return value

    def concat(self, parts: list[Value], at: Scope) -> Value:
        """Concatenates values; the same values are concatenated only once."""
        key = ("concat", tuple(part.name for part in parts))
        if key not in self.combined:
            made = self.masked(at.concat(*parts), parts, at)
            self.combined[key] = made if made in parts else self.builder.hint(made, "x")
        return self.combined[key]

    def made(self, node: Node, at: Scope, *values: Any) -> Value:  # noqa: ANN401 - the kind of an input has another argument
        """The result of a kind, by its operations or by its module."""
        block = node.block
        assert isinstance(block, Block)
        width, tokens = self.graph.widths[node.name], self.graph.tokens.get(node.name)
        assert width is not None
        shape: tuple[Dim, ...] = ("B", width) if tokens is None else ("B", tokens, width)
        if overrides(block.settings, ExpertKind.lower):
            said = f"declares a width of {width}" + (f", with {tokens} tokens" if tokens else "")
            value: Value = checked_call(node, "lower", at, *values, said=said, shapes=[shape])
        else:
            (x,) = values
            given = list(x) if isinstance(x, tuple) else [each for each in (x, at.mask(x)) if each is not None]
            width_read = tuple(part.width for part in x) if isinstance(x, tuple) else x.width
            value = self.opaque(node, at, (width_read,), given, shape)
        alike = isinstance(values[0], Value) and values[0].shape[:-1] == value.shape[:-1]
        return self.masked(value, [values[0]], at) if alike else value

    def read_by(self, node: Node, at: Scope) -> Value | tuple[Value, ...]:
        """What the kind of an expert, block or tower reads: one value, or its fields."""
        block = node.block
        assert isinstance(block, Block)
        if block.settings.takes == "fields":
            return self.fields(self.graph.streams[node.name, "from"], at)
        return self.source(node, at)

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
        module = Module(at.owner, cls.__module__, cls.__qualname__, settings, arguments)
        return at.call(module, values, shape)

    def output(self, name: str, logits: Value) -> None:
        """Adds the logits of a tower, or of a fusion that is a task, to the outputs."""
        self.builder.output("logits", name, logits)
        self.outputs[name] = Part(name, output_of(self.graph, name), logits)
