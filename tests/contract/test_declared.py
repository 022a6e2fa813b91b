"""A kind of input declares the columns and streams it reads; graph, data and model follow the declaration."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import archspec
from archspec import SpecError, plugins
from archspec.data.requirements import column_requirements
from archspec.graph.load import load_graph
from archspec.testing import check_kind
from tests.compiler.models import BOTH, HEAD

PLUGIN = Path(__file__).with_name("odd_inputs.py")


def text(inputs: str, reads: str = "inputs") -> str:
    """A spec with one task that reads the given inputs."""
    return f"{HEAD}inputs: {{{inputs}}}\ntasks: {{t: {{kind: regression}}}}\ntowers: {{t: {{from: {reads}}}}}\n"


def spec_of(inputs: str, reads: str = "inputs") -> archspec.Spec:
    """Loads the spec, which must cause no warning."""
    spec = archspec.load(text(inputs, reads), plugins=[PLUGIN])
    assert spec.diagnostics == ()
    return spec


def used(spec: archspec.Spec) -> dict[str, str]:
    """Column -> what it must contain in a data table."""
    graph = load_graph(spec.text(), None, plugins.load([PLUGIN]))
    return {column: requirement.use for column, requirement in column_requirements(graph).items() if column != "t"}


def test_settings_may_have_any_name() -> None:
    """`values` does not make an input a domain, `table` need not name a table, and a stream does not need a `dim`."""
    spec = spec_of("a: {kind: named_like_built_ins, table: 'a remark, not an input'}")
    model = archspec.compile(spec, seed=0)
    head = dict(model.named_weights())["towers.t.head.weight"]
    bias = dict(model.named_weights())["towers.t.head.bias"]
    torch.testing.assert_close(model({"a": torch.tensor([[3.0]])})["t"], 6 * head[0] + bias)
    with pytest.raises(SpecError, match="AS212"):
        archspec.load(
            text("a: {kind: named_like_built_ins}").replace("from: inputs", "switch: a, cases: {x: {}}"),
            plugins=[PLUGIN],
        )


@BOTH
def test_a_further_column_is_read_checked_and_requiremented(*, optimize: bool) -> None:
    """A column that a setting names is passed to the model, and is required of batches and of data tables."""
    spec = spec_of("a: {kind: weighted, vocab: 5, dim: 2, weights: how_much}, b: {kind: weighted, vocab: 5, dim: 2}")
    model = archspec.compile(spec, seed=0, optimize=optimize)
    weights = dict(model.named_weights())
    batch = {"a": torch.tensor([1, 2]), "b": torch.tensor([3, 4]), "how_much": torch.tensor([[0.5], [0.0]])}
    a = weights["inputs.a.weight"][batch["a"]] * batch["how_much"]
    x = torch.cat([a, weights["inputs.b.weight"][batch["b"]]], dim=-1)
    expected = x @ weights["towers.t.head.weight"].T + weights["towers.t.head.bias"]
    torch.testing.assert_close(model(batch)["t"], expected[:, 0])
    with pytest.raises(KeyError, match="how_much"):
        model({name: value for name, value in batch.items() if name != "how_much"})
    assert used(spec) == {"a": "ids", "b": "ids", "how_much": "numbers"}


def test_a_further_column_is_one_thing() -> None:
    """A column of weights that another input reads as ids is an error at the setting that names it."""
    with pytest.raises(SpecError) as error:
        archspec.load(
            text("a: {kind: weighted, vocab: 5, dim: 2, weights: b}, b: {kind: sparse, vocab: 5, dim: 2}"),
            plugins=[PLUGIN],
        )
    (found,) = error.value.diagnostics
    assert found.code == "AS217"
    assert "reads the column `b` as" in found.message


def test_the_column_of_another_input_counts_as_read() -> None:
    """An input whose column only another input reads is not unused, and its column is required of the data."""
    spec = spec_of("a: {kind: beside, other: b}, b: {kind: dense, dim: 1}", "a")
    model = archspec.compile(spec, seed=0)
    one, two = (model({"a": torch.ones(1, 1), "b": torch.full((1, 1), value)})["t"] for value in (1.0, 2.0))
    assert one != two
    assert used(spec) == {"a": "numbers", "b": "numbers"}


@BOTH
def test_an_input_may_read_streams(*, optimize: bool) -> None:
    """A reference in an input's settings is resolved like any other, and gradients flow to the stream."""
    spec = spec_of("a: {kind: steered, by: [b, c]}, b: {kind: sparse, vocab: 5, dim: 2}, c: {kind: dense, dim: 3}", "a")
    model = archspec.compile(spec, seed=0, optimize=optimize)
    batch = {"a": torch.ones(2, 1), "b": torch.tensor([1, 2]), "c": torch.randn(2, 3)}
    torch.autograd.backward(model(batch)["t"].sum())
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())
    graph = archspec.build_graph(spec)
    assert set(graph.predecessors("inputs.a")) == {"inputs.b", "inputs.c"}


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ("a: {kind: steered, by: nobody}", "AS201"),
        ("a: {kind: beside, other: nobody}", "AS201"),
        ("a: {kind: weighted, vocab: 5, dim: 2, table: nobody}", "AS201"),
        ("a: {kind: steered, by: b}, b: {kind: steered, by: a}", "AS208"),
        ("a: {kind: steered, by: a}", "AS208"),
    ],
)
def test_names_that_an_input_reads_are_checked(inputs: str, code: str) -> None:
    """An unknown name and a cycle of inputs are diagnostics at the place where they are written."""
    with pytest.raises(SpecError) as error:
        archspec.load(text(inputs, "a"), plugins=[PLUGIN])
    assert [item.code for item in error.value.diagnostics] == [code]
    assert error.value.diagnostics[0].span is not None


def test_a_table_of_another_input_can_be_checked() -> None:
    """The small spec that `check_kind` uses has an input whose table the tested kind may share."""
    check_kind("weighted", plugins=[PLUGIN], settings={"vocab": 9, "dim": 4, "table": "ids"})
    check_kind("sparse", settings={"table": "ids"})
