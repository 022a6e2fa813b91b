"""DOT text, and what a renderer makes of it."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET  # what is parsed here was written by the test

import pytest

from archspec.render import draw, to_dot
from archspec.render.fold import fold
from tests.render import graphs

SVG = "{http://www.w3.org/2000/svg}"
NASTY = '<b>a&"\\N\n]]></title><script>alert(1)</script> &#0; &lt;'
SHOWN = '<b>a&"\\N ]]></title><script>alert(1)</script> &…'
ALL = [graphs.ple(), graphs.mmoe(), graphs.esmm(), graphs.meituan(), graphs.ple(tuple(f"t{i}" for i in range(16)))]


def parse(graph: graphs.Graph, **options: bool) -> ET.Element:
    """The SVG of a graph."""
    return ET.fromstring(draw(to_dot(graph, **options), "svg"))  # noqa: S314 written by the test


def texts(root: ET.Element) -> list[str]:
    """All words of a figure."""
    return [" ".join((text.text or "").split()) for text in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("graph", ALL, ids=lambda g: f"{g.name}-{len(g.graph['tasks'])}")
def test_the_same_graph_gives_the_same_bytes(graph: graphs.Graph) -> None:
    """Drawing twice gives equal DOT and equal SVG."""
    assert to_dot(graph) == to_dot(graph.copy())
    assert draw(to_dot(graph), "svg") == draw(to_dot(graph), "svg")


def test_colours_have_six_digits() -> None:
    """Renderers differ in what they make of alpha, so no colour has any, and none is a name."""
    colours = re.findall(r'(?:color|fillcolor|bgcolor|fontcolor)="([^"]*)"', "".join(map(to_dot, ALL)))
    assert colours
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours)


def test_ple_shows_levels_experts_gates_and_outputs() -> None:
    """The figure of PLE holds what the reference figure holds."""
    words = texts(parse(graphs.ple()))
    assert words.count("MLP") == 12
    assert words.count("gate") == 5
    assert {"Level 1", "Level 2", "shared experts", "ctr tower", "64, 32, 1", "p(ctr)", "p(cvr)"} <= set(words)
    assert "user, item, ctx : 320" in words


def test_flow_is_upwards() -> None:
    """Inputs lie below experts, experts below their gate, the gate below its tower, the tower below the output."""
    root = parse(graphs.ple())
    heights = {}
    for node in root.iter(f"{SVG}g"):
        if node.get("class") == "node":
            heights[node.findtext(f"{SVG}title")] = max(float(t.get("y", "nan")) for t in node.iter(f"{SVG}text"))
    path = ["inputs.user", "level1.experts.ctr", "level1.gates.ctr", "level2.experts.ctr", "towers.ctr", "tasks.ctr"]
    assert sorted(path, key=lambda name: -heights[name]) == path


def test_rows_keep_the_order_of_the_figure() -> None:
    """The renderer mixes neither tasks nor domains: groups, gates and outputs stand as `Figure.rows` lists them."""
    graph = graphs.ple(("d", "a", "c", "b"))
    places = {}
    for node in parse(graph).iter(f"{SVG}g"):
        if node.get("class") == "node" and (text := next(node.iter(f"{SVG}text"), None)) is not None:
            places[node.findtext(f"{SVG}title")] = float(text.get("x", "nan"))
    figure = fold(graph)
    for row in (*figure.rows(1), *figure.rows(2), *figure.towers()):
        assert [block.name for block in row] == sorted((b.name for b in row), key=places.__getitem__)
    assert sorted(figure.tasks, key=lambda task: places[f"tasks.{task}"]) == ["d", "a", "c", "b"]


def test_a_level_stands_above_the_one_before_even_if_it_reads_its_middle() -> None:
    """MTAN's second block reads the trunk of the first, below that block's masks."""
    b = graphs.Builder("trunk", ("ctr",), 2)
    trunk = b.experts(1, "u", 1, b.inputs(x=8))
    top = b.experts(1, "mask", 1, b.experts(1, "p", 1, trunk))
    b.task("ctr", b.tower("ctr", [*b.experts(2, "u", 1, trunk), *top]))
    dot = to_dot(b.done())
    heights = {
        node.findtext(f"{SVG}title"): float(next(node.iter(f"{SVG}text")).get("y", "nan"))
        for node in ET.fromstring(draw(dot, "svg")).iter(f"{SVG}g")  # noqa: S314 written by the test
        if node.get("class") == "node"
    }
    assert heights["level2.experts.u"] < heights["level1.experts.mask"] < heights["level1.experts.p"]


def test_a_penalty_is_drawn_quietly() -> None:
    """What only adds to the loss has a dashed outline and dashed arrows."""
    graph = graphs.meituan()
    graph.nodes["fusion.rank"]["penalty"] = True
    lines = to_dot(graph).splitlines()
    (node,) = [line for line in lines if line.lstrip().startswith('"fusion.rank" [')]
    arrows = [line for line in lines if '-> "fusion.rank"' in line]
    assert 'style="filled,dashed"' in node
    assert len(arrows) == 2
    assert all('style="dashed"' in arrow for arrow in arrows)


def test_words_fit_their_boxes() -> None:
    """No line of text is wider than the box it stands in, measured with the widths of Helvetica's average letter."""
    for node in parse(graphs.ple()).iter(f"{SVG}g"):
        if node.get("class") != "node":
            continue
        points = [float(x) for path in node.iter(f"{SVG}path") for x in re.findall(r"(-?[\d.]+),", path.get("d", ""))]
        for text in node.iter(f"{SVG}text"):
            width = 0.5 * float(text.get("font-size", "0")) * len(text.text or "")
            assert not points or width < max(points) - min(points), text.text


