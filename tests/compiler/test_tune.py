"""Plans: what is measured, which lowerings follow, and that a planned module computes the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

import archspec
from archspec.compiler.compile import build
from archspec.compiler.tune import Measured, Plan, Product, planned, tune
from archspec.graph.load import graph_of
from archspec.nn.measure import largest_difference, random_batch
from tests.compiler.passes.programs import PLE

if TYPE_CHECKING:
    import pytest

STACK = Product(7, 6, 4)
ROWS = Product(None, 13, 59)


def plan(**seconds: float) -> Plan:
    """A plan of one stack: at 16 rows torch's lowering is faster, at 1024 rows the given times apply."""
    few = Measured(STACK, 16, {"": 1.0, "each": 2.0})
    return Plan((few, Measured(STACK, 1024, seconds | {"": seconds.pop("own")})))


def test_a_lowering_holds_from_the_geometric_mean_on() -> None:
    """If torch's lowering wins at 16 rows and separate products at 1024, the switch is at 128 rows."""
    assert plan(own=1.0, each=0.5).lowerings(STACK) == ((0, ""), (128, "each"))


def test_a_gain_within_noise_changes_nothing() -> None:
    """A gain of three percent does not replace torch's lowering."""
    assert plan(own=1.0, each=0.97).lowerings(STACK) == ()


def test_a_product_that_was_not_measured_stays_as_it_is() -> None:
    """A plan has no lowering for a product that was not measured."""
    assert plan(own=1.0, each=0.5).lowerings(ROWS) == ()


def test_a_plan_reads_as_a_table() -> None:
    """The text has one line per product and batch size, with the chosen lowering marked."""
    assert str(plan(own=1e-6, each=5e-7)).splitlines()[1] == "7 x (6 -> 4), B 1024: each* 0, torch 1"


def test_a_planned_module_computes_the_same_and_says_the_plan() -> None:
    """The lowerings are written into the emitted file, and outputs stay the same."""
    graph = graph_of(archspec.load(PLE))
    built = build(graph, plan=plan(own=1.0, each=0.5))
    assert "plan=((0, ''), (128, 'each'))" in built.source
    ops = planned(build(graph).lowered.forward, plan(own=1.0, each=0.5)).ops
    assert sum(bool(op.attr("plan")) for op in ops) == 2
    columns = [(key, c.dtype, c.shape, c.low, c.high) for key, c in built.lowered.columns.values()]
    one, other = archspec.compile(PLE, seed=0), archspec.compile(PLE, seed=0, plan=plan(own=1.0, each=0.5))
    assert largest_difference(one, other, random_batch(columns, 200)) < 1e-5


def test_every_product_of_a_module_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each product shape is measured once at each batch size."""
    asked: list[tuple[object, ...]] = []

    def pretend(*shape: object) -> dict[str, float]:
        asked.append(shape)
        return {"": 1.0}

    monkeypatch.setattr("archspec.nn.measure.time_products", pretend)
    found = tune(PLE, batch=(4, 2))
    assert asked == list(dict.fromkeys(asked))
    assert {shape[-1] for shape in asked} == {2, 4}
    assert len(found.measured) == len(asked)


def test_bfloat16_is_near_and_never_by_default() -> None:
    """`precision="bf16"` changes outputs slightly; by default nothing is rounded."""
    exact, rounded = archspec.compile(PLE, seed=0), archspec.compile(PLE, seed=0, precision="bf16")
    batch = {"x": torch.randn(9, 5), **{name: torch.zeros(9, dtype=torch.int64) for name in "abc"}}
    assert 0 < largest_difference(exact, rounded, batch) < 0.1
    assert largest_difference(exact, archspec.compile(PLE, seed=0), batch) == 0
