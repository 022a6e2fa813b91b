"""Folds the checked graph into the blocks of one figure.

Experts of a group share one block; so do the cases of a switch, and inputs with the same readers; a group that is too
large to draw becomes one part with a count. An arrow from a block as a whole represents an edge from each of its parts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from archspec.program.nodes import NodeName
from archspec.render.annotate import number
from archspec.render.arrows import join_arrows, tails_of, visible_edges
from archspec.render.figure import Arrow, Block, Figure, Part
from archspec.render.words import balance_words, task_words, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import networkx as nx

    from archspec.render.arrows import Edge, Place

    Drawn = tuple[Block, dict[str, Place]]

PARTS: Final = 6  # at most this many experts of a group, cases of a tower, names in a list are shown one by one
GROUPS: Final = 12  # with more groups than this in one level, every group is folded
INPUT_BOXES: Final = 8  # with more boxes of inputs, those that feed the same category and level share one
NAMES: Final = 2  # names that are shown of a list of inputs that is too long

FORMS: Final = {
    "feature_gate": "feature_gate", "gate": "gate", "tower": "tower", "fusion": "fusion", "task": "output",
}  # fmt: skip


def fold(graph: nx.MultiDiGraph[str], *, selectors: bool = False, collapse: int | None = None) -> Figure:
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
    for block, members in (*_inputs(graph, edges), *_groups(graph, limit), *_others(graph, limit)):
        blocks[block.name] = block
        places.update(members)
    scores = list(_scores(graph))
    blocks.update({block.name: block for block, _ in scores})
    arrows = join_arrows(edges, places, blocks)
    balance = balance_words(graph.graph.get("balance", {}))
    return Figure(
        name=str(graph.graph.get("name", "")),
        about=str(graph.graph.get("about", "")),
        tasks=tuple(graph.graph.get("tasks", ())),
        levels=int(graph.graph.get("levels", 0)),
        blocks=blocks,
        arrows=(*arrows, *(arrow for _, arrow in scores)),
        remarks=(*([balance] if balance else []), *graph.graph.get("remarks", ())),
        spans=graph.graph.get("spans", {}),
    )


def _inputs(graph: nx.MultiDiGraph[str], edges: Iterable[Edge]) -> Iterator[Drawn]:
    inputs = _of(graph, "input")
    readers: dict[str, set[tuple[object, ...]]] = {name: set() for name in inputs}
    coarse: dict[str, set[tuple[object, ...]]] = {name: set() for name in inputs}
    for edge in edges:
        if edge.tail in readers:
            node = graph.nodes[edge.head]
            readers[edge.tail].add((edge.head, *edge.look, _change(graph, edge.tail)))
            same = edge.head if node["category"] == "input" else node["category"]
            coarse[edge.tail].add((same, node["level"], edge.look.role, _change(graph, edge.tail)))
    boxes = _alike(readers)
    for names in boxes if len(boxes) <= INPUT_BOXES else _alike(coarse):
        block = _input_block(graph, names)
        yield block, dict.fromkeys(names, (block.name, None))


def _alike(signatures: Mapping[str, set[tuple[object, ...]]]) -> list[list[str]]:
    boxes: dict[frozenset[tuple[object, ...]], list[str]] = {}
    for name, signature in signatures.items():
        boxes.setdefault(frozenset(signature), []).append(name)
    return list(boxes.values())


def _input_block(graph: nx.MultiDiGraph[str], names: list[str]) -> Block:
    """Each input with its sizes and settings; inputs with the same are named together."""
    width = sum(int(graph.nodes[name].get("width") or 0) for name in names)
    described: dict[str, list[str]] = {}
    for name in names:
        node = graph.nodes[name]
        text = ", ".join([str(node["detail"]).replace(" x ", "×"), *words({**node, "name": _short(name)})])
        kind = "" if node["kind"] in text else f"{node['kind']} "
        described.setdefault(kind + text, []).append(_short(name))
    items = tuple(f"{_listed(found)}: {text}" for text, found in described.items())
    trained = tuple(task for task in graph.graph["tasks"] if any(task in graph.nodes[name]["tasks"] for name in names))
    title = _short(names[0]) if len(names) == 1 else f"{len(names)} inputs"
    detail = str(width) if width else ""
    if len(names) == 1:
        items = (next(iter(described)),)
    return Block(
        names[0], "inputs", 0, None, title, detail, words=items, trained=trained, members=tuple(names),
        tokens=_tokens(graph, names), times=_times(graph, names[0]), change=_change(graph, names[0]),
        notes=number(graph, names) if graph.graph.get("annotate") != "width" else (),
    )  # fmt: skip


def _listed(names: list[str]) -> str:
    return ", ".join(names if len(names) <= PARTS else [*names[:NAMES], f"+{len(names) - NAMES}"])


def _most_groups(graph: nx.MultiDiGraph[str]) -> int:
    groups = {(graph.nodes[name]["level"], graph.nodes[name]["group"]) for name in _of(graph, "expert")}
    return max(Counter(level for level, _ in groups).values(), default=0)


def _groups(graph: nx.MultiDiGraph[str], limit: int) -> Iterator[Drawn]:
    groups: dict[tuple[int, str], list[str]] = {}
    for name in _of(graph, "expert"):
        groups.setdefault((graph.nodes[name]["level"], graph.nodes[name]["group"]), []).append(name)
    shared = Counter(level for (level, _), (first, *_) in groups.items() if _owner(graph, first) is None)
    for (level, group), names in groups.items():
        times = _times(graph, names[0])
        bare = _owner(graph, names[0]) is not None or "expert" in group or shared[level] > 1
        label = group if bare else f"{group} experts"
        title = label if times == 1 else f"{_many(graph, names[0], group)} × {times}"
        yield _parted(graph, names, Block(NodeName("experts", group, level=level), "group", level, None, title), limit)


def _parted(graph: nx.MultiDiGraph[str], names: list[str], block: Block, limit: int) -> Drawn:
    """A block with its parts: one for each node, or one with a count. The positions are those of the parts."""
    folded = len(names) > limit
    if folded:
        parts: tuple[Part, ...] = (_counted(graph, names),)
    else:
        parts = tuple(
            Part(f"e{i}", *_titles(graph, name), words(graph.nodes[name]), (name,), _change(graph, name))
            for i, name in enumerate(names)
        )
    alive = [name for name in names if _change(graph, name) != "removed"] or names
    reached = {task for name in alive for task in graph.nodes[name]["tasks"]}
    trained = tuple(task for task in graph.graph["tasks"] if task in reached)
    ports = [None] * len(names) if folded else [part.port for part in parts]
    places: dict[str, Place] = {name: (block.name, port) for name, port in zip(names, ports, strict=True)}
    owner, times = block.owner or _owner(graph, names[0]), _times(graph, names[0])
    members = (*block.members, *names)
    notes = (*block.notes, *number(graph, names))
    many = str(graph.nodes[names[0]].get("trained", ""))
    made = replace(
        block, owner=owner, parts=parts, notes=notes, trained=trained, many=many, members=members,
        tokens=_tokens(graph, names), times=times,
    )  # fmt: skip
    if len(changes := {part.change for part in parts}) == 1 and block.change in {"", *changes}:
        made = replace(made, change=changes.pop(), parts=tuple(replace(part, change="") for part in parts))
    return made, places


def _others(graph: nx.MultiDiGraph[str], limit: int) -> Iterator[Drawn]:
    cases: dict[str, list[str]] = {}
    for case, tower, data in graph.edges(data=True):
        if data["role"] == "case":
            cases.setdefault(tower, []).append(case)
    inside = {case for found in cases.values() for case in found}
    for name, node in graph.nodes(data=True):
        if node["category"] in {"input", "expert"} or name in inside:
            continue
        form = "penalty" if node["penalty"] else FORMS.get(node["category"], "block")
        block = Block(
            name, form, node["level"], _owner(graph, name), *_titles(graph, name), words=_words(graph, name),
            notes=_notes(graph, name), trained=node["tasks"],
            many=str(node.get("trained", "")), members=(name,), tokens=_tokens(graph, [name]),
            times=_times(graph, name), change=_change(graph, name),
        )  # fmt: skip
        if name not in cases:
            yield block, {name: (name, None)}
            continue
        switched, places = _parted(graph, cases[name], replace(block, form="switch"), limit)
        yield switched, {**places, name: (name, None)}


def _notes(graph: nx.MultiDiGraph[str], name: str) -> tuple[str, ...]:
    """Which domains a gate leaves out, and the requested number."""
    node = graph.nodes[name]
    said = tuple(note for note in node["steered"] if not note.startswith("by "))
    return said if node["category"] == "task" or "case" in {role for _, role in tails_of(graph, name)} else (
        *said, *number(graph, [name])
    )  # fmt: skip


def _scores(graph: nx.MultiDiGraph[str]) -> Iterator[tuple[Block, Arrow]]:
    """Scores, that is fusions that nothing reads: each gets its name on top, like a task."""
    for name in _of(graph, "fusion"):
        node = graph.nodes[name]
        if not any(graph.successors(name)) and not node["penalty"]:
            block = Block(f"{name}.score", "output", node["level"] + 1, _owner(graph, name), _short(name))
            yield block, Arrow(name, block.name, "output")


def _counted(graph: nx.MultiDiGraph[str], names: list[str]) -> Part:
    described = {(*_titles(graph, name), words(graph.nodes[name])) for name in names}
    title, detail, said = described.pop() if len(described) == 1 else ("experts", "", ())
    if graph.nodes[names[0]]["category"] == "tower":
        title = "cases"
    changes = Counter(_change(graph, name) for name in names)
    if len(changes) == 1:
        return Part(None, f"{title} × {len(names)}", detail, said, tuple(names), *changes)
    now, before = (len(names) - changes[other] for other in ("removed", "added"))
    counted = (*said, f"was × {before}") if now != before else said
    return Part(None, f"{title} × {now}", detail, counted, tuple(names), "changed")


def _titles(graph: nx.MultiDiGraph[str], name: str) -> tuple[str, str]:
    node: dict[str, Any] = graph.nodes[name]
    times = _times(graph, name)
    if node["category"] == "task":
        short = _short(name) if times == 1 else "task"
        text = f"p({short})" if node["probability"] else short
        return (text if times == 1 else f"{text} × {times}"), ""
    if node.get("case") is not None:
        return str(node["case"]) + (f" × {times}" if times > 1 else ""), str(node.get("detail") or "")
    title = str(node.get("title") or _short(name))
    detail = str(node.get("detail") or "").replace(" x ", " × ")
    if times > 1 and node["category"] in {"tower", "feature_gate"}:
        title = f"{_many(graph, name, title)} × {times}".replace("task ×", "tower ×")
    if node["category"] == "gate" and title == "gate":
        title = {"sigmoid": "σ"}.get(node["kind"], node["kind"])
    return title, detail


def _words(graph: nx.MultiDiGraph[str], name: str) -> tuple[str, ...]:
    node = graph.nodes[name]
    return task_words(node, _short(name)) if node["category"] == "task" else words(node)


def _times(graph: nx.MultiDiGraph[str], name: str) -> int:
    return int(graph.nodes[name].get("times", 1))


def _change(graph: nx.MultiDiGraph[str], name: str) -> str:
    return str(graph.nodes[name].get("change", ""))


def _tokens(graph: nx.MultiDiGraph[str], names: list[str]) -> int:
    """How many tokens nodes return, if all do: 0 for rows, -1 for lists of any length or of different lengths."""
    found = {graph.nodes[name].get("tokens") for name in names}
    if None in found:
        return 0
    length = found.pop()
    return length if isinstance(length, int) and not found else -1


def _many(graph: nx.MultiDiGraph[str], name: str, own: str) -> str:
    """The name for a node that represents several: `task` if it belongs to a task, else its own name."""
    return "task" if graph.nodes[name].get("owner") in graph.graph["tasks"] else own


def _owner(graph: nx.MultiDiGraph[str], name: str) -> str | None:
    """The task whose colour a node has: the one of its name, the only one that trains it, or that of all it sees."""
    node: dict[str, Any] = graph.nodes[name]
    owner: str | None = node.get("owner")
    if owner is None and len(node["tasks"]) == 1 and len(graph.graph["tasks"]) > 1:
        owner = node["tasks"][0]
    if owner is not None:
        return owner
    seen = {_owner(graph, tail) for tail, role in tails_of(graph, name) if role == "sees"}
    return seen.pop() if len(seen) == 1 else None


def _short(name: str) -> str:
    """A canonical name without its section, for a figure; a graph from outside may have any names."""
    return name.partition(".")[2] or name


def _of(graph: nx.MultiDiGraph[str], category: str) -> list[str]:
    return [name for name, node in graph.nodes(data=True) if node["category"] == category]
