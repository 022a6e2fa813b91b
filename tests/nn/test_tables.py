"""Pretrained vectors in the tables of a compiled model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import archspec

SPEC = """
archspec: 1
name: tables
inputs:
  user: {kind: sparse, vocab: 5, dim: 3}
  item: {kind: sparse, vocab: 4, dim: 3, trainable: false}
  clicks: {kind: sequence, table: item}
  x: {kind: dense, dim: 1}
tasks: {click: {}}
towers: {click: {units: [2]}}
"""


def table(model: nn.Module, name: str) -> torch.Tensor:
    """A copy of the table of an input."""
    found: dict[str, torch.Tensor] = dict(model.named_weights())  # type: ignore[operator]
    return found[f"inputs.{name}.weight"].clone()


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("make", [torch.tensor, np.asarray, list])
def test_vectors_replace_rows(make: Any, optimize: bool) -> None:  # noqa: ANN401, FBT001 - parameters of the test
    """The rows of the given ids become the vectors, and all others are unchanged, whatever the compiler fused."""
    model = archspec.compile(SPEC, optimize=optimize, seed=0)
    before = {name: table(model, name) for name in ("user", "item")}
    archspec.load_table(model, "item", make([3, 1]), make([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    found = table(model, "item")
    assert found[[3, 1]].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert torch.equal(found[[0, 2]], before["item"][[0, 2]])
    assert torch.equal(table(model, "user"), before["user"])
    batch = {
        "user": torch.tensor([0]), "item": torch.tensor([1]), "clicks": torch.tensor([[3, -1]]), "x": torch.zeros(1),
    }  # fmt: skip
    model(batch)["click"].sum().backward()
    assert torch.equal(table(model, "item"), found)


def test_a_model_in_another_type_and_in_a_wrapper() -> None:
    """Vectors are converted to the table's type; a model inside torch.compile is unwrapped."""
    model = archspec.compile(SPEC).double()
    archspec.load_table(torch.compile(model), "user", [0], torch.tensor([[0.5, 1.5, 2.5]]))  # type: ignore[arg-type]
    assert table(model, "user")[0].tolist() == [0.5, 1.5, 2.5]


ROW = [[1.0, 2.0, 3.0]]


@pytest.mark.parametrize(
    ("name", "ids", "vectors", "said"),
    [
        ("clicks", [0], ROW, r"no input `clicks` that owns a table; inputs with one: user, item"),
        ("itm", [0], ROW, "is it `item`?"),
        ("item", [0], [[1.0, 2.0]], r"takes ids \[N\] with vectors \[N, 3\], not ids of shape \[1\] with"),
        ("item", [0, 1], ROW, r"vectors of shape \[1, 3\]"),
        ("item", [4], ROW, r"id 4 is outside 0\.\.3"),
        ("item", [-1], ROW, "id -1 is outside"),
        ("item", [2, 2], ROW * 2, "id 2 occurs twice"),
        ("item", [2], [[1.0, float("nan"), 3.0]], "the vector of id 2 has a NaN or an infinity"),
        ("item", [2], [[1.0, float("inf"), 3.0]], "the vector of id 2 has a NaN or an infinity"),
    ],
)
def test_vectors_that_do_not_fit(name: str, ids: list[int], vectors: list[list[float]], said: str) -> None:
    """The message names the table and the first bad id, and nothing is copied."""
    model = archspec.compile(SPEC, seed=0)
    before = table(model, "item")
    with pytest.raises(ValueError, match=said):
        archspec.load_table(model, name, ids, vectors)
    assert torch.equal(table(model, "item"), before)


def test_ids_that_are_no_ids_and_models_that_are_none() -> None:
    """Fractions and booleans are refused as ids; so are modules without tables and models on the meta device."""
    model = archspec.compile(SPEC)
    for ids in ([0.0], [True]):
        with pytest.raises(TypeError, match="not whole numbers"):
            archspec.load_table(model, "item", ids, ROW)
    with pytest.raises(TypeError, match="is not a compiled model"):
        archspec.load_table(nn.Linear(1, 1), "item", [0], ROW)
    with pytest.raises(ValueError, match="on the meta device"):
        archspec.load_table(model.to("meta"), "item", [0], ROW)
