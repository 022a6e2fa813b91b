"""Two checked graphs as one, and the marks of their differences."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from archspec.render.scene import Circle, Item, Path, rectangle
from archspec.render.words import task_words, words

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import networkx as nx

    from archspec.render.scene import Shape

    Graph = nx.MultiDiGraph[str]

COLOURS: Final = {"added": "#1f8a4c", "removed": "#c2281d", "changed": "#a06a00"}
"""Change -> the colour of its outline, sign and arrows."""
DASH: Final = (3.5, 2.0)
"""The dashes of the outline of a removed node."""
OUT: Final = 3.0  # from a box to its outline
R: Final = 5.0  # of a sign
MARGIN: Final = OUT + R
"""How far the marks extend beyond a box."""


def united(old: Graph, new: Graph, *, renamed: Mapping[str, str], changed: Collection[str]) -> Graph:
    """Both graphs in one: nodes and edges have `change`, which is `added`, `removed`, `changed` or empty.

    Nodes of both are as in the new graph; a changed node also has its old text (`was`). An edge of the old graph that
    would close a circle is left out, since the figure goes from bottom to top; the remarks give their number.

    Args:
        old: what `archspec.build_graph` returns for the first spec.
        new: the same for the second.
        renamed: old name of a block -> its new name.
        changed: nodes of both whose settings differ, by their names in the new graph.
    """
    from networkx import has_path, relabel_nodes

    old = relabel_nodes(old, {name: _renamed(name, renamed) for name in old})
    made = new.copy()
    for name, node in made.nodes(data=True):
        node["change"] = "added" if name not in old else "changed" if name in changed else ""
        node["was"] = _was(old.nodes[name], node) if node["change"] == "changed" else ()
    for name in (name for name in old if name not in new):
        made.add_node(name, **_with_new_names(old.nodes[name], renamed), change="removed", was=())
    for tail, head, key in made.edges(keys=True):
        made.edges[tail, head, key]["change"] = "" if old.has_edge(tail, head, key) else "added"
    circles = 0
    for tail, head, key, data in old.edges(keys=True, data=True):
        if made.has_edge(tail, head, key):
            continue
        if has_path(made, head, tail):
            circles += 1
        else:
            made.add_edge(tail, head, key=key, **data, change="removed")
    made.graph |= _described(old, new, renamed, circles)
    return made


def _described(old: Graph, new: Graph, renamed: Mapping[str, str], circles: int) -> dict[str, Any]:
    """The attributes of the joint graph: the tasks of both, and the caption."""
    tasks = tuple(renamed.get(task, task) for task in old.graph["tasks"])
    names = dict.fromkeys((old.graph["name"], new.graph["name"]))
    remarks = [f"renamed: {before} to {after}" for before, after in renamed.items()]
    if circles:
        remarks.append(f"{circles} removed arrows are not drawn, since they would close a circle")
    return {
        "name": " \u2192 ".join(names),
        "tasks": (*new.graph["tasks"], *(task for task in tasks if task not in new.graph["tasks"])),
        "levels": max(old.graph["levels"], new.graph["levels"]),
        "remarks": tuple(remarks),
    }


def _renamed(name: str, renamed: Mapping[str, str]) -> str:
    return ".".join(renamed.get(part, part) for part in name.split("."))


def _with_new_names(node: Mapping[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    tasks = tuple(renamed.get(task, task) for task in node["tasks"])
    own = {key: renamed.get(node[key], node[key]) for key in ("owner", "group")}
    return {**node, **own, "tasks": tasks}


def _was(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """The words in the old node's box that are not in the new one's."""
    said = _said(new)
    gone = [text for text in _said(old) if text not in said]
    return (f"was {', '.join(gone)}",) if gone else ()


def _said(node: Mapping[str, Any]) -> list[str]:
    if node["category"] == "task":
        return list(task_words(node, ""))
    return [text for text in (node["kind"], node["detail"], *words(node)) if text]


def marked(item: Item, place: tuple[float, float, float, float], change: str, back: str) -> Item:
    """An item at (x, y, width, height) with an outline and a sign; itself if it has not changed."""
    if not change:
        return item
    x, y, w, h = place
    outline = rectangle(
        x - OUT, y - OUT, w + 2 * OUT, h + 2 * OUT, stroke=COLOURS[change], width=1.3, radius=6,
        dash=DASH if change == "removed" else (),
    )  # fmt: skip
    shapes = (outline, *sign(x - OUT, y - OUT, change, back))
    mark = Item(f"change {change}", shapes, {"data-change": change})
    return replace(item, items=(*item.items, mark), data={**item.data, "data-change": change})


def sign(x: float, y: float, change: str, back: str) -> Sequence[Shape]:
    """A plus, a minus, or a slash between two bars, in a filled circle around (x, y)."""
    r = R * 0.55
    bars: list[Shape] = [Path(((x - r, y), (x + r, y)), back, 1.3)]
    if change == "added":
        bars.append(Path(((x, y - r), (x, y + r)), back, 1.3))
    if change == "changed":
        bars = [Path(((x - r, y + side), (x + r, y + side)), back, 1.1) for side in (-1.3, 1.3)]
        bars.append(Path(((x - r * 0.6, y + r), (x + r * 0.6, y - r)), back, 1.1))
    return (Circle(x, y, R, fill=COLOURS[change]), *bars)
