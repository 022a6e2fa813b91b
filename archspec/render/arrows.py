"""Which edges of the graph a figure shows, and how they join into few arrows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from archspec.render.figure import CONTROL_ROLES, DATA_ROLES, Arrow, Block

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import networkx as nx

Edge = tuple[str, str]
Place = tuple[str, str | None]  # a block, and one part of it or None


class Look(NamedTuple):
    """What decides how an edge is drawn: one role, and whether a gradient flows back along it."""

    role: str
    detached: bool


def visible_edges(graph: nx.DiGraph[str], *, selectors: bool) -> dict[Edge, Look]:
    """The edges to draw.

    A gate steered by its own stream is the normal case, and a switch tower names the domain that decides: those edges
    show only with `selectors`, or where their tail would have no edge at all.
    """
    gates = [name for name, node in graph.nodes(data=True) if node["category"] == "gate"]
    hidden = {edge for gate in gates for edge in _own_stream(graph, gate)}
    hidden |= {(tail, head) for tail, head, edge in graph.edges(data=True) if edge["roles"] == ("switch",)}
    hidden = set() if selectors else hidden
    drawn = {tail for tail, head in graph.edges if (tail, head) not in hidden}
    return {
        (tail, head): _look(edge)
        for tail, head, edge in graph.edges(data=True)
        if (tail, head) not in hidden or tail not in drawn
    }


def _look(edge: Mapping[str, Any]) -> Look:
    roles: tuple[str, ...] = edge["roles"]
    # What an edge carries matters more than what it steers. A role of a kind's own (`modulate.selector`) steers.
    role = next((role for role in (*DATA_ROLES, *CONTROL_ROLES) if role in roles), roles[0])
    return Look(role, bool(edge.get("detached", False)))


def _own_stream(graph: nx.DiGraph[str], gate: str) -> set[Edge]:
    """The selector edges of a gate, if they are the stream that a gate uses when its spec names none."""
    roles: dict[str, tuple[str, ...]] = {tail: graph.edges[tail, gate]["roles"] for tail in graph.predecessors(gate)}
    selectors = {tail for tail, role in roles.items() if role == ("selector",)}
    level = graph.nodes[gate]["level"]
    if level > 1:
        own = [{f"level{level - 1}.gates.{gate.rpartition('.gates.')[2]}"}]
    else:
        experts = [tail for tail, role in roles.items() if "sees" in role]
        inputs = {name for name, node in graph.nodes(data=True) if node["category"] == "input" and node["width"]}
        own = [{source for expert in experts for source in graph.predecessors(expert)}, inputs]
    return {(tail, gate) for tail in selectors} if selectors in own else set()


def join_arrows(
    edges: Mapping[Edge, Look], places: Mapping[str, Place], blocks: Mapping[str, Block]
) -> Iterator[Arrow]:
    """Arrows between blocks: one where every part of the tail goes to every part of the head, else one per edge."""
    bundles: dict[tuple[str, str, Look], set[tuple[str | None, str | None]]] = {}
    for (tail, head), look in edges.items():
        (tail_block, tail_port), (head_block, head_port) = places[tail], places[head]
        bundles.setdefault((tail_block, head_block, look), set()).add((tail_port, head_port))
    for (tail, head, look), ports in bundles.items():
        own = look.role == "sees" and blocks[tail].owner == blocks[head].owner
        for tail_port, head_port in _ends(ports, blocks[tail], blocks[head]):
            yield Arrow(tail, head, look.role, look.detached, tail_port, head_port, own)


def _ends(ports: set[tuple[str | None, str | None]], tail: Block, head: Block) -> list[tuple[str | None, str | None]]:
    tails, heads = frozenset(port for port, _ in ports), frozenset(port for _, port in ports)
    if len(ports) < len(tails) * len(heads):  # not each with each: every edge is drawn
        return sorted(ports, key=str)
    starts = [None] if tails == tail.ports else sorted(tails, key=str)
    stops = [None] if heads == head.ports else sorted(heads, key=str)
    return [(start, stop) for start in starts for stop in stops]
