"""Kinds that read tokens: pools, against their formulas; rows without tokens, with one, and with all."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - PyTorch's own idiom

import archspec
from archspec.compiler.compile import build
from archspec.graph.load import graph_of
from archspec.testing import check_kind
from tests.compiler.models import BOTH, ONE_TASK, assert_agree, gradients, model_of, total

HOW = pytest.mark.parametrize("how", ["mean", "sum", "max", "last"])


def text_of(how: str) -> str:
    """Two lists, each pooled by its own block, with a layer before the pool whose padded tokens are not zeros."""
    names = ("p", "q")
    inputs = ", ".join(f"{n}: {{kind: sequence, vocab: 9, dim: 3, length: 4, pool: none}}" for n in names)
    blocks = ", ".join(f"of_{n}: {{kind: pool, how: {how}, from: {n}}}" for n in names)
    return f"{ONE_TASK}inputs: {{{inputs}}}\nblocks: {{{blocks}}}\ntowers: {{y: {{from: [of_p, of_q]}}}}\n"


def batch_of() -> dict[str, Tensor]:
    """Lists with no event, with one (first, last), with gaps, and full."""
    lists = [[-1, -1, -1, -1], [5, -1, -1, -1], [-1, -1, -1, 0], [3, -1, 4, -1], [1, 2, 0, 2]]
    return {"p": torch.tensor(lists), "q": torch.tensor(lists).flip(0)}


def by_hand(ids: Tensor, table: Tensor, how: str) -> Tensor:
    """Row by row, with Python's own lists."""
    rows = []
    for row in ids.tolist():
        found = [table[i] for i in row if i >= 0]
        if not found:
            rows.append(torch.zeros(3, dtype=table.dtype))
        elif how == "last":
            rows.append(found[-1])
        elif how == "max":
            rows.append(torch.stack(found).amax(0))
        else:
            rows.append(torch.stack(found).sum(0) / (len(found) if how == "mean" else 1))
    return torch.stack(rows)


@BOTH
@HOW
def test_pools_are_their_formulas(how: str, *, optimize: bool) -> None:
    """Outputs and gradients of every weight equal those of a loop over lists."""
    model, batch = model_of(text_of(how), optimize=optimize), batch_of()
    weights = {name: view.clone().requires_grad_() for name, view in model.named_weights()}
    streams = [by_hand(batch[name], weights[f"inputs.{name}.weight"], how) for name in "pq"]
    right = {"y": F.linear(torch.cat(streams, 1), weights["towers.y.head.weight"], weights["towers.y.head.bias"])[:, 0]}
    outputs = model(batch)
    assert_agree(outputs, right, 1e-12)
    found = gradients(model, total(outputs))
    torch.autograd.backward(total(right))
    assert_agree(found, {name: w.grad for name, w in weights.items() if w.grad is not None}, 1e-12)


@HOW
def test_the_contract_holds(how: str) -> None:
    """It works as an expert and as a reader of an input's tokens."""
    check_kind("pool", "expert", settings={"how": how})


def test_an_input_with_tokens_holds_the_contract() -> None:
    """`pool: none` works, also with another input's table and with sparse gradients."""
    for own in ({"vocab": 9, "dim": 3}, {"table": "ids"}, {"vocab": 9, "dim": 3, "weights": "shares"}):
        check_kind("sequence", settings={**own, "length": 4, "pool": "none"})


def test_equal_pools_stand_side_by_side() -> None:
    """Two lists of one shape are pooled in one operation."""
    ops = build(graph_of(archspec.load(text_of("mean")))).lowered.forward.ops
    assert [op.output.shape for op in ops if op.kind == "pool_tokens"] == [(2, "B", 3)]