def test_title_can_be_left_out() -> None:
    """Papers have captions of their own."""
    assert "ple" in texts(parse(graphs.ple()))
    assert "ple" not in texts(parse(graphs.ple(), title=False))


def test_markup_in_labels_is_text() -> None:
    """Quotes, line breaks, backslashes, entities and tags in a spec's words reach the SVG as words only."""
    graph = graphs.meituan()
    for name in graph:
        graph.nodes[name].update(title=NASTY, detail="a<i>&\\")
    graph.graph |= {"name": NASTY, "about": "\x00\x1b<script>"}
    root = parse(graph)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        "svg", "g", "title", "text", "path", "polygon", "ellipse", "polyline",
    }  # fmt: skip
    words = set(texts(root))
    assert {SHOWN, "a<i>&\\"} <= words
    assert "\\x00\\x1b<script>" in words


def test_markup_in_what_steers_a_gate_is_text() -> None:
    """The words in a gate's box are names of a spec."""
    graph = graphs.ple()
    graph.add_edge("level1.gates.cvr", "level2.gates.ctr", roles=("selector",), detached=False)
    graph.nodes["level2.gates.ctr"]["steered"] = (NASTY,)
    root = parse(graph)
    assert SHOWN in texts(root)
    assert not list(root.iter(f"{SVG}script"))


def test_markup_in_names_is_text() -> None:
    """The same for the names of nodes and domain values, which become DOT identifiers and SVG titles."""
    import networkx as nx

    graph = graphs.meituan()
    for name, node in graph.nodes(data=True):
        node["case"] = node["case"] and NASTY
        node["group"] = node["group"] and node["group"] + NASTY
        assert name
    root = parse(nx.relabel_nodes(graph, {name: name.replace("flash", NASTY) for name in graph}))
    assert not list(root.iter(f"{SVG}script"))
    assert any("<script>" in (title.text or "") for title in root.iter(f"{SVG}title"))


def test_a_wide_model_is_drawn_in_time() -> None:
    """A hundred tasks are drawn, each with its output."""
    graph = graphs.mmoe(tuple(f"t{i}" for i in range(100)), 41)
    words = texts(parse(graph))
    assert "MLP × 41" in words
    assert sum(word.startswith("p(t") for word in words) == 100


def test_a_detached_edge_looks_detached() -> None:
    """No gradient passes: dotted, with a bar at the tail."""
    graph = graphs.ple()
    for index in range(2):
        graph.add_edge(f"level1.experts.cvr.{index}", "level1.gates.ctr", roles=("sees",), detached=True)
    (line,) = [line for line in to_dot(graph).splitlines() if '"level1.experts.cvr" -> "level1.gates.ctr"' in line]
    assert 'style="dotted"' in line
    assert 'arrowtail="tee"' in line
