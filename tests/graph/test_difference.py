"""Differences between specs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from archspec.graph.difference import Change, difference
from archspec.graph.load import load_graph
from archspec.plugins import load

if TYPE_CHECKING:
    from archspec.contract import Registry

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


def registry_of(path: Path) -> Registry:
    """The kinds that a spec of the repository needs."""
    names = yaml.safe_load(path.read_text(encoding="utf-8")).get("requires", [])
    return load(ROOT / "plugins" / f"{name}.py" for name in names)


def differences(old: str, new: str) -> list[str]:
    """The differences between two specs in words."""
    return [str(change) for change in difference(load_graph(old, None, load()), load_graph(new, None, load()))]


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_spec_equals_its_canonical_form(path: Path) -> None:
    """Writing out defaults, variables and repeats is no difference."""
    registry = registry_of(path)
    graph = load_graph(path, None, registry)
    assert difference(graph, load_graph(graph.spec.text(), None, registry)) == ()


def test_comments_and_idle_order_do_not_count() -> None:
    """Notes of the writer, and the order of keys where it means nothing, are no difference."""
    other = TEXT.replace("{count: 2, units: [3]}", "{units: [3], x-why: a test, count: 2}  # two")
    assert differences(TEXT, other) == []


def test_a_setting() -> None:
    """A setting is told by its path; levels count from 1."""
    assert differences(TEXT, TEXT.replace("units: [3]", "units: [3], activation: tanh")) == [
        'changed levels.1.experts.e.activation: "relu" -> "tanh"'
    ]


def test_nodes_come_and_go() -> None:
    """An expert more is a changed key and a node; the other way round it is gone."""
    more = TEXT.replace("count: 2", "count: 3")
    assert differences(TEXT, more) == ["changed levels.1.experts.e.count: 2 -> 3", "added   node level1.experts.e.2"]
    assert differences(more, TEXT) == ["changed levels.1.experts.e.count: 3 -> 2", "removed node level1.experts.e.2"]


def test_keys_come_and_go() -> None:
    """A key without a counterpart is told with its value."""
    more = TEXT.replace("t: {}\nlevels", "t: {when: seen}\nlevels")
    assert differences(TEXT, more) == ['added   tasks.t.when: "seen"']
    assert differences(more, TEXT) == ['removed tasks.t.when: "seen"']


def test_a_level_more() -> None:
    """A level without a counterpart is one difference, and its nodes are others."""
    changes = differences(
        TEXT,
        TEXT.replace("  - experts", "  - repeat: 2\n    experts")
        .replace("e: {c", "t: {c")
        .replace("sees: e", "sees: t"),
    )
    assert any(change.startswith("added   levels.2: ") for change in changes)
    assert "added   node level2.gates.t" in changes


def test_widths_follow() -> None:
    """A node whose width changed through something else is told."""
    changes = differences(TEXT, TEXT.replace("[3]", "[5]"))
    assert changes[0] == "changed levels.1.experts.e.units: [3] -> [5]"
    assert "changed width of level1.gates.t: 3 -> 5" in changes


def test_the_order_of_inputs_counts() -> None:
    """Inputs stand side by side in their order: the same ones in another order are another network."""
    lines = TEXT.splitlines(keepends=True)
    other = "".join([*lines[:3], lines[4], lines[3], *lines[5:]])
    assert differences(TEXT, other) == ['changed order of inputs: ["a", "b"] -> ["b", "a"]']


def test_a_change_holds_both_values() -> None:
    """A difference is data, too."""
    graphs = [load_graph(text, None, load()) for text in (TEXT, TEXT.replace("name: two", "name: three"))]
    assert difference(graphs[0], graphs[1]) == (Change("key", "changed", "name", "two", "three"),)
