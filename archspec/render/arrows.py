"""Chooses the edges of the graph that a figure shows, and joins them into few arrows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from archspec.program.nodes import NodeName
from archspec.render.figure import Arrow, Block

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import networkx as nx

SAID: Final = frozenset({"exclude", "only"})
"""Roles of a domain input that a gate's box shows in words."""

Place = tuple[str, str | None]  # a block, and one part of it or None


class Look(NamedTuple):
    """What determines how an edge is drawn: a role, whether a gradient flows back, and its change from another spec."""

    role: str
    detached: bool
    change: str = ""


class Edge(NamedTuple):
    """One edge of the graph."""

    tail: str
    head: str
    look: Look


def visible_edges(graph: nx.MultiDiGraph[str], *, selectors: bool) -> list[Edge]:
    """The edges to draw.

    A gate's selector is drawn unless it is the stream that the gate's experts read anyway; if all gates of a level have
    one selector, it is also drawn, since it is a single line. A gate's words say which domains it leaves out, and a
    case is drawn inside its tower. With `selectors`, everything is drawn; so is the only edge of a tail.
    """
    edges = [
        Edge(tail, head, Look(data["role"], data["detached"], data.get("change", "")))
        for tail, head, data in graph.edges(data=True)
    ]
    hidden = set() if selectors else set(_obvious(graph, edges))
    hidden |= {edge for edge in edges if edge.look.role in SAID and not selectors}
    drawn = {edge.tail for edge in edges if edge not in hidden}
    return [edge for edge in edges if edge.look.role != "case" and (edge not in hidden or edge.tail not in drawn)]


def _obvious(graph: nx.MultiDiGraph[str], edges: Iterable[Edge]) -> Iterator[Edge]:
    steering: dict[str, list[Edge]] = {}
    for edge in edges:
        if edge.look.role == "selector" and graph.nodes[edge.head]["category"] == "gate":
            steering.setdefault(edge.head, []).append(edge)
    for gate, found in steering.items():
        level = graph.nodes[gate]["level"]
        mine = {(edge.tail, edge.look) for edge in found}
        peers = [other for other in steering if graph.nodes[other]["level"] == level]
        common = all({(edge.tail, edge.look) for edge in steering[peer]} == mine for peer in peers)
        common = common and not any("times" in graph.nodes[edge.tail] for edge in found)  # each of many has its own
        if not common and _own_stream(graph, gate, found):
            yield from found


def _own_stream(graph: nx.MultiDiGraph[str], gate: str, found: Iterable[Edge]) -> bool:
    """Whether a gate's selector is the default one, or the stream that its experts read."""
    if any(edge.look.detached for edge in found):
        return False
    selectors = {edge.tail for edge in found}
    experts = {tail for tail, role in tails_of(graph, gate) if role == "sees"}
    own = [{tail for tail, role in tails_of(graph, expert) if role == "from"} for expert in experts]
    level = graph.nodes[gate]["level"]
    if level > 1:
        own.append({NodeName("gates", own_name(gate), level=level - 1)})
    return selectors in own


def tails_of(graph: nx.MultiDiGraph[str], name: str) -> list[tuple[str, str]]:
    """The nodes that a node reads, with their roles."""
    return [(tail, data["role"]) for tail, _, data in graph.in_edges(name, data=True)]


def heads_of(graph: nx.MultiDiGraph[str], name: str) -> list[tuple[str, str]]:
    """The nodes that read a node, with its role in each."""
    return [(head, data["role"]) for _, head, data in graph.out_edges(name, data=True)]


def own_name(name: str) -> str:
    """The name of a node without section and level; a graph made by others may have any names."""
    found = NodeName.parse(name)
    return name.partition(".")[2] or name if found is None else found.name


def join_arrows(edges: Iterable[Edge], places: Mapping[str, Place], blocks: Mapping[str, Block]) -> Iterator[Arrow]:
    """Arrows between blocks: one if every part of the tail goes to every part of the head, else one per edge."""
    bundles: dict[tuple[str, str, Look], set[tuple[str | None, str | None]]] = {}
    for edge in edges:
        (tail_block, tail_port), (head_block, head_port) = places[edge.tail], places[edge.head]
        if tail_block != head_block:
            bundles.setdefault((tail_block, head_block, edge.look), set()).add((tail_port, head_port))
    for (tail, head, look), ports in bundles.items():
        own = look.role == "sees" and blocks[tail].owner == blocks[head].owner
        for tail_port, head_port in _ends(ports, blocks[tail], blocks[head]):
            yield Arrow(tail, head, look.role, look.detached, tail_port, head_port, own, look.change)


def _ends(ports: set[tuple[str | None, str | None]], tail: Block, head: Block) -> list[tuple[str | None, str | None]]:
    tails, heads = frozenset(port for port, _ in ports), frozenset(port for _, port in ports)
    if len(ports) < len(tails) * len(heads):  # not all pairs: every edge is drawn
        return sorted(ports, key=str)
    starts = [None] if tails == tail.ports else sorted(tails, key=str)
    stops = [None] if heads == head.ports else sorted(heads, key=str)
    return [(start, stop) for start in starts for stop in stops]
