"""SVG figures: their contents, their guarantees to web pages, and that texts of a spec remain texts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Unpack
from xml.etree import ElementTree as ET  # what is parsed here was written by the test

import networkx as nx
import pytest

from archspec.render import drawing, to_svg
from tests.render import geometry, graphs

if TYPE_CHECKING:
    from archspec.render import Options

SVG = "{http://www.w3.org/2000/svg}"
NASTY = '<b>a&"\\N\n]]></title><script>alert(1)</script> &#0; &lt;'
ALL = [graphs.ple(), graphs.mmoe(), graphs.esmm(), graphs.meituan()]


def parse(graph: graphs.Graph, **options: Unpack[Options]) -> ET.Element:
    """The root of a graph's SVG."""
    return ET.fromstring(to_svg(graph, **options))  # noqa: S314 written by the test


def texts(root: ET.Element) -> list[str]:
    """All words of a figure."""
    return [text.text or "" for text in root.iter(f"{SVG}text")]


def items(root: ET.Element, what: str) -> dict[str, ET.Element]:
    """The groups of one class, by their id."""
    return {g.get("id", ""): g for g in root.iter(f"{SVG}g") if (g.get("class") or "").split()[:1] == [what]}


def height(node: ET.Element) -> float:
    """The vertical position of a block's lowest text."""
    return max(float(text.get("y", "nan")) for text in node.iter(f"{SVG}text"))


def test_ple_shows_levels_experts_gates_and_outputs() -> None:
    """The figure contains everything in the reference figure of PLE, and the sizes of its inputs."""
    words = texts(parse(graphs.ple()))
    assert words.count("MLP") == 12
    assert words.count("softmax") == 5
    assert {"Level 1", "Level 2", "shared experts", "ctr tower", "64, 32, 1", "p(ctr)", "p(cvr)"} <= set(words)
    assert "3 inputs : 320" in words


def test_flow_is_upwards() -> None:
    """Inputs lie below experts, experts below their gate, the gate below its tower, the tower below the output."""
    nodes = items(parse(graphs.ple()), "node")
    path = ["inputs.user", "level1.experts.ctr", "level1.gates.ctr", "level2.experts.ctr", "towers.ctr", "tasks.ctr"]
    heights = [height(nodes[f"node-{name}"]) for name in path]
    assert heights == sorted(heights, reverse=True)


def test_a_task_keeps_its_column() -> None:
    """All parts of a task, from experts to output, have the same centre, in the order of the spec's tasks."""
    scene = drawing(graphs.ple(("d", "a", "c", "b"))).scene
    middles: dict[str, set[float]] = {}
    for item in scene.items:
        if item.what.startswith("node") and item.data["data-node"].endswith((".a", ".b", ".c", ".d")):
            left, _, right, _ = geometry.rect(item.shapes[0])
            middles.setdefault(item.data["data-node"][-1], set()).add(round((left + right) / 2, 2))
    assert {len(found) for found in middles.values()} == {1}
    assert sorted(middles, key=lambda task: min(middles[task])) == ["d", "a", "c", "b"]


def test_a_level_stands_above_the_one_before_even_if_it_reads_its_middle() -> None:
    """MTAN's second block reads the trunk of the first, which is below that block's masks."""
    b = graphs.Builder("trunk", ("ctr",), 2)
    trunk = b.experts(1, "u", 1, b.inputs(x=8))
    top = b.experts(1, "mask", 1, b.experts(1, "p", 1, trunk))
    b.task("ctr", b.tower("ctr", [*b.experts(2, "u", 1, trunk), *top]))
    nodes = items(parse(b.done()), "node")
    heights = [height(nodes[f"node-level{name}"]) for name in ("2.experts.u", "1.experts.mask", "1.experts.p")]
    assert heights == sorted(heights)


def test_an_input_may_read_an_input() -> None:
    """An input whose kind reads another stream is drawn above that stream."""
    b = graphs.Builder("chain", ("ctr",), 0)
    first, second = b.inputs(a=8, c=8)
    b.edges([first], second, "by")
    b.task("ctr", b.tower("ctr", [first, second]))
    nodes = items(parse(b.done()), "node")
    assert height(nodes["node-inputs.c"]) < height(nodes["node-inputs.a"])


def test_the_contract_of_blocks() -> None:
    """Every node of the graph belongs to one block, which lists the tasks that train it and its owner's name."""
    graph = graphs.ple()
    nodes = items(parse(graph), "node")
    members = [name for node in nodes.values() for name in node.get("data-members", "").split()]
    assert sorted(members) == sorted(graph)
    group = nodes["node-level1.experts.ctr"]
    assert group.get("class") == "node group"
    assert (group.get("data-owner"), group.get("data-tasks")) == ("ctr", "ctr cvr")
    parts = [part.get("data-node") for part in group.iter(f"{SVG}g") if part.get("class") == "part"]
    assert parts == ["level1.experts.ctr.0", "level1.experts.ctr.1"]
    assert "trained by all tasks" in (group.findtext(f"{SVG}title") or "")


