"""Checks of a batch: each mistake is reported with the input, the column and the first bad row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

import archspec
from tests.compiler.models import BOTH, HEAD, assert_agree, batch_of, model_of, spec_of
from tests.nn.test_module import EVERYTHING, everything

if TYPE_CHECKING:
    from collections.abc import Callable


WRONG: dict[str, tuple[Callable[[dict[str, Any]], object], type[Exception], str]] = {
    "missing": (lambda b: b.pop("user"), KeyError, r"input `user` needs the column `user`; the batch holds .*scene"),
    "renamed": (lambda b: b.pop("the one"), KeyError, "input `one` needs the column `the one`"),
    "floats for ids": (lambda b: b.update(user=b["user"].double()), ValueError, "input `user`: .*float64"),
    "truths for ids": (lambda b: b.update(user=b["user"] > 1), ValueError, "input `user`: .*bool"),
    "ids for numbers": (lambda b: b.update(x=b["x"].long()), ValueError, "input `x`: .*int64"),
    "too wide": (lambda b: b.update(x=torch.zeros(5, 4)), ValueError, r"input `x`: .*shape \[5, 4\], not \[B, 3\]"),
    "too flat": (lambda b: b.update(x=torch.zeros(5)), ValueError, r"input `x`: .*shape \[5\], not \[B, 3\]"),
    "too long": (lambda b: b.update(past=torch.zeros(5, 9).long()), ValueError, "input `past`: .*9.*B, 4"),
    "too high": (lambda b: b["user"].__setitem__(3, 7), ValueError, r"input `user`: id 7 in row 3 .*0\.\.6"),
    "too low": (lambda b: b["user"].__setitem__(2, -1), ValueError, r"input `user`: id -1 in row 2 .*0\.\.6"),
    "in a sequence": (
        lambda b: b["past"].__setitem__((4, 1), 8),
        ValueError,
        r"input `past`: .*8.* in row 4 .*-1\.\.6",
    ),
    "domain": (lambda b: b["scene"].__setitem__(1, 2), ValueError, r"input `scene`: id 2 in row 1 .*0\.\.1"),
    "fewer rows": (lambda b: b.update(scene=b["scene"][:3]), ValueError, "3 rows"),
    "less precise": (lambda b: b.update(x=b["x"].float()), ValueError, "input `x`: .*float32, .* in torch.float64"),
    "half": (
        lambda b: b.update({"the one": b["the one"].half()}),
        ValueError,
        "input `one`: column `the one` holds torch.float16",
    ),
    "array": (lambda b: b.update(x=b["x"].numpy()), TypeError, "input `x`: column `x` is a numpy.ndarray, not a torch"),
    "array of ids": (lambda b: b.update(user=b["user"].numpy()), TypeError, "input `user`: .*numpy.ndarray"),
    "list": (lambda b: b.update(x=b["x"].tolist()), TypeError, "input `x`: column `x` is a list"),
    "list of ids": (lambda b: b.update(user=b["user"].tolist()), TypeError, "input `user`: .*a list"),
    "nothing": (lambda b: b.update(past=None), TypeError, "input `past`: .*NoneType"),
    "truths for numbers": (lambda b: b.update(x=b["x"] > 0), ValueError, "input `x`: .*bool"),
    "small ids": (lambda b: b.update(user=b["user"].to(torch.int16)), ValueError, "input `user`: .*int16"),
    "one number": (lambda b: b.update({"the one": torch.tensor(1.0)}), ValueError, r"input `one`: .*shape \[\]"),
    "an axis more": (
        lambda b: b.update(user=b["user"].unsqueeze(1)),
        ValueError,
        r"input `user`: .*\[5, 1\], not \[B\]",
    ),
    "elsewhere": (lambda b: b.update(x=b["x"].to("meta")), ValueError, r"input `x`: .* on meta, the model on cpu"),
    "ids elsewhere": (lambda b: b.update(user=b["user"].to("meta")), ValueError, "input `user`: .* on meta"),
}


@BOTH
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_batch_is_refused_by_the_inputs_name(*, name: str, optimize: bool) -> None:
    """Missing columns, wrong types or shapes, and ids out of range are reported with input, range and first bad row."""
    change, error, message = WRONG[name]
    model, batch = everything(optimize=optimize), batch_of(EVERYTHING, 5)
    change(batch)
    with pytest.raises(error, match=message):
        model(batch)


@BOTH
@pytest.mark.parametrize(("batch", "message"), [([1, 2], "not a list"), (torch.ones(3), "not a Tensor")])
def test_a_batch_is_a_mapping(*, batch: object, message: str, optimize: bool) -> None:
    """A list or a tensor instead of a dict is refused in one sentence."""
    with pytest.raises(TypeError, match=f"a batch is a dict of tensors by column, {message}"):
        everything(optimize=optimize)(batch)


@BOTH
def test_autocast_converts_numbers_but_float64(*, optimize: bool) -> None:
    """Under autocast torch converts float32 and bfloat16; float64, which it does not convert, is refused."""
    model, batch = everything(optimize=optimize).float().eval(), batch_of(EVERYTHING, 5, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert all(value.isfinite().all() for value in model({**batch, "x": batch["x"].bfloat16()}).values())
        with pytest.raises(ValueError, match=r"input `x`: .*float64"):
            model({**batch, "x": batch["x"].double()})


@BOTH
@pytest.mark.parametrize("name", ["meituan_search", "star", "hinet", "pepnet"])
def test_small_ids_are_ids(*, name: str, optimize: bool) -> None:
    """int32 ids work everywhere: in tables, sequences, domains, switches, gates and plugins."""
    model, batch = archspec.compile(spec_of(name), optimize=optimize, seed=0), batch_of(spec_of(name), 5)
    batch = {key: value.float() if value.is_floating_point() else value for key, value in batch.items()}
    small = {key: value if value.is_floating_point() else value.int() for key, value in batch.items()}
    assert_agree(model(small), model(batch), 0.0)


LOOKED_UP_TOGETHER = (
    HEAD
    + """
