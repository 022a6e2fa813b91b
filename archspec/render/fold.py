"""Folds the checked graph into the blocks of one figure.

Experts of a group share one block; inputs with the same readers share one; a group that is too large to draw becomes
one part with a count. An arrow from a block as a whole represents an edge from each of its parts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from archspec.program.nodes import NodeName
from archspec.render.arrows import join_arrows, notes, visible_edges
from archspec.render.figure import Arrow, Block, Figure, Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import networkx as nx

    from archspec.render.arrows import Edge, Look, Place

PARTS: Final = 6  # at most this many experts of a group, cases of a tower, names in a list are shown one by one
GROUPS: Final = 12  # with more groups than this in one level, every group is folded
INPUT_BOXES: Final = 8  # with more boxes of inputs, those that feed the same category and level share one
PROBABILITIES: Final = ("binary", "multiclass")  # kinds of tasks whose output is a probability
NAMES: Final = 2  # names that are shown of a list of inputs that is too long

FORMS: Final = {"input": None, "expert": None, "gate": "gate", "tower": "tower", "fusion": "fusion", "task": "output"}


def fold(graph: nx.DiGraph[str], *, selectors: bool = False, collapse: int | None = None) -> Figure:
    """The figure of a checked graph.

    Args:
        graph: what `archspec.build_graph` returns.
        selectors: also draw a gate's selector if it is the gate's own stream.
        collapse: a group with more experts (a tower with more cases) than this is drawn as one; by default 6, and 1
            in a model with more than 12 groups in a level.
    """
    limit = collapse if collapse is not None else (1 if _most_groups(graph) > GROUPS else PARTS)
    edges = visible_edges(graph, selectors=selectors)
    blocks: dict[str, Block] = {}
    places: dict[str, Place] = {}
    others = _others(graph, notes(graph, edges))
    for block, members in (*_inputs(graph, edges), *_groups(graph, limit), *_cases(graph, limit), *others):
        blocks[block.name] = block
        places.update(members)
    scores = list(_scores(graph))
    blocks.update({block.name: block for block, _ in scores})
    arrows = join_arrows(edges, places, blocks)
    return Figure(
        name=str(graph.graph.get("name", "")),
        about=str(graph.graph.get("about", "")),
        tasks=tuple(graph.graph.get("tasks", ())),
        levels=int(graph.graph.get("levels", 0)),
        blocks=blocks,
        arrows=(*arrows, *(arrow for _, arrow in scores)),
    )


def _inputs(graph: nx.DiGraph[str], edges: Mapping[Edge, Look]) -> Iterator[tuple[Block, dict[str, Place]]]:
    inputs = _of(graph, "input")
    readers: dict[str, set[tuple[object, ...]]] = {name: set() for name in inputs}
    coarse: dict[str, set[tuple[object, ...]]] = {name: set() for name in inputs}
    for (tail, head), look in edges.items():
        if tail in readers:
            node = graph.nodes[head]
            readers[tail].add((head, *look))
            coarse[tail].add((node["category"], node["level"], look.role))
    boxes = _alike(readers)
    for names in boxes if len(boxes) <= INPUT_BOXES else _alike(coarse):
        block = _input_block(graph, names)
        yield block, dict.fromkeys(names, (block.name, None))


def _alike(signatures: Mapping[str, set[tuple[object, ...]]]) -> list[list[str]]:
    boxes: dict[frozenset[tuple[object, ...]], list[str]] = {}
    for name, signature in signatures.items():
        boxes.setdefault(frozenset(signature), []).append(name)
    return list(boxes.values())


def _input_block(graph: nx.DiGraph[str], names: list[str]) -> Block:
    short = [_short(name) for name in names]
    width = sum(int(graph.nodes[name].get("width") or 0) for name in names)
    if len(names) == 1:
        return Block(names[0], "inputs", 0, None, short[0], str(width) if width else "")
    shown = short if len(short) <= PARTS else [*short[:NAMES], f"+{len(short) - NAMES}"]
    return Block(names[0], "inputs", 0, None, "inputs", ", ".join(shown) + (f" : {width}" if width else ""))


def _most_groups(graph: nx.DiGraph[str]) -> int:
    groups = {(graph.nodes[name]["level"], graph.nodes[name]["group"]) for name in _of(graph, "expert")}
    return max(Counter(level for level, _ in groups).values(), default=0)


def _groups(graph: nx.DiGraph[str], limit: int) -> Iterator[tuple[Block, dict[str, Place]]]:
    groups: dict[tuple[int, str], list[str]] = {}
    for name in _of(graph, "expert"):
        groups.setdefault((graph.nodes[name]["level"], graph.nodes[name]["group"]), []).append(name)
    for (level, group), names in groups.items():
        block_name, owner = NodeName("experts", group, level=level), _owner(graph, names[0])
        folded = len(names) > limit
        if folded:
            parts: tuple[Part, ...] = (_counted(graph, names),)
        else:
            parts = tuple(Part(f"e{i}", *_words(graph, name)) for i, name in enumerate(names))
        label = group if owner is not None or len(names) == 1 or "expert" in group else f"{group} experts"
        ports = [None] * len(names) if folded else [part.port for part in parts]
        places: dict[str, Place] = {name: (block_name, port) for name, port in zip(names, ports, strict=True)}
        yield Block(block_name, "group", level, owner, label, parts=parts), places


def _cases(graph: nx.DiGraph[str], limit: int) -> Iterator[tuple[Block, dict[str, Place]]]:
    cases: dict[str, list[str]] = {}
    for name in _of(graph, "tower"):
        if graph.nodes[name].get("case") is not None:
            cases.setdefault(_tower(graph, name), []).append(name)
    for tower, names in cases.items():
        level, owner = graph.nodes[tower]["level"], _owner(graph, tower)
        if len(names) > limit:
            counted = _counted(graph, names)
            block = Block(f"{tower}.cases", "case", level, owner, f"{len(names)} cases", counted.detail, within=tower)
            yield block, dict.fromkeys(names, (block.name, None))
            continue
        for name in names:
            title, detail = str(graph.nodes[name]["case"]), _words(graph, name)[1]
            yield Block(name, "case", level, owner, title, detail, within=tower), {name: (name, None)}


def _others(graph: nx.DiGraph[str], said: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[Block, dict[str, Place]]]:
    switched = {_tower(graph, name) for name in _of(graph, "tower") if graph.nodes[name].get("case") is not None}
    for name, node in graph.nodes(data=True):
        form = "penalty" if node["penalty"] else FORMS.get(node["category"], "block")
        if form is None or node.get("case") is not None:
            continue
        block = Block(name, form, node["level"], _owner(graph, name), *_words(graph, name), notes=said.get(name, ()))
        yield (_switch(graph, block) if name in switched else block), {name: (name, None)}


def _switch(graph: nx.DiGraph[str], tower: Block) -> Block:
    deciding = [
        _short(tail) for tail in graph.predecessors(tower.name) if "switch" in graph.edges[tail, tower.name]["roles"]
    ]
    return replace(tower, form="switch", within=tower.name, detail=f"switch by {', '.join(deciding)}")


def _scores(graph: nx.DiGraph[str]) -> Iterator[tuple[Block, Arrow]]:
    """Scores, that is fusions that nothing reads: each gets its name on top, like a task."""
    for name in _of(graph, "fusion"):
        node = graph.nodes[name]
        if not any(graph.successors(name)) and not node["penalty"]:
            block = Block(f"{name}.score", "output", node["level"] + 1, _owner(graph, name), _short(name))
            yield block, Arrow(name, block.name, "output")


def _counted(graph: nx.DiGraph[str], names: list[str]) -> Part:
    words = {_words(graph, name) for name in names}
    title, detail = words.pop() if len(words) == 1 else ("experts", "")
    return Part(None, f"{title} \u00d7 {len(names)}", detail)


def _words(graph: nx.DiGraph[str], name: str) -> tuple[str, str]:
    node: dict[str, Any] = graph.nodes[name]
    if node["category"] == "task":
        return (f"p({_short(name)})" if node["kind"] in PROBABILITIES else _short(name)), ""
    return str(node.get("title") or _short(name)), str(node.get("detail") or "")


def _owner(graph: nx.DiGraph[str], name: str) -> str | None:
    """The task whose colour a node has: the one of its name, the only one that trains it, or that of all it sees."""
    node: dict[str, Any] = graph.nodes[name]
    owner: str | None = node.get("owner")
    if owner is None and len(node["tasks"]) == 1 and len(graph.graph["tasks"]) > 1:
        owner = node["tasks"][0]
    if owner is not None:
        return owner
    seen = {_owner(graph, tail) for tail in graph.predecessors(name) if "sees" in graph.edges[tail, name]["roles"]}
    return seen.pop() if len(seen) == 1 else None


def _short(name: str) -> str:
    """A canonical name without its section, for a figure; a graph from outside may have any names."""
    return name.partition(".")[2] or name


def _tower(graph: nx.DiGraph[str], case: str) -> str:
    """The tower that a case belongs to."""
    return next(tower for tower in graph.successors(case) if "case" in graph.edges[case, tower]["roles"])


def _of(graph: nx.DiGraph[str], category: str) -> list[str]:
    return [name for name, node in graph.nodes(data=True) if node["category"] == category]
