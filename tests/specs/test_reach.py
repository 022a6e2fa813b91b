"""Which task's loss trains which part: the graph derives it from reachability, and autograd agrees exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import archspec
from tests.compiler.models import BOTH, HEAD, NAMES, batch_of, gradients, model_of, spec_of, total

if TYPE_CHECKING:
    from archspec.nn.module import Compiled

DETACHED = {
    "sees": """
inputs: {x: {kind: dense, dim: 6}}
tasks: {a: {kind: binary}, b: {kind: regression}}
levels:
  - experts: {$task: {count: 2, units: [4]}}
    gates: {a: {sees: [a, {detach: b}]}, b: {sees: [b]}}
towers: {$task: {}}
""",
    "from": """
inputs: {x: {kind: dense, dim: 6}}
tasks: {a: {kind: binary}, b: {kind: regression}}
levels:
  - experts: {low: {units: [4]}}
  - experts: {a: {from: {detach: level1.experts.low}, units: [4]}, b: {from: level1.experts.low, units: [4]}}
towers: {$task: {from: level2.experts.$task}}
""",
    "selector": """
inputs: {x: {kind: dense, dim: 6}}
tasks: {a: {kind: binary}, b: {kind: regression}}
levels:
  - experts: {low: {units: [4]}, high: {units: [4]}}
  - experts: {$task: {from: level1.experts.high, units: [4]}}
    gates: {a: {sees: [a, b], selector: {detach: level1.experts.low}}, b: {sees: [a, b], selector: level1.experts.low}}
towers: {$task: {}}
""",
    "tower": """
inputs: {x: {kind: dense, dim: 6}}
tasks: {a: {kind: binary}, b: {kind: regression}, c: {kind: binary}}
levels: [{experts: {$task: {units: [4]}}}]
towers:
  a: {from: level1.experts.a, units: [3]}
  b: {from: [level1.experts.b, {detach: towers.a}], units: [3]}
  c: {from: [level1.experts.c, towers.b]}
""",
    "sum": """
inputs: {x: {kind: dense, dim: 6}}
tasks: {a: {kind: binary}, b: {kind: binary}}
levels: [{experts: {$task: {units: [4]}, shared: {units: [4]}}}]
towers:
  a: {from: {sum: [level1.experts.a, {detach: {sum: [level1.experts.shared, level1.experts.b]}}]}}
  b: {from: {sum: [level1.experts.b, level1.experts.shared]}}
""",
}
SOURCES = {name: spec_of(name) for name in NAMES} | {
    f"detach in {place}": archspec.load(HEAD + text) for place, text in DETACHED.items()
}


def trained(model: Compiled, spec: archspec.Spec, task: str) -> set[str]:
    """Canonical names of the weights whose gradient from the task's output is not exactly zero."""
    outputs = model(batch_of(spec, 64, seed=2))
    found = gradients(model, total({task: outputs[task]}))
    return {name for name, gradient in found.items() if gradient.any()}


@pytest.mark.parametrize("name", sorted(SOURCES))
@BOTH
def test_gradients_reach_what_the_graph_says(*, name: str, optimize: bool) -> None:
    """Each expert, gate and tower has a gradient from a task if the graph shows the task there, else exactly none.

    Towers that only a loss reads are skipped, because the task's output does not depend on them.
    """
    spec = SOURCES[name]
    graph = archspec.build_graph(spec)
    model = model_of(spec, optimize=optimize).eval()  # no gate is sampled
    by_loss = {node for node in graph if {data["role"] for _, _, data in graph.out_edges(node, data=True)} == {"loss"}}
    nodes = {node for node in graph if graph.nodes[node]["category"] in {"expert", "gate", "tower"}} - by_loss
    for task in spec.tasks:
        names = trained(model, spec, task)
        found = {node for node in nodes if any(weight.startswith(f"{node}.") for weight in names)}
        assert found == {node for node in nodes if task in graph.nodes[node]["tasks"] and has_weights(model, node)}


def has_weights(model: Compiled, node: str) -> bool:
    """Whether a node has weights of its own."""
    return any(weight.startswith(f"{node}.") for weight, _ in model.named_weights())


@BOTH
def test_a_task_does_not_train_the_experts_of_another_in_cgc(*, optimize: bool) -> None:
    """In CGC a task's loss gives the other's experts exactly zero gradient; in PLE, from level 1 up, it does not."""
    for name, expected in (("cgc", set()), ("ple", {"level1.experts.vcr.0", "level1.experts.vcr.1"})):
        names = trained(model_of(SOURCES[name], optimize=optimize), SOURCES[name], "vtr")
        assert {weight.partition(".layers")[0] for weight in names if ".experts.vcr." in weight} == expected
