"""The figure as a tree of lines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import archspec
from archspec.render.text import to_text
from tests.published import plugins_of
from tests.render import graphs, stress

ROOT = Path(__file__).resolve().parents[2]
SPECS = sorted((ROOT / "specs").glob("*.yaml"))


def tree(source: Path | str) -> list[str]:
    """The lines of a spec's tree, with the plugins that it requires."""
    return to_text(archspec.build_graph(archspec.load(source, plugins=plugins_of(source)))).splitlines()


def test_it_names_what_each_thing_reads() -> None:
    """The tree shows the routing: first the data, then the selector in brackets."""
    lines = to_text(graphs.ple()).splitlines()
    assert "│  ├─ gate ctr  softmax  ← experts ctr, experts shared, (inputs)" in lines
    assert "   └─ cvr  binary  ← tower cvr" in lines


def test_inputs_that_share_a_box_have_a_line_each() -> None:
    """The box shows their number and total width; the kind and size of each input follow below."""
    lines = tree(ROOT / "specs" / "ple.yaml")
    assert lines[1:5] == [
        "├─ inputs",
        "│  └─ 4 inputs  56",
        "│     ├─ user: sparse 2000×16",
        "│     ├─ video: sparse 1000×16",
    ]


@pytest.mark.parametrize(
    "source", [*SPECS, *stress.SPECS.values()], ids=[*(path.stem for path in SPECS), *stress.SPECS]
)
def test_it_fits_80_columns(source: Path | str) -> None:
    """No line is longer than 80 columns, whatever the spec; names are broken only after an underscore."""
    lines = tree(source)
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line != line.rstrip()] == []


def test_no_name_is_lost_in_wrapping() -> None:
    """Wrapped text continues in the next line, inside the tree."""
    text = re.sub(r"\s+", "", re.sub("[│├└─]", "", "".join(tree(stress.long_names()))))
    assert text.count(f"tower{stress.LONG[:39]}0") == 2


@pytest.mark.parametrize(("task", "words"), [("multiclass", "5 classes"), ("ordinal", "ordinal, 5 classes")])
def test_ordered_classes_are_told_from_others(task: str, words: str) -> None:
    """An ordinal task is not labelled like a multiclass one: it has one prediction, not one for each class."""
    lines = tree(
        "archspec: 1\nname: m\ninputs: {x: {kind: dense, dim: 4}}\n"
        f"tasks: {{y: {{kind: {task}, classes: 5}}}}\ntowers: {{y: {{from: x}}}}\n"
    )
    assert any(line.endswith(f"y  {words}  ← tower y") for line in lines)
