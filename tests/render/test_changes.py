"""Two specs in one figure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import archspec
from archspec.compiler.comparison import compare
from archspec.graph.load import load_graph
from archspec.plugins import load
from archspec.render import drawing, encode
from archspec.render.changes import COLOURS, united
from archspec.render.fold import fold

if TYPE_CHECKING:
    import networkx as nx

ROOT = Path(__file__).resolve().parents[2]
PLE = (ROOT / "specs" / "ple.yaml").read_text(encoding="utf-8")


def both(old: str, new: str) -> nx.MultiDiGraph[str]:
    """Two specs as one graph, as `archspec diff --render` joins them."""
    found = compare(load_graph(old, None, load()), load_graph(new, None, load()))
    changed = {node.node for node in found.nodes.changed if node.settings}
    graphs = [archspec.build_graph(archspec.load(text)) for text in (old, new)]
    return united(*graphs, renamed=found.renamed, changed=changed)


def changes(graph: nx.MultiDiGraph[str]) -> dict[str, set[str]]:
    """The nodes of each change."""
    found: dict[str, set[str]] = {}
    for name, node in graph.nodes(data=True):
        found.setdefault(node["change"], set()).add(name)
    return found


SHARE = PLE.replace("  vcr:", "  share: {}\n  vcr:")


def test_what_only_one_has_is_added_or_removed() -> None:
    """With one more task, its nodes and their edges are added; in the other direction the same are removed."""
    there, back = both(PLE, SHARE), both(SHARE, PLE)
    assert changes(there)["added"] == changes(back)["removed"]
    assert {"tasks.share", "towers.share", "level1.experts.share.0"} <= changes(there)["added"]
    added = {(tail, head) for tail, head, data in there.edges(data=True) if data["change"] == "added"}
    assert ("level1.experts.share.0", "level1.gates.shared") in added
    assert ("level1.experts.vtr.0", "level1.gates.shared") not in added
    assert set(back.graph["tasks"]) == {"vtr", "vcr", "share"}


def test_equal_specs_have_no_marks() -> None:
    """The figure of a spec compared with itself is the spec's own figure."""
    graph = archspec.build_graph(archspec.load(PLE))
    assert encode(drawing(both(PLE, PLE)), ".svg") == encode(drawing(graph), ".svg")


def test_a_changed_block_says_what_it_was() -> None:
    """New settings are in their usual place, the old ones below them."""
    graph = both(PLE, PLE.replace("[64, 32]", "[128, 32]"))
    assert changes(graph)["changed"] == {name for name in graph if ".experts." in name}
    group = fold(graph).blocks["level1.experts.vtr"]
    assert (group.change, {part.change for part in group.parts}) == ("changed", {""})
    assert {(part.detail, part.words) for part in group.parts} == {("128, 32", ("was 64, 32",))}


def test_part_of_a_group_is_marked_part_by_part() -> None:
    """An added expert has its own mark; a group drawn as one box shows both counts."""
    graph = both(PLE, PLE.replace("count: 3", "count: 4"))
    group = fold(graph).blocks["level1.experts.shared"]
    assert (group.change, [part.change for part in group.parts]) == ("", ["", "", "", "added"])
    (part,) = fold(graph, collapse=1).blocks["level1.experts.shared"].parts
    assert (part.title, part.words, part.change) == ("MLP × 4", ("was × 3",), "")
    assert fold(graph, collapse=1).blocks["level1.experts.shared"].change == "changed"


def test_a_renamed_block_is_one_block() -> None:
    """The block has its new name, and the caption mentions the old one."""
    graph = both(PLE, PLE.replace("vtr", "click"))
    assert set(changes(graph)) == {"", "changed"}
    assert changes(graph)["changed"] == {"tasks.click"}
    assert graph.graph["remarks"] == ("renamed: vtr to click",)


TURNED = """\
archspec: 1
name: turned
inputs: {{x: {{kind: dense, dim: 4}}}}
tasks: {{a: {{}}, b: {{}}}}
towers:
  a: {{from: {a}, units: [4]}}
  b: {{from: {b}, units: [4]}}
"""


def test_an_arrow_that_would_close_a_circle_is_left_out() -> None:
    """Where two towers are swapped, the figure keeps its direction, omits the arrow and says so."""
    graph = both(TURNED.format(a="x", b="towers.a"), TURNED.format(a="towers.b", b="x"))
    assert "1 removed arrows are not drawn, since they would close a circle" in graph.graph["remarks"]
    assert encode(drawing(graph), ".svg")


@pytest.mark.parametrize("names", [("mmoe", "ple"), ("ple", "meituan_search"), ("hinet", "pepnet"), ("cgc", "ple")])
def test_any_two_specs_can_be_drawn(names: tuple[str, str]) -> None:
    """For any two specs, each change has its mark, its arrows and its entry in the legend."""
    old, new = ((ROOT / "specs" / f"{name}.yaml").read_text(encoding="utf-8") for name in names)
    if "extends" in old:
        old = archspec.load(ROOT / "specs" / f"{names[0]}.yaml").text()
    graph = both(old, new)
    svg = str(encode(drawing(graph), ".svg"))
    marked = set(re.findall(r'data-change="(\w+)"', svg))
    edges = {data["change"] for _, _, data in graph.edges(data=True)}
    assert marked == {*changes(graph), *edges} - {""}
    legend = svg[svg.index('class="legend"') :]
    assert [change for change in marked if f">{change}<" not in legend or COLOURS[change] not in legend] == []
