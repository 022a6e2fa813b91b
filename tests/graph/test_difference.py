"""Differences between specs."""

from __future__ import annotations

from pathlib import Path

import pytest

from archspec.graph.difference import Change, Difference, Place, difference
from archspec.graph.load import load_graph
from archspec.plugins import load
from tests.published import plugins_of

ROOT = Path(__file__).resolve().parents[2]
SPECS = sorted((ROOT / "specs").glob("*.yaml"))

TEXT = """\
archspec: 1
name: two
inputs:
  a: {kind: dense, dim: 4}
  b: {kind: dense, dim: 2}
tasks:
  t: {}
levels:
  - experts:
      e: {count: 2, units: [3]}
    gates:
      t: {sees: e}
towers:
  t: {}
"""
E = Place("experts", "e", 1)
PLE = (ROOT / "specs" / "ple.yaml").read_text(encoding="utf-8")


def differences(old: str, new: str) -> Difference:
    """The differences between two specs."""
    return difference(load_graph(old, None, load()), load_graph(new, None, load()))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_spec_equals_its_canonical_form(path: Path) -> None:
    """Writing out defaults, variables and repeats is not a difference."""
    registry = load(plugins_of(path))
    graph = load_graph(path, None, registry)
    found = difference(graph, load_graph(graph.spec.text(), None, registry))
    assert (found.changes, found.renamed) == ((), {})


def test_comments_and_idle_order_do_not_count() -> None:
    """Comments, notes, and the order of keys where it has no meaning are not differences."""
    other = TEXT.replace("{count: 2, units: [3]}", "{units: [3], x-why: a test, count: 2}  # two")
    assert differences(TEXT, other).changes == ()


def test_a_setting() -> None:
    """A changed setting is reported at its block, with both values."""
    assert differences(TEXT, TEXT.replace("units: [3]", "units: [3], activation: tanh")).changes == (
        Change("changed", E, "activation", "relu", "tanh"),
    )


def test_settings_come_and_go() -> None:
    """A key that only one spec has is reported with its value, also inside a setting and at the top level."""
    more = TEXT.replace("t: {}\nlevels", "t: {when: seen}\nlevels")
    assert differences(TEXT, more).changes == (Change("added", Place("tasks", "t"), "when", new="seen"),)
    assert differences(more, TEXT).changes == (Change("removed", Place("tasks", "t"), "when", old="seen"),)
    slow, fast = (f"{TEXT}balance: {{kind: gradnorm, alpha: {alpha}}}\n" for alpha in (1.0, 2.0))
    assert differences(slow, fast).changes == (Change("changed", Place(), "balance.alpha", 1.0, 2.0),)
    assert [change.setting for change in differences(TEXT, f"{TEXT}about: a test\n").changes] == ["about"]


def test_a_level_more() -> None:
    """A level that only one spec has is one change, and each of its blocks is another."""
    more = TEXT.replace("  - experts", "  - repeat: 2\n    experts").replace("e: {c", "t: {c").replace("es: e", "es: t")
    places = [str(change.place) for change in differences(TEXT, more).changes if not change.setting]
    assert {"level2", "level2.experts.t", "level2.gates.t"} <= set(places)


def test_the_order_of_inputs_counts() -> None:
    """Inputs are concatenated in their order, so a different order is a different network."""
    lines = TEXT.splitlines(keepends=True)
    other = "".join([*lines[:3], lines[4], lines[3], *lines[5:]])
    assert differences(TEXT, other).changes == (
        Change("changed", Place(), "order of the inputs", ["a", "b"], ["b", "a"]),
    )


def test_the_cases_of_a_switch_are_blocks() -> None:
    """A case that is added to a switch is reported as a block with its own place."""
    text = SWITCH.format(values="[home, search]", cases="{home: {units: [2]}, search: {units: [2]}}")
    more = SWITCH.format(values="[home, search, feed]", cases="{home: {units: [2]}, search: {}, feed: {units: [2]}}")
    found = {(change.how, str(change.place), change.setting) for change in differences(text, more).changes}
    assert found == {
        ("changed", "inputs.scene", "values"),
        ("changed", "towers.t.cases.search", "units"),
        ("added", "towers.t.cases.feed", ""),
    }


SWITCH = """\
archspec: 1
name: switch
inputs:
  x: {{kind: dense, dim: 4}}
  scene: {{kind: domain, values: {values}, dim: 2}}
tasks: {{t: {{}}}}
towers:
  t: {{switch: scene, cases: {cases}}}
"""


def test_a_renamed_block_is_no_change() -> None:
    """A block with equal settings and a new name in all places is renamed; its label column is a change."""
    found = differences(PLE, PLE.replace("vtr", "click"))
    assert found.renamed == {"vtr": "click"}
    assert found.changes == (Change("changed", Place("tasks", "click"), "label", "vtr", "click"),)


def test_a_name_that_is_a_kind_too_is_replaced_as_a_name_only() -> None:
    """If a group called `mlp` is renamed, references to it get the new name, but the kind `mlp` stays."""
    text = TEXT.replace("e: {", "mlp: {").replace("sees: e", "sees: mlp")
    found = differences(text, text.replace("mlp: {", "wide: {").replace("sees: mlp", "sees: wide"))
    assert (found.renamed, found.changes) == ({"mlp": "wide"}, ())


@pytest.mark.parametrize(
    "new",
    [
        PLE.replace("vtr:", "click:").replace("  vcr: {kind", "  vcr: {weight: 0.5, kind").replace("vtr", "click"),
        PLE.replace("vtr", "share").replace("share: {kind: binary}", "share: {kind: regression, weight: 2.0}"),
    ],
)
def test_every_difference_is_a_change_or_a_name(new: str) -> None:
    """A spec that differs has changes besides its renamed blocks, and the reverse comparison has as many of both."""
    there, back = differences(PLE, new), differences(new, PLE)
    assert there.changes
    assert len(there.renamed) == len(back.renamed)
    assert len(there.changes) == len(back.changes)
