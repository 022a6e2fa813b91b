"""Which tasks train which node, and which weights they share last."""

from __future__ import annotations

from archspec import plugins
from archspec.graph.load import load_graph
from archspec.graph.reach import last_nodes, trained_by

HEAD = """archspec: 1
name: x
inputs:
  x: {kind: dense, dim: 3}
  scene: {kind: domain, values: [app, web], dim: 2}
tasks: {a: {}, b: {}}
"""

SWITCHED = """towers:
  a: {from: [x, scene]}
  b: {switch: scene, cases: {$domain: {from: x}}}
"""
CHOSEN = """levels:
  - experts: {app: {from: x, units: [2]}, web: {from: x, units: [2]}}
    gates: {mixed: {kind: domain, sees: all, selector: scene}}
towers:
  a: {from: [x, scene]}
  b: {from: level1.gates.mixed}
"""
EXCLUDED = CHOSEN.replace("kind: domain, sees: all, selector: scene", "sees: all, selector: x, exclude: scene")


def reached(text: str) -> dict[str, tuple[str, ...]]:
    """Which tasks' losses reach each node."""
    return load_graph(HEAD + text, None, plugins.built_in()).tasks


def test_a_switch_passes_no_gradient_to_its_domain() -> None:
    """Task b only selects by the ids of `scene`, so only task a, which reads its table, trains the table."""
    found = reached(SWITCHED)
    assert found["inputs.scene"] == ("a",)
    assert found["towers.b.cases.app"] == ("b",)
    assert found["towers.b"] == ("b",)


def test_a_gate_passes_no_gradient_to_the_domain_that_selects_or_excludes() -> None:
    """A gate uses only the ids of the domain that selects or excludes; the experts that it mixes are trained."""
    for text in (CHOSEN, EXCLUDED):
        found = reached(text)
        assert found["inputs.scene"] == ("a",)
        assert found["level1.experts.app.0"] == ("b",)


def test_a_column_that_a_fusion_multiplies_with_is_not_trained() -> None:
    """`times` reads a column unchanged: the loss of such a fusion trains its parts, but not the input."""
    head = HEAD.replace(
        "tasks: {a: {}, b: {}}", "  price: {kind: dense, dim: 1}\ntasks: {a: {}, b: {kind: regression}}"
    )
    text = """towers: {a: {from: x}}
fusion: {b: {kind: weighted_product, of: {a: 1.0}, times: {input: price}}}
"""
    graph = load_graph(head + text, None, plugins.built_in())
    assert [edge.source for edge in graph.into("fusion.b", "column")] == ["inputs.price"]
    assert graph.tasks["inputs.price"] == ()
    assert graph.tasks["towers.a"] == ("a", "b")


def test_a_domain_that_only_selects_is_behind_nothing() -> None:
    """A table that both towers read is among the last shared nodes, even if its ids select a gate further below."""
    text = """levels:
  - experts: {app: {from: x, units: [2]}, web: {from: x, units: [2]}}
    gates: {mixed: {kind: domain, sees: all, selector: scene}}
  - experts: {top: {from: level1.gates.mixed, units: [2]}}
towers:
  $task: {from: [level2.experts.top, scene]}
"""
    graph = load_graph(HEAD + text, None, plugins.built_in())
    holders = {name for name, node in graph.nodes.items() if node.category in {"input", "expert", "tower"}}
    assert last_nodes(graph, holders) == {"level2.experts.top.0", "inputs.scene"}


def test_gates_are_not_among_the_last_shared_nodes() -> None:
    """A gate that all towers read is trained by all tasks, but the experts that it mixes are the last shared nodes."""
    text = """levels:
  - experts: {bottom: {from: x, count: 2, units: [2]}}
    gates: {mixed: {sees: all, selector: x}}
towers: {$task: {from: level1.gates.mixed}}
"""
    graph = load_graph(HEAD + text, None, plugins.built_in())
    assert trained_by(graph)["level1.gates.mixed"] == ("a", "b")
    holders = {name for name, node in graph.nodes.items() if node.category in {"input", "expert", "gate", "tower"}}
    assert last_nodes(graph, holders) == {f"level1.experts.bottom.{i}" for i in range(2)}


def test_a_shared_table_is_trained_by_the_tasks_of_all_its_readers() -> None:
    """A shared table is trained by the tasks of every input that reads it, in the order of the spec."""
    inputs = "  u: {kind: sparse, vocab: 5, dim: 2}\n  v: {kind: sparse, table: u}\ntasks:"
    text = HEAD.replace("tasks:", inputs) + "towers: {a: {from: v}, b: {from: u}}\n"
    graph = load_graph(text, None, plugins.built_in())
    assert graph.tasks["inputs.u"] == ("b",)
    assert trained_by(graph)["inputs.u"] == ("a", "b")
    assert trained_by(graph)["inputs.v"] == ("a",)


def test_no_task_trains_a_frozen_table() -> None:
    """A table with `trainable: false` has no gradient, whichever input reads it, and is never a last shared node."""
    inputs = "  u: {kind: sparse, vocab: 5, dim: 2, trainable: false}\n  v: {kind: sparse, table: u}\ntasks:"
    text = HEAD.replace("tasks:", inputs) + "towers: {a: {from: [u, v]}, b: {from: [u, v]}}\n"
    graph = load_graph(text, None, plugins.built_in())
    found = trained_by(graph)
    assert (found["inputs.u"], found["inputs.v"], found["towers.a"]) == ((), (), ("a",))
    assert last_nodes(graph, {name for name, node in graph.nodes.items() if node.category == "input"}) == set()
