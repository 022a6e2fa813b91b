"""From a Spec to nodes and edges."""

from __future__ import annotations

import sys

import pytest

from archspec import plugins
from archspec.diagnostics import SpecError
from archspec.graph.load import load, load_graph

HEAD = """archspec: 1
name: x
inputs: {x: {kind: dense, dim: 8}, y: {kind: dense, dim: 4}}
tasks: {ctr: {kind: binary}, cvr: {kind: binary}}
"""
PLE = (
    HEAD
    + """levels:
  - repeat: 2
    experts:
      $task: {count: 2, units: [6, 4]}
      shared: {units: [4]}
    gates:
      $task: {sees: [$task, shared]}
      shared: {sees: all}
towers: {$task: {units: [3]}}
"""
)


def code(text: str) -> str:
    """The code of the only error."""
    with pytest.raises(SpecError) as caught:
        load(text)
    (item,) = caught.value.diagnostics
    return item.code


def test_widths_order_and_tasks() -> None:
    """Every node has its width and the tasks that train it; nodes are in topological order, without unread ones."""
    graph = load_graph(PLE, None, plugins.built_in())
    place = {name: index for index, name in enumerate(graph.order)}
    assert all(place[edge.source] < place[edge.target] for edge in graph.edges)
    assert graph.widths["level1.experts.ctr.0"] == 4
    assert graph.widths["towers.ctr"] == 3
    assert graph.tasks["level2.experts.ctr.1"] == ("ctr",)
    assert graph.tasks["level1.experts.ctr.1"] == ("ctr", "cvr")
    assert "level2.gates.shared" not in graph.nodes


def test_detach_stops_the_reach() -> None:
    """A gate sees a detached expert, but the gate's task does not train it."""
    text = PLE.replace("repeat: 2", "repeat: 1").replace("      shared: {sees: all}\n", "")
    graph = load_graph(text.replace("$task: {sees: [$task, shared]}",
                                    "ctr: {sees: [ctr, {detach: shared}]}\n      cvr: {sees: [cvr, shared]}"),
                       None, plugins.built_in())  # fmt: skip
    assert graph.tasks["level1.experts.shared.0"] == ("cvr",)
    assert [edge.detached for edge in graph.into("level1.gates.ctr", "sees")] == [False, False, True]


@pytest.mark.parametrize(
    ("sees", "detached"),
    [
        ("[ctr, {detach: [cvr, shared]}]", "cvr cvr shared"),
        ("{detach: [cvr, shared]}", "cvr cvr shared"),
        ("[{detach: [[cvr], {except: [ctr, cvr]}]}, ctr]", "cvr cvr shared"),
        ("[{detach: {detach: shared}}, cvr]", "shared"),
        ("{detach: all}", "ctr ctr cvr cvr shared"),
        ("[[ctr, [shared]], cvr.1]", ""),
    ],
)
def test_detach_reaches_everything_below_it(sees: str, detached: str) -> None:
    """`detach` applies to every name in a list, a nested list or a form of several groups, and to no others."""
    text = PLE.replace("repeat: 2", "repeat: 1").replace("      shared: {sees: all}\n", "")
    text = text.replace("$task: {sees: [$task, shared]}", f"ctr: {{sees: {sees}}}\n      cvr: {{sees: all}}")
    graph = load_graph(text, None, plugins.built_in())
    seen = graph.seen["level1.gates.ctr"]
    assert " ".join(expert.group for expert in seen if expert.detached) == detached
    assert [edge.detached for edge in graph.into("level1.gates.ctr", "sees")] == [expert.detached for expert in seen]
    trained = {expert.group for expert in seen if "ctr" in graph.tasks[expert.node]}
    assert trained.isdisjoint(detached.split())


def test_sees_keeps_its_order() -> None:
    """The order of `sees` is the order of the gate's weights; `except` and `all` use the order of the file."""
    for sees, groups in (
        ("[shared, ctr.1]", "shared ctr"),
        ("{except: ctr}", "cvr cvr shared"),
        ("all", "ctr ctr cvr cvr shared"),
    ):
        graph = load_graph(PLE.replace("sees: [$task, shared]", f"sees: {sees}"), None, plugins.built_in())
        assert " ".join(expert.group for expert in graph.seen["level1.gates.ctr"]) == groups


@pytest.mark.parametrize(
    ("towers", "expected"),
    [
        ("{ctr: {from: z}, cvr: {}}", "AS201"),
        ("{ctr: {from: {sum: [x, y]}}, cvr: {}}", "AS209"),
        ("{ctr: {from: towers.cvr}, cvr: {from: towers.ctr}}", "AS208"),
        ("{ctr: {}}", "AS207"),
        ("{ctr: {}, cvr: {from: level1.gates.cvr}}", "AS201"),
    ],
)
def test_references_of_towers(towers: str, expected: str) -> None:
    """Unknown names, incompatible widths, cycles and missing outputs are errors."""
    assert code(f"{HEAD}towers: {towers}") == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("sees: all", "sees: [ctr, ctr]", "AS205"),
        ("sees: all", "sees: {except: [ctr, cvr, shared]}", "AS206"),
        ("shared: {units: [4]}", "shared: {units: [5]}", "AS209"),
        ("sees: all", "sees: all, residual: nothing", "AS211"),
        ("sees: all", "sees: all, kind: topk, k: 9", "AS210"),
        ("y: {kind", "shared: {kind", "AS202"),
    ],
)
def test_mistakes_of_levels(old: str, new: str, expected: str) -> None:
    """A mistake in a level is reported once for all copies of the level."""
    with pytest.raises(SpecError) as caught:
        load(PLE.replace(old, new))
    assert expected in {item.code for item in caught.value.diagnostics}
    assert len({(item.code, item.span) for item in caught.value.diagnostics}) == len(caught.value.diagnostics)


def test_four_times_the_tasks_are_four_times_the_work() -> None:
    """The work of checking grows linearly with the number of tasks, measured in function calls, which do not vary."""

    def calls(count: int) -> int:
        tasks = ", ".join(f"t{i}: {{kind: binary}}" for i in range(count))
        text = PLE.replace("ctr: {kind: binary}, cvr: {kind: binary}", tasks)
        counted = 0

        def count_call(_frame: object, event: str, _argument: object) -> None:
            nonlocal counted
            counted += event in {"call", "c_call"}

        sys.setprofile(count_call)
        try:
            load(text)
        finally:
            sys.setprofile(None)
        return counted

    load(PLE)
    assert calls(400) < 4.4 * calls(100)
