"""Streams of equal structure, drawn once: `task × 50`.

Two nodes are alike if they have the same kind, settings and level, and read and feed alike nodes: the stable colouring
of Weisfeiler and Leman. Names do not count, except for whether one is a domain's, by which gates choose. Of each family
one stays, with the nodes that are its own.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from archspec.render.arrows import heads_of, own_name, tails_of
from archspec.render.words import DRAWN, task_words, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import networkx as nx

    Graph = nx.MultiDiGraph[str]

MOST_ALIKE: Final = 8  # more alike tasks than this are drawn as one
NAMES: Final = frozenset({"label", "column"})
"""Settings in which alike nodes may differ: they name columns."""
RANK: Final = {"task": 0, "gate": 1, "feature_gate": 2, "tower": 3, "expert": 4}
"""Categories whose alike nodes form a family; nodes of a family of an earlier category are folded with it."""
LAST: Final = 9
LISTED: Final = 4  # how many names of a family the caption lists


def fold_alike(graph: Graph, most: int) -> Graph:
    """The graph with every family of more than `most` alike streams drawn as one; itself if there is none.

    A family is a class of tasks, of gates, of cases or of groups of experts. Its first member stays, with the nodes
    that it owns; `times` of a node is how many it represents. The graph's `remarks` say what was folded.
    """
    colours = classes(graph)
    sizes = Counter(colours.values())
    classed: dict[int, list[str]] = {}
    for name in sorted(graph, key=lambda name: RANK.get(graph.nodes[name]["category"], LAST)):
        classed.setdefault(colours[name], []).append(name)
    kept: dict[int, set[str]] = {}  # class -> the nodes of it that stay
    families: list[list[str]] = []
    for members in classed.values():
        seed = members[0]
        streams = dict.fromkeys(_stream(graph, name) for name in members)
        if graph.nodes[seed]["category"] not in RANK or len(streams) <= most or colours[seed] in kept:
            continue
        families.append(list(streams))
        _keep(graph, {name for name in members if _stream(graph, name) == _stream(graph, seed)}, colours, sizes, kept)
    return _folded(graph, colours, kept, families) if families else graph


def _stream(graph: Graph, name: str) -> str:
    """A node, or the group of an expert."""
    return name.rpartition(".")[0] if graph.nodes[name]["category"] == "expert" else name


def _keep(
    graph: Graph, first: set[str], colours: Mapping[str, int], sizes: Mapping[int, int], kept: dict[int, set[str]]
) -> None:
    """Adds the nodes that belong to the first of a family: of each class next to it, the share that it is joined to."""
    kept[colours[min(first)]] = first
    waiting = sorted(first)
    while waiting:
        name = waiting.pop(0)
        near: dict[int, set[str]] = {}
        for other in (*graph.predecessors(name), *graph.successors(name)):
            near.setdefault(colours[other], set()).add(other)
        for colour, others in near.items():
            if colour not in kept and len(others) < sizes[colour] and sizes[colour] % len(others) == 0:
                kept[colour] = others
                waiting += sorted(others)


def _folded(graph: Graph, colours: Mapping[str, int], kept: Mapping[int, set[str]], families: list[list[str]]) -> Graph:
    sizes = Counter(colours.values())
    folded = graph.copy()
    folded.remove_nodes_from([name for name in graph if name not in kept.get(colours[name], {name})])
    for colour, names in kept.items():
        for name in names:
            folded.nodes[name]["times"] = sizes[colour] // len(names)
    tasks = {f"tasks.{task}": task for task in graph.graph["tasks"]}
    left = tuple(task for name, task in tasks.items() if name in folded)
    named = [{own_name(name) for name in names} for names in families]
    said = [
        _said(graph, names) for i, names in enumerate(families) if not any(named[i] <= other for other in named[:i])
    ]
    remarks = (*graph.graph.get("remarks", ()), *said)
    folded.graph |= {"tasks": left, "remarks": remarks}
    same = [{tasks[name] for name in names} for names in families if names[0] in tasks]
    for _, node in folded.nodes(data=True):
        node["trained"] = _trained(node["tasks"], same, len(tasks))
        node["tasks"] = tuple(task for task in node["tasks"] if task in left)
    return folded


def _trained(trained: tuple[str, ...], families: list[set[str]], count: int) -> str:
    """How many tasks train a node, in words, if several of one family do."""
    several = any(len(names.intersection(trained)) > 1 for names in families)
    return "" if not several else f"all {count}" if len(trained) == count else f"{len(trained)} of {count}"


def _said(graph: Graph, names: list[str]) -> str:
    own = [own_name(name) if ".cases." not in name else name.rpartition(".")[2] for name in names]
    listed = ", ".join(own if len(own) <= LISTED else [*own[: LISTED - 1], "…", own[-1]])
    category = graph.nodes[names[0]]["category"] if names[0] in graph else "expert"
    what = {"expert": "groups of experts", "tower": "cases"}.get(category, f"{category.replace('_', ' ')}s")
    return f"{len(own)} {what} of equal structure are drawn as one ({listed})."


def classes(graph: Graph) -> dict[str, int]:
    """Node -> class: alike nodes have the same."""
    numbers: dict[Any, int] = {}
    domains = {str(value) for _, node in graph.nodes(data=True) for value in node["settings"].get("values", ())}
    colours = {
        name: numbers.setdefault((*_look(node), own_name(name) in domains), len(numbers))
        for name, node in graph.nodes(data=True)
    }
    while True:
        seen: dict[Any, int] = {}
        finer = {}
        for name in graph:
            below = _counted((colours[tail], role) for tail, role in tails_of(graph, name))
            above = _counted((colours[head], role) for head, role in heads_of(graph, name))
            finer[name] = seen.setdefault((colours[name], below, above), len(seen))
        if len(seen) == len(set(colours.values())):
            return finer
        colours = finer


def _counted(found: Iterable[tuple[int, str]]) -> tuple[tuple[tuple[int, str], int], ...]:
    counts: dict[tuple[int, str], int] = {}
    for item in found:
        counts[item] = counts.get(item, 0) + 1
    return tuple(sorted(counts.items()))


def _look(node: Mapping[str, Any]) -> tuple[object, ...]:
    """A description of a node without names."""
    bare = {**node, "changed": {key: value for key, value in node["changed"].items() if key not in DRAWN | NAMES}}
    said = task_words(bare, "") if node["category"] == "task" else words({**bare, "name": ""})
    return (
        node["category"],
        node["kind"],
        node["level"],
        str(node["detail"]),
        said,
        bool(node.get("like")),
        node.get("change"),
    )
