"""DOT text, and how Graphviz renders it."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from pathlib import Path
from xml.etree import ElementTree as ET  # what is parsed here was written by the test

import pytest

from archspec.render import to_dot
from tests.render import graphs

SVG = "{http://www.w3.org/2000/svg}"
NASTY = '<b>a&"\\N\n]]></title><script>alert(1)</script> &#0; &lt;'
SHOWN = '<b>a&"\\N ]]></title><script>alert(1)</script> &…'
ALL = [graphs.ple(), graphs.mmoe(), graphs.esmm(), graphs.meituan(), graphs.ple(tuple(f"t{i}" for i in range(16)))]


def parse(graph: graphs.Graph, **options: bool) -> ET.Element:
    """The elements that Graphviz draws for a graph."""
    program = Path(sysconfig.get_path("scripts"), "graphviz-pure")
    done = subprocess.run([program, "-Tsvg"], input=to_dot(graph, **options).encode(), capture_output=True, check=True)
    return ET.fromstring(done.stdout)  # noqa: S314 written by the test


def texts(root: ET.Element) -> list[str]:
    """All words in a figure."""
    return [" ".join((text.text or "").split()) for text in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("graph", ALL, ids=lambda g: f"{g.name}-{len(g.graph['tasks'])}")
def test_the_same_graph_gives_the_same_bytes(graph: graphs.Graph) -> None:
    """Equal graphs produce identical DOT text."""
    assert to_dot(graph) == to_dot(graph.copy())


def test_colours_have_six_digits() -> None:
    """Renderers treat alpha differently, so no colour has any, and none is a colour name."""
    colours = re.findall(r'(?:color|fillcolor|bgcolor|fontcolor)="([^"]*)"', "".join(map(to_dot, ALL)))
    assert colours
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours)


def test_ple_shows_levels_experts_gates_and_outputs() -> None:
    """Graphviz shows every part of PLE."""
    words = texts(parse(graphs.ple()))
    assert words.count("MLP") == 12
    assert words.count("softmax") == 5
    assert {"Level 1", "Level 2", "shared experts", "ctr tower", "64, 32, 1", "p(ctr)", "p(cvr)"} <= set(words)


def test_a_penalty_is_drawn_quietly() -> None:
    """A part that only adds to the loss has a dashed outline and dashed arrows."""
    graph = graphs.meituan()
    graph.nodes["fusion.rank"]["penalty"] = True
    lines = to_dot(graph).splitlines()
    (node,) = [line for line in lines if line.lstrip().startswith('"fusion.rank" [')]
    arrows = [line for line in lines if '-> "fusion.rank"' in line]
    assert 'style="filled,dashed"' in node
    assert len(arrows) == 2
    assert all('style="dashed"' in arrow for arrow in arrows)


def test_the_caption_can_be_left_out() -> None:
    """The caption can be omitted, because papers have their own."""
    assert "ple" in texts(parse(graphs.ple()))
    assert "ple" not in texts(parse(graphs.ple(), caption=False))


def test_markup_in_labels_is_text() -> None:
    """Quotes, line breaks, backslashes, entities and tags in a spec's texts reach Graphviz only as text."""
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


def test_markup_in_names_is_text() -> None:
    """Markup in names of nodes and domain values, which become DOT identifiers, is only text as well."""
    import networkx as nx

    graph = graphs.meituan()
    for _, node in graph.nodes(data=True):
        node["case"] = node["case"] and NASTY
        node["group"] = node["group"] and node["group"] + NASTY
    root = parse(nx.relabel_nodes(graph, {name: name.replace("flash", NASTY) for name in graph}))
    assert not list(root.iter(f"{SVG}script"))
    assert any("<script>" in (title.text or "") for title in root.iter(f"{SVG}title"))


def test_a_detached_edge_looks_detached() -> None:
    """An edge without a gradient is dotted, with a bar at the tail."""
    graph = graphs.ple()
    for index in range(2):
        graphs.join(graph, f"level1.experts.cvr.{index}", "level1.gates.ctr", "sees", detached=True)
    (line,) = [line for line in to_dot(graph).splitlines() if '"level1.experts.cvr" -> "level1.gates.ctr"' in line]
    assert 'style="dotted"' in line
    assert 'arrowtail="tee"' in line
