"""Checks that the parts of a stream are all rows or all tokens of one length, and that each reader can read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.diagnostics import Note
from archspec.spec.categories import kinds_of
from archspec.spec.spec import Block

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from archspec.diagnostics import Diagnostics, Span
    from archspec.graph.graph import Graph, Node, Stream
    from archspec.program.nodes import NodeName


def check_stream(graph: Graph, node: Node, role: str, stream: Stream, diagnostics: Diagnostics) -> bool:
    """Whether a node may read a stream in a role: its parts agree, and the node takes them; reports it if not.

    Parts whose width is unknown because of an earlier mistake count as right.
    """
    parts = [name for name, _ in stream.nodes() if graph.widths.get(name) is not None]
    if not parts or not check_beside(graph, node, parts, stream.span, diagnostics):
        return not parts
    lists, takes = parts[0] in graph.tokens, _takes(node, role)
    if takes is None:
        return True
    if takes == "tokens" and not lists:
        _error(graph, node, "AS243", _needs_tokens(graph, node, parts), stream.span, parts, diagnostics,
               _how_to_get_tokens(graph, node))  # fmt: skip
    elif takes != "tokens" and lists:
        where = "" if role == "from" else f" as its `{role}`"
        name, count = parts[0].name, graph.tokens[parts[0]]
        message = (
            f"{node.what} reads `{name}`{where}, a list of {count} tokens, but takes rows{' there' * (role != 'from')}"
        )
        helps = _how_to_get_rows(graph, parts[0])
        _error(graph, node, "AS242", message, stream.span, parts[:1], diagnostics, helps)
    else:
        return True
    return False


def check_beside(
    graph: Graph, node: Node, parts: Iterable[NodeName], span: Span | None, diagnostics: Diagnostics
) -> bool:
    """Whether nodes that are concatenated, added or mixed all return rows, or all return the same number of tokens."""
    parts = list(dict.fromkeys(parts))
    lengths: Mapping[NodeName, int | None] = {name: graph.tokens.get(name) for name in parts}
    first = parts[0]
    other = next((name for name in parts if lengths[name] != lengths[first]), None)
    if other is None:
        return True
    one, two = described(graph, first), described(graph, other)
    if None in {lengths[first], lengths[other]}:
        message = f"{node.what} combines rows and tokens: {one}, and {two}"
        helps = (
            "first turn the tokens into rows, with `pool: mean` or a block that returns rows, or read both separately"
        )
        _error(graph, node, "AS240", message, span, (first, other), diagnostics, helps)
    else:
        message = f"{node.what} combines lists of different lengths: {one}, and {two}"
        _error(graph, node, "AS241", message, span, (first, other), diagnostics, "write the same `length` for both")
    return False


def described(graph: Graph, name: NodeName) -> str:
    """A node's output in words: `` `clicks`, a list of 50 tokens``."""
    count = graph.tokens.get(name)
    return f"`{name.name}`, " + ("one row of numbers" if count is None else f"a list of {count} tokens")


def token_kinds(graph: Graph) -> list[str]:
    """The names of the kinds of experts that take tokens."""
    registry = graph.spec.registry
    return [
        name for name in registry.names("expert") if getattr(registry.find("expert", name), "takes", "") == "tokens"
    ]


def _takes(node: Node, role: str) -> str | None:
    """What a node reads in a role; None if it is unknown because of an earlier mistake."""
    if role != "from" or not isinstance(node.block, Block) or kinds_of(node.block.category) not in {"expert", "tower"}:
        return "rows"
    return None if node.block.settings is None else str(node.block.settings.takes)


def _needs_tokens(graph: Graph, node: Node, parts: list[NodeName]) -> str:
    return f"{node.what} of kind `{node.kind}` takes tokens, but reads {described(graph, parts[0])}"


def _how_to_get_tokens(graph: Graph, node: Node) -> str:
    known = [name for name in graph.tokens if name != node.name]
    if known:
        return f"these are tokens: {', '.join(known)}"
    return "read a `sequence` input with `pool: none`, or a block whose kind returns tokens"


def _how_to_get_rows(graph: Graph, name: NodeName) -> str:
    kinds = ", ".join(f"`{kind}`" for kind in token_kinds(graph))
    settings = getattr(graph.nodes[name].block, "settings", None)
    pool = "pool it (`pool: mean`)" if hasattr(settings, "pool") else "use a kind there that returns rows"
    return f"{pool}, or read it with a block whose kind takes tokens" + (f": {kinds}" if kinds else "")


def _error(  # noqa: PLR0913, PLR0917 - each is a part of what is reported
    graph: Graph,
    node: Node,
    code: str,
    message: str,
    span: Span | None,
    parts: Iterable[NodeName],
    diagnostics: Diagnostics,
    helps: str,
) -> None:
    notes = [Note(graph.nodes[name].what, graph.nodes[name].block.place) for name in parts]
    diagnostics.error(code, message, span, notes=[*node.block.provenance, *notes], help=helps)
