"""Parameters and FLOPs, counted without importing torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import archspec
from archspec.compiler.count import Cost, count
from archspec.contract import ExpertKind, expert
from archspec.graph.load import load_graph
from archspec.plugins import load
from tests.published import plugins_of

ROOT = Path(__file__).resolve().parents[2]
SPECS = sorted((ROOT / "specs").glob("*.yaml"))


def counted(text: str, *plugins: Any) -> dict[str, Cost]:  # noqa: ANN401 - plugins of all forms
    """The costs of a spec by node."""
    return count(load_graph(text, None, load(plugins))).nodes


def spec(**sections: str) -> str:
    """A spec of one input of width 4 and one task, with other sections."""
    base = {"inputs": "{x: {kind: dense, dim: 4}}", "tasks": "{t: {}}", "towers": "{t: {}}"}
    lines = [f"{key}: {value}" for key, value in (base | sections).items()]
    return "\n".join(["archspec: 1", "name: small", *lines])


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_parameters_are_those_that_torch_counts(path: Path) -> None:
    """For every spec, the parameters in total and of each node are as many as in the plain module."""
    graph = load_graph(path, None, load(plugins_of(path)))
    costs = count(graph)
    model = archspec.compile(graph.spec, optimize=False)
    assert costs.total.parameters == sum(parameter.numel() for parameter in model.parameters())
    trained = {parameter.data_ptr() for parameter in model.parameters()}  # the others are statistics
    weights = {name: value.numel() for name, value in model.named_weights() if value.data_ptr() in trained}
    for node, cost in costs.nodes.items():
        below = [other for other in graph.nodes if other.startswith(f"{node}.")]
        own = (
            size
            for name, size in weights.items()
            if name.startswith(f"{node}.") and not any(name.startswith(f"{other}.") for other in below)
        )
        if cost.parameters != sum(own):
            pytest.fail(f"{node}: {cost}")


def test_a_tower() -> None:
    """For 4 -> 3 -> 1, a multiply-add is 2 and a ReLU 1 per element; biases are part of the multiply-adds."""
    assert counted(spec(towers="{t: {units: [3]}}"))["towers.t"] == Cost(4 * 3 + 3 + 3 + 1, 2 * 4 * 3 + 3 + 2 * 3)


def test_statistics_are_no_parameters() -> None:
    """Batch normalisation has a scale and a shift per feature; its running statistics are not parameters."""
    plain = counted(spec(towers="{t: {units: [3]}}"))["towers.t"].parameters
    normed = counted(spec(towers="{t: {units: [3], norm: batch}}"))["towers.t"].parameters
    assert (normed or 0) - (plain or 0) == 2 * 3


def test_a_shared_table_counts_once() -> None:
    """A table is counted for the input that owns it, or for its reader if nothing reads the owner."""
    inputs = "{a: {kind: sparse, vocab: 10, dim: 4}, b: {kind: sequence, table: a, length: 5}}"
    both = counted(spec(inputs=inputs))
    assert (both["inputs.a"].parameters, both["inputs.b"].parameters) == (40, 0)
    one = counted(spec(inputs=inputs, towers="{t: {from: b}}"))
    assert sum(cost.parameters or 0 for cost in one.values()) == 40 + 5


def test_pooling_counts_the_elements_pooled() -> None:
    """Adding five rows of width 4 is 20 FLOPs per row of the batch; a lookup alone is 0."""
    inputs = "{a: {kind: sparse, vocab: 10, dim: 4}, b: {kind: sequence, table: a, length: 5}}"
    costs = counted(spec(inputs=inputs))
    assert (costs["inputs.a"].flops, costs["inputs.b"].flops) == (0, 20)


def test_a_modulation_belongs_to_its_block() -> None:
    """The gate of a modulated tower is counted for the tower, whose canonical name it has."""
    plain = counted(spec(towers="{t: {units: [3]}}"))["towers.t"].parameters
    modulated = counted(spec(towers="{t: {units: [3], modulate: {at: hidden}}}"))["towers.t"].parameters
    assert (modulated or 0) - (plain or 0) == 4 * 3


class Opaque(ExpertKind):
    """An expert that builds a module and reports no numbers."""

    def width(self, input: int) -> int:
        """As wide as its input."""
        return input

    def build(self, input: int) -> Any:  # noqa: ANN401 - torch is not imported here
        """Never called, since counting builds no module."""
        raise AssertionError


@expert("silent")
class Silent(Opaque):
    """Reports nothing."""


@expert("telling")
class Telling(Opaque):
    """Reports its parameters."""

    def parameters(self, input: int) -> int:
        """The parameters of a square matrix."""
        return input * input


def test_a_module_of_a_plugin() -> None:
    """Numbers that a plugin's kind does not report are unknown, and so is the total; the rest is a lower bound."""
    levels = "[{experts: {e: {kind: KIND}}}]"
    towers = "{t: {from: level1.experts.e}}"
    for kind, cost in (("silent", Cost(None, None)), ("telling", Cost(16, None))):
        text = spec(levels=levels.replace("KIND", kind), towers=towers)
        result = count(load_graph(text, None, load([Silent, Telling])))
        assert result.nodes["level1.experts.e.0"] == cost
        assert (result.total.parameters is None) == (cost.parameters is None)
        assert result.total.flops is None
        assert result.known == Cost((cost.parameters or 0) + 5, 8)
