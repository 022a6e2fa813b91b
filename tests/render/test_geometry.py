"""Geometry of every figure: nothing overlaps, and few lines cross.

`crossings.json` contains, for each spec and two widths, the number of crossings and the size of the smallest text.
After improving the layout, `python tests/render/test_geometry.py` records the better numbers, and never a worse one.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import archspec
from archspec.render import drawing
from tests.compiler.models import NAMES, spec_of
from tests.render import geometry, graphs, stress

if TYPE_CHECKING:
    from archspec.render import Drawing

BUDGETS: Final = Path(__file__).with_name("crossings.json")
EXAMPLES: Final = {path.stem: path for path in (Path(__file__).parents[2] / "examples" / "specs").glob("*.yaml")}
WIDTHS: Final = {"page": None, "column": 8.5 / 2.54 * 72}
CASES: Final = [*NAMES, *sorted(EXAMPLES), *stress.SPECS]


@cache
def graph_of(name: str) -> graphs.Graph:
    """The graph of a spec of `specs/`, of the examples, or of the large ones."""
    if name in stress.SPECS:
        return archspec.build_graph(archspec.load(stress.SPECS[name]))
    return archspec.build_graph(archspec.load(EXAMPLES[name]) if name in EXAMPLES else spec_of(name))


@cache
def drawn(name: str, where: str) -> Drawing:
    """A spec's figure for a page or a column."""
    return drawing(graph_of(name), width=WIDTHS[where])


def measured(name: str, where: str) -> dict[str, float]:
    """The recorded numbers."""
    made = drawn(name, where)
    smallest = made.scene.smallest * min(1.0, made.across / made.scene.width)
    return {"crossings": geometry.crossings(geometry.look(made.scene)), "smallest": round(smallest, 2)}


@pytest.mark.parametrize("where", WIDTHS)
@pytest.mark.parametrize("name", CASES)
def test_nothing_lies_on_anything_else(name: str, where: str) -> None:
    """No line runs through a foreign box, a text or along another line; no texts or boxes overlap."""
    scene = drawn(name, where).scene
    seen = geometry.look(scene)
    nodes = [item.data for item in scene.items if item.what.startswith("node")]
    members = {data["data-node"]: {data["data-node"], *data["data-members"].split()} for data in nodes}
    assert not geometry.hits(seen, members)
    assert not geometry.struck(seen)
    assert not geometry.overlaps(seen)
    assert not geometry.covered(seen)
    assert not geometry.boxes_overlap(seen)
    assert not geometry.spilled(seen)


@pytest.mark.parametrize("where", WIDTHS)
@pytest.mark.parametrize("name", CASES)
def test_lines_cross_no_more_than_they_did(name: str, where: str) -> None:
    """There are no more crossings and no smaller texts than recorded; below 6.5 pt in a column there is a warning."""
    budgets = json.loads(BUDGETS.read_text(encoding="utf-8"))
    assert name in budgets, "a new spec is recorded: PYTHONPATH=. python tests/render/test_geometry.py"
    budget = budgets[name][where]
    found = measured(name, where)
    assert found["crossings"] <= budget["crossings"]
    assert found["smallest"] >= budget["smallest"]
    codes = {finding.code for finding in drawn(name, where).findings}
    assert ("AS605" in codes) == (where == "column" and found["smallest"] < 6.5)


def test_the_measure_sees_what_is_wrong() -> None:
    """A box moved onto its neighbour and a line through a text are detected."""
    scene = drawn("ple", "page").scene
    seen = geometry.look(scene)
    boxes = dict(seen.boxes)
    boxes["level1.experts.vtr"] = boxes["level1.experts.shared"]
    _, text, (left, top, right, bottom) = seen.texts[5]
    middle = (top + bottom) / 2
    worse = geometry.Seen(boxes, {**seen.lines, "new": [(left, middle, right, middle)]}, {**seen.ends, "new": set()},
                          [*seen.texts, ("", "twice", (left, top, right, bottom))])  # fmt: skip
    assert ("level1.experts.vtr", "level1.experts.shared") in geometry.boxes_overlap(worse)
    assert ("new", text) in geometry.struck(worse)
    assert (text, "twice") in geometry.covered(worse)
    left, top, right, bottom = seen.boxes["level1.experts.shared"]
    across = geometry.Seen(seen.boxes, {"new": [(left - 9, top + 9, right + 9, top + 9)]}, {"new": set()}, [])
    assert geometry.hits(across, {name: {name} for name in boxes}) == [("new", "level1.experts.shared")]
    twice = geometry.Seen({}, {"one": [(0, 0, 9, 0)], "two": [(3, 0, 12, 0)], "up": [(4, -3, 4, 3)]}, {}, [])
    assert geometry.overlaps(twice) == [("one", "two")]
    assert geometry.crossings(twice) == 2


def record() -> None:
    """Records every case; of the old and the new value of each number, the better one is kept."""
    old = json.loads(BUDGETS.read_text(encoding="utf-8")) if BUDGETS.exists() else {}
    new: dict[str, dict[str, dict[str, float]]] = {}
    for name in CASES:
        new[name] = {}
        for where in WIDTHS:
            found, budget = measured(name, where), old.get(name, {}).get(where)
            if budget is not None:
                found = {"crossings": min(found["crossings"], budget["crossings"]),
                         "smallest": max(found["smallest"], budget["smallest"])}  # fmt: skip
            new[name][where] = found
    BUDGETS.write_text(json.dumps(new, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record()
