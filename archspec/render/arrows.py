"""Chooses the edges of the graph that a figure shows, and joins them into few arrows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from archspec.program.nodes import NodeName
from archspec.render.figure import CONTROL_ROLES, DATA_ROLES, Arrow, Block

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import networkx as nx

SAID: Final = frozenset({"selector", "domain", "exclude", "only"})
"""Roles in which a stream determines the weights of a gate."""

Edge = tuple[str, str]
Place = tuple[str, str | None]  # a block, and one part of it or None


class Look(NamedTuple):
    """The properties that determine how an edge is drawn: a role, and whether a gradient flows back along it."""

    role: str
    detached: bool


def visible_edges(graph: nx.DiGraph[str], *, selectors: bool) -> dict[Edge, Look]:
    """The edges to draw.

    The streams that determine a gate's weights are written in its box (see `notes`), and a switch tower names its
    domain: those edges are drawn only with `selectors`, or if their tail would otherwise have no edge.
    """
    said = {(tail, head) for tail, head, edge in graph.edges(data=True) if _is_said(graph, head, edge["roles"])}
    hidden = set() if selectors else said
    drawn = {tail for tail, head in graph.edges if (tail, head) not in hidden}
    return {
        (tail, head): _look(edge)
        for tail, head, edge in graph.edges(data=True)
        if (tail, head) not in hidden or tail not in drawn
    }


def _is_said(graph: nx.DiGraph[str], head: str, roles: tuple[str, ...]) -> bool:
    if graph.nodes[head]["category"] == "gate":
        return bool(graph.nodes[head]["steered"]) and SAID.issuperset(roles)
    return roles == ("switch",)


def notes(graph: nx.DiGraph[str], edges: Mapping[Edge, Look]) -> dict[str, tuple[str, ...]]:
    """Lines of text in gates: the stream that determines the weights, if it has no arrow and is not the obvious one.

    The obvious selector is the gate's own stream. A gate that is the selector of another one shows its name.
    """
    steered = {
        gate: [tail for tail in graph.predecessors(gate) if (tail, gate) not in edges]
        for gate, node in graph.nodes(data=True)
        if node["category"] == "gate" and not _own_stream(graph, gate)
    }
    named = {tail for tails in steered.values() for tail in tails if graph.nodes[tail]["category"] == "gate"}
    said = {gate: graph.nodes[gate]["steered"] if tails else () for gate, tails in steered.items()}
    return {gate: (*_name(gate, named), *said.get(gate, ())) for gate in {**said, **dict.fromkeys(named)}}


def _name(gate: str, named: set[str]) -> list[str]:
    return [_own_name(gate)] if gate in named else []


def _own_name(gate: str) -> str:
    found = NodeName.parse(gate)
    return gate if found is None else found.name


def _look(edge: Mapping[str, Any]) -> Look:
    roles: tuple[str, ...] = edge["roles"]
    # Reading data matters more than being a selector. A role that a kind defines (`modulate.selector`) is a selector.
    role = next((role for role in (*DATA_ROLES, *CONTROL_ROLES) if role in roles), roles[0])
    return Look(role, bool(edge.get("detached", False)))


def _own_stream(graph: nx.DiGraph[str], gate: str) -> bool:
    """Whether a gate's selector is the default one, or the stream that its experts read."""
    before = {tail: graph.edges[tail, gate] for tail in graph.predecessors(gate)}
    selectors = {tail for tail, edge in before.items() if edge["roles"] == ("selector",) and not edge["detached"]}
    if selectors != {tail for tail, edge in before.items() if SAID.intersection(edge["roles"])}:
        return False
    experts = [tail for tail, edge in before.items() if "sees" in edge["roles"]]
    own = [{tail for expert in experts for tail in graph.predecessors(expert) if _reads(graph, tail, expert)}]
    level = graph.nodes[gate]["level"]
    if level > 1:
        own.append({NodeName("gates", _own_name(gate), level=level - 1)})
    else:
        own.append({name for name, node in graph.nodes(data=True) if node["category"] == "input" and node["width"]})
    return selectors in own


def _reads(graph: nx.DiGraph[str], tail: str, head: str) -> bool:
    return "from" in graph.edges[tail, head]["roles"]


def join_arrows(
    edges: Mapping[Edge, Look], places: Mapping[str, Place], blocks: Mapping[str, Block]
) -> Iterator[Arrow]:
    """Arrows between blocks: one if every part of the tail goes to every part of the head, else one per edge."""
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
    if len(ports) < len(tails) * len(heads):  # not all pairs: every edge is drawn
        return sorted(ports, key=str)
    starts = [None] if tails == tail.ports else sorted(tails, key=str)
    stops = [None] if heads == head.ports else sorted(heads, key=str)
    return [(start, stop) for start in starts for stop in stops]