inputs:
  a: {kind: sparse, vocab: 7, dim: 2}
  again: {kind: sparse, vocab: 5, dim: 2, column: a}
  b: {kind: sparse, vocab: 4, dim: 2}
  x: {kind: dense, dim: 3}
tasks: {y: {}}
towers: {y: {from: inputs, units: [3]}}
"""
)
"""Three lookups at once; two inputs read one column, and the smaller table says which ids it may hold."""


def looked_up() -> dict[str, Tensor]:
    """A batch for it."""
    ids = {"a": torch.tensor([0, 4, 2]), "b": torch.tensor([3, 0, 1])}
    return {**ids, "x": torch.ones(3, 3, dtype=torch.float64)}


@BOTH
@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("a", torch.tensor([0, 5, 2]), r"input `again`: id 5 in row 1 of column `a` is outside 0\.\.4"),
        ("b", torch.tensor([0, 1, -1]), r"input `b`: id -1 in row 2"),
        ("b", torch.tensor([True, False, True]), "input `b`: .*bool"),
        ("b", torch.tensor([[0], [1], [2]]), r"input `b`: .*shape \[3, 1\]"),
        ("x", torch.ones(2, 3), "2 rows"),
        ("x", torch.ones(3, 2), r"input `x`: .*shape \[3, 2\]"),
    ],
)
def test_ids_that_are_looked_up_together_are_checked_each(
    *, column: str, value: Tensor, message: str, optimize: bool
) -> None:
    """Although one comparison checks all ids, the message names the input, the row and the range."""
    model = model_of(LOOKED_UP_TOGETHER, optimize=optimize)
    with pytest.raises(ValueError, match=message):
        model({**looked_up(), column: value})


def test_ids_of_another_integer_type_are_looked_up_all_the_same() -> None:
    """int32 ids, alone or mixed with int64, checked or not, give equal outputs."""
    model, batch = model_of(LOOKED_UP_TOGETHER, optimize=True), looked_up()
    wanted = model(batch)["y"]
    for changed in (("a",), ("a", "b")):
        small = {key: value.int() if key in changed else value for key, value in batch.items()}
        for model.check_inputs in (True, False):
            assert model(small)["y"].equal(wanted)


@BOTH
def test_checks_can_be_turned_off(*, optimize: bool) -> None:
    """With `check_inputs` off nothing is checked, so a mistake raises an error of torch."""
    model, batch = everything(optimize=optimize), batch_of(EVERYTHING, 5)
    batch["x"] = torch.zeros(5, 4, dtype=torch.float64)
    model.check_inputs = False
    with pytest.raises(RuntimeError):
        model(batch)