@pytest.mark.parametrize("graph", ALL, ids=lambda g: g.name)
def test_the_contract_of_lines(graph: graphs.Graph) -> None:
    """With every selector shown, the lines are exactly the edges of the graph, each with its role and gradient."""
    drawn = set()
    for wire in items(parse(graph, selectors=True), "wire").values():
        for tail in wire.get("data-tails", "").split():
            for head in wire.get("data-heads", "").split():
                drawn.add((tail, head, wire.get("data-role"), wire.get("data-detached") == "true"))
    edges = {(tail, head, data["role"], data["detached"]) for tail, head, data in graph.edges(data=True)}
    assert edges - drawn == {edge for edge in edges if edge[2] == "case"}
    homes = {name: graphs.home(graph, name) for name in graph}
    assert {(homes[t], homes[h], role) for t, h, role, _ in drawn if h in homes} == {
        (homes[t], homes[h], role) for t, h, role, _ in edges if role != "case"
    }  # fmt: skip


def test_ids_are_unique_and_stay() -> None:
    """A block's id depends only on its name: adding an expert elsewhere changes no id."""
    few, more = parse(graphs.ple(count=2)), parse(graphs.ple(count=3))
    ids = [element.get("id") for element in few.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert items(few, "node").keys() == items(more, "node").keys()
    assert items(few, "wire").keys() == items(more, "wire").keys()


def test_those_who_cannot_see_it_are_told() -> None:
    """The root has the image role, a title and a description for screen readers."""
    root = parse(graphs.ple())
    assert root.get("role") == "img"
    told = {element.get("id"): element.text for element in root if element.tag in {f"{SVG}title", f"{SVG}desc"}}
    assert list(told) == (root.get("aria-labelledby") or "").split()
    assert told["title"] == "ple"
    assert "2 tasks (ctr, cvr)" in (told["desc"] or "")


def test_a_block_is_filled_with_a_hue_only_if_that_task_alone_trains_it() -> None:
    """In PLE's first level, ctr's experts have ctr's border but the fill of shared blocks."""
    nodes = items(parse(graphs.ple()), "node")

    def paints(name: str) -> tuple[str | None, str | None]:
        part = next(part for part in nodes[name].iter(f"{SVG}g") if part.get("class") == "part")
        path = next(part.iter(f"{SVG}path"))
        return path.get("fill"), path.get("stroke")

    first, second = paints("node-level1.experts.ctr"), paints("node-level2.experts.ctr")
    shared = paints("node-level1.experts.shared")
    assert first[0] == shared[0] != second[0]
    assert first[1] == second[1] != shared[1]


def test_the_legend_explains_what_is_there_and_nothing_else() -> None:
    """PLE has neither residual nor stopped gradient; the legend mentions them only if they occur."""
    graph = graphs.ple()
    before = " ".join(texts(parse(graph)))
    assert "steers (selector)" in before
    assert "adds a stream" not in before
    assert "no gradient" not in before
    graphs.join(graph, "level1.experts.cvr.0", "level1.gates.ctr", "sees", detached=True)
    graphs.join(graph, "level1.gates.shared", "level1.gates.ctr", "residual")
    after = " ".join(texts(parse(graph)))
    assert "adds a stream" in after
    assert "no gradient flows back" in after
    assert "steers (selector)" not in " ".join(texts(parse(graph, legend=False)))


def test_title_can_be_left_out() -> None:
    """The title can be omitted, because papers have their own captions."""
    assert "ple" in texts(parse(graphs.ple()))
    assert "ple" not in texts(parse(graphs.ple(), caption=False))


def test_colours_have_six_digits() -> None:
    """Renderers treat alpha differently, so no colour has any, and none is a colour name, in any theme."""
    for theme in ("light", "dark", "print"):
        colours = re.findall(r'(?:fill|stroke)="([^"]*)"', to_svg(graphs.meituan(), theme=theme))
        assert {colour for colour in colours if not re.fullmatch("#[0-9a-f]{6}", colour)} == {"none"}
    assert 'class="paper"' not in to_svg(graphs.ple(), theme="print")


def test_markup_is_text() -> None:
    """Quotes, line breaks, backslashes, entities and tags in titles, details and names reach the SVG only as text."""
    graph = graphs.meituan()
    for name in graph:
        graph.nodes[name].update(title=NASTY, detail="a<i>&\\")
    graph.graph |= {"name": NASTY, "about": "\x00\x1b<script>"}
    root = parse(nx.relabel_nodes(graph, {name: name.replace("flash", NASTY) for name in graph}))
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags == {"svg", "g", "title", "desc", "text", "path", "circle", "rect"}
    assert not any(key.startswith("on") for element in root.iter() for key in element.keys())  # noqa: SIM118 an element is no mapping
    assert any("<script>" in (title.text or "") for title in root.iter(f"{SVG}title"))
    assert "\\x00\\x1b<script>" in " ".join(texts(root))


def test_characters_that_pictures_lack_are_noted() -> None:
    """The font of PNG and PDF has no Chinese characters: the SVG is still drawn, and a finding lists the characters."""
    graph = graphs.ple()
    graph.graph["about"] = "多任务 мир"
    (finding,) = drawing(graph).findings
    assert finding.code == "AS606"
    assert "`多任务`" in finding.message
    assert not drawing(graphs.ple()).findings
