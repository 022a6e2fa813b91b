"""The figure as Mermaid text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import archspec
from archspec import palette
from archspec.render.mermaid import MOST_CHARACTERS, MOST_EDGES, to_mermaid
from tests.published import plugins_of
from tests.render import graphs, stress

ROOT = Path(__file__).resolve().parents[2]
SPECS = sorted((ROOT / "specs").glob("*.yaml"))


def chart(source: Path | str) -> str:
    """The chart of a spec, with the plugins that it requires."""
    return to_mermaid(archspec.build_graph(archspec.load(source, plugins=plugins_of(source))))


def arrows(text: str) -> list[tuple[str, str]]:
    """The arrows of a chart in order, each as the first title lines of its two boxes."""
    labels = dict(re.findall(r'^ *(n\d+)\W+?"(.*?)"', text, re.MULTILINE))
    return [(labels[tail], labels[head]) for tail, head in re.findall(r"^ *(n\d+) -\S+ (n\d+)$", text, re.MULTILINE)]


PLE = chart(ROOT / "specs" / "ple.yaml")


def test_boxes_are_listed_in_the_order_of_the_lanes() -> None:
    """In each row, from left to right: one task's experts, the shared ones, the other task's."""
    level = PLE.partition("subgraph level1")[2].partition("end")[0]
    assert re.findall(r'"MLP.*?<br/>(\w+)(?: experts)?"', level) == ["vtr", "shared", "vcr"]


def test_levels_are_not_filled() -> None:
    """Frames of levels have a thin outline and no fill, also on a dark page."""
    assert f"classDef level fill:none,stroke:{palette.FRAME}" in PLE
    assert "class level1,level2 level" in PLE


def test_arrows_have_the_hue_of_what_they_lead_to() -> None:
    """Every arrow is in exactly one `linkStyle`, in the colour of the task that it leads to, or grey."""
    found: dict[int, str] = {}
    for numbers, colour in re.findall(r"linkStyle ([\d,]+) stroke:(#\w{6})", PLE):
        found |= dict.fromkeys(map(int, numbers.split(",")), colour)
    drawn = arrows(PLE)
    assert sorted(found) == list(range(len(drawn)))
    hues = {palette.hue(task, ("vtr", "vcr")).line: task for task in ("vtr", "vcr", None)}
    for number, (_, head) in enumerate(drawn):
        named = re.search(r"\b(vtr|vcr|shared)\b", head)
        assert named is None or hues[found[number]] == (None if named[1] == "shared" else named[1])


def test_a_block_that_others_train_is_not_filled_with_its_hue() -> None:
    """PLE's level 1 experts of a task are trained by both tasks: grey, outlined in the task's colour."""
    (line,) = re.findall(r"classDef mixed0 (.*)", PLE)
    assert line.startswith(f"fill:{palette.GREY.fill},stroke:{palette.hue('vtr', ('vtr', 'vcr')).line}")


def test_screen_readers_get_a_title_and_a_description() -> None:
    """The title and description are the spec's name and source, without characters that are Mermaid syntax."""
    assert "  accTitle: ple\n  accDescr: Progressive Layered Extraction" in PLE
    odd = (ROOT / "specs" / "ple.yaml").read_text(encoding="utf-8").replace("about: Progressive", "about: a;b<i>#c {d}")
    (description,) = re.findall(r"accDescr: (.*)", chart(odd))
    assert not set(description) & set(";<>#{}%")


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_no_arrow_is_lost(path: Path) -> None:
    """Each box has a unique id, each arrow two boxes, and every output is reached."""
    text = chart(path)
    boxes = re.findall(r'^ *(n\d+)\W+?"', text, re.MULTILINE)
    ends = set(re.findall(r"\bn\d+\b", "\n".join(re.findall(r"^ *n\d+ -.*$", text, re.MULTILINE))))
    assert len(boxes) == len(set(boxes))
    assert ends <= set(boxes)
    assert set(re.findall(r":::(\w+)", text)) <= set(re.findall(r"classDef (\w+)", text))


@pytest.mark.parametrize(
    "text", [stress.ple(200), stress.different(200), stress.inputs(60)], ids=["alike", "not", "inputs"]
)
def test_what_mermaid_refuses_is_folded_or_said(text: str) -> None:
    """Charts have at most 500 arrows and 50,000 characters; if folding does not suffice, a comment says so."""
    found = chart(text)
    small = len(arrows(found)) <= MOST_EDGES and len(found) <= MOST_CHARACTERS
    assert small != found.startswith("%% too large")
    assert small or "weight: 1.001" in text


def test_markup_stays_text() -> None:
    """Texts of a spec cannot end a Mermaid label or insert a tag."""
    graph = graphs.mmoe()
    graph.nodes["towers.ctr"]["title"] = '"]<script>\n--> x'
    text = to_mermaid(graph)
    assert "#quot;]#lt;script#gt; --#gt; x" in text
    assert "<script>" not in text
