"""Inputs: what a batch holds, and the stream it becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.compiler.models import BOTH, ONE_TASK, assert_agree, gradients, model_of, total

if TYPE_CHECKING:
    from collections.abc import Callable


def logits(weights: dict[str, Tensor], stream: Tensor) -> dict[str, Tensor]:
    """What the tower's head makes of a stream."""
    return {"y": functional.linear(stream, weights["towers.y.head.weight"], weights["towers.y.head.bias"]).squeeze(-1)}


def check(inputs: str, batch: dict[str, Tensor], wanted: object, *, optimize: bool, source: str = "inputs") -> None:
    """The tower reads the stream that `wanted` makes of the weights; gradients of the tables agree."""
    assert callable(wanted)
    model = model_of(ONE_TASK + f"inputs: {inputs}\ntowers: {{y: {{from: {source}}}}}\n", optimize=optimize)
    weights = {name: view.clone().requires_grad_() for name, view in model.named_weights()}
    outputs, right = model(batch), logits(weights, wanted(weights))
    assert_agree(outputs, right, 1e-12)
    torch.autograd.backward(total(right))
    found = gradients(model, total(outputs))
    assert_agree(found, {name: torch.zeros_like(w) if w.grad is None else w.grad for name, w in weights.items()}, 1e-12)


@BOTH
@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_one_number_per_row_may_be_a_vector_or_a_column(*, shape: tuple[int, ...], optimize: bool) -> None:
    """A dense input of width 1 takes `[B]` and `[B, 1]`."""
    x = torch.randn(shape, dtype=torch.float64)
    check("{x: {kind: dense, dim: 1}}", {"x": x}, lambda _: x.view(4, 1), optimize=optimize)


@BOTH
def test_inputs_stand_side_by_side_as_written(*, optimize: bool) -> None:
    """`inputs` is every input with a width, in the order of the file."""
    batch = {"b": torch.randn(4, 2, dtype=torch.float64), "a": torch.tensor([2, 0, 2, 1])}
    check("{b: {kind: dense, dim: 2}, a: {kind: sparse, vocab: 3, dim: 4}, d: {kind: domain, values: [p, q]}}",
          batch | {"d": torch.tensor([0, 1, 1, 0])},
          lambda w: torch.cat([batch["b"], w["inputs.a.weight"][batch["a"]]], dim=1), optimize=optimize)  # fmt: skip


@BOTH
def test_a_shared_table_is_one_weight(*, optimize: bool) -> None:
    """`table` looks up another input's rows; both train them."""
    ids, others = torch.tensor([0, 1, 2, 2]), torch.tensor([[2, 1], [0, -1], [-1, -1], [1, 1]])
    check("{a: {kind: sparse, vocab: 3, dim: 2}, h: {kind: sequence, table: a, pool: sum, length: 2}}",
          {"a": ids, "h": others}, lambda w: torch.cat([w["inputs.a.weight"][ids],
          functional.pad(w["inputs.a.weight"], (0, 0, 0, 1))[others].sum(1)], dim=1), optimize=optimize)  # fmt: skip


@BOTH
def test_a_table_serves_others_though_nobody_reads_its_own_input(*, optimize: bool) -> None:
    """The owner's column need not be in the batch where only the sharing input is read."""
    ids = torch.tensor([1, 0, 1])
    check("{a: {kind: sparse, vocab: 2, dim: 3}, c: {kind: sparse, table: a}}", {"c": ids},
          lambda w: w["inputs.a.weight"][ids], optimize=optimize, source="c")  # fmt: skip


@BOTH
def test_one_column_may_feed_several_tables(*, optimize: bool) -> None:
    """`column` is the batch's key: STEM's table per task."""
    ids = torch.tensor([1, 0, 1])
    table = "{kind: sparse, vocab: 2, dim: 3, column: user id}"
    check(f"{{a: {table}, c: {table}}}",
          {"user id": ids}, lambda w: torch.cat([w["inputs.a.weight"][ids], w["inputs.c.weight"][ids]], dim=1),
          optimize=optimize)  # fmt: skip


@BOTH
@pytest.mark.parametrize("pool", ["mean", "sum", "max"])
def test_pools_leave_padding_out(*, pool: str, optimize: bool) -> None:
    """-1 pads anywhere; an empty row gives zeros, and its gradient is none."""
    ids = torch.tensor([[0, 3, 3], [2, -1, -1], [-1, -1, -1], [-1, 1, -1]])

    def pooled(weights: dict[str, Tensor]) -> Tensor:
        table, rows = weights["inputs.h.weight"], []
        for row in ids.tolist():
            found = table[[index for index in row if index >= 0]]
            reduced: dict[str, Callable[[int], Tensor]]
            reduced = {"mean": found.mean, "sum": found.sum, "max": found.amax}
            rows.append(reduced[pool](0) if len(found) else table.new_zeros(2))
        return torch.stack(rows)

    check(f"{{h: {{kind: sequence, vocab: 4, dim: 2, pool: {pool}}}}}", {"h": ids}, pooled, optimize=optimize)


@BOTH
@pytest.mark.parametrize("length", [0, 1, 9])
def test_a_sequence_without_a_length_takes_any(*, length: int, optimize: bool) -> None:
    """Without `length`, batches may differ in it; none at all is an empty list."""
    text = ONE_TASK + "inputs: {h: {kind: sequence, vocab: 4, dim: 2}}\ntowers: {y: {}}\n"
    model = model_of(text, optimize=optimize)
    output = model({"h": torch.zeros(3, length, dtype=torch.int64)})["y"]
    assert output.shape == (3,)
    assert output.isfinite().all()


@BOTH
def test_a_domain_with_a_width_is_an_embedding(*, optimize: bool) -> None:
    """`dim` gives each value a vector; without it a domain only switches."""
    ids = torch.tensor([1, 0, 1])
    check(
        "{d: {kind: domain, values: [p, q], dim: 3}}",
        {"d": ids},
        lambda w: w["inputs.d.weight"][ids],
        optimize=optimize,
    )


@BOTH
def test_a_domain_whose_embedding_nobody_reads_has_none(*, optimize: bool) -> None:
    """A switch by a domain with a `dim` makes no table that no gradient would reach."""
    text = ONE_TASK + "inputs: {x: {kind: dense, dim: 2}, d: {kind: domain, values: [p, q], dim: 3}}\n"
    text += "towers: {y: {switch: d, cases: {$domain: {from: x}}}}\n"
    assert [name for name, _ in model_of(text, optimize=optimize).named_weights() if name.startswith("inputs.")] == []
