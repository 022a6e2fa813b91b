"""Every spec in `specs/` is compared with a handwritten plain PyTorch module with the same weights."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

import pytest
import torch

from tests.compiler.models import BOTH, NAMES, Tensors, assert_agree, followed, model_of, run, spec_of, total
from tests.plain import REFERENCES
from tests.plain.batches import batch_for

if TYPE_CHECKING:
    from archspec.nn.module import Compiled
    from tests.plain.blocks import Reference

    Pair = tuple[Compiled, Reference]

TOLERANCE = {False: 1e-12, True: 1e-10}
"""In float64: the plain module does what the hand-written one does; fusion may reorder sums."""

reference = pytest.mark.parametrize("name", sorted(REFERENCES))


@functools.cache
def pair(name: str, *, optimize: bool, dtype: torch.dtype = torch.float64) -> Pair:
    """The compiled spec and its handwritten module, both with the latter's weights."""
    model = model_of(spec_of(name), optimize=optimize, dtype=dtype)
    torch.manual_seed(1)
    written = REFERENCES[name]().to(dtype)
    for key, parameter in written.named_parameters():
        if parameter.dim() == 1 and ".gates." in key:
            torch.nn.init.normal_(parameter)
    model.load_weights(written.state_dict())
    return model, written


@functools.cache
def samples(name: str) -> bool:
    """Whether training draws random numbers; if so, modules are compared in evaluation only."""
    return bool(re.search(r"hard_concrete|dropout: 0\.\d*[1-9]", spec_of(name).text()))


def modules(name: str, rows: int, *, optimize: bool, training: bool, dtype: torch.dtype = torch.float64) -> Pair:
    """The pair in a mode; a single row has no variance, so torch's batch norm uses its running statistics for it."""
    model, written = pair(name, optimize=optimize, dtype=dtype)
    model.train(training and not samples(name))
    written.train(training and not samples(name))
    for module in written.modules():
        if isinstance(module, torch.nn.BatchNorm1d) and rows < 2:
            module.eval()
    return model, written


def expected(written: Reference, batch: Tensors) -> tuple[Tensors, Tensors, Tensors]:
    """The handwritten module's outputs, gradients of its weights, and gradients of the batch's numbers."""
    inputs = followed(batch)
    outputs = written(inputs)
    written.zero_grad()
    torch.autograd.backward(total(outputs))
    weights = {
        key: torch.zeros_like(weight) if weight.grad is None else weight.grad
        for key, weight in written.named_parameters()
    }
    numbers = {
        key: torch.zeros_like(value) if value.grad is None else value.grad
        for key, value in inputs.items()
        if value.requires_grad
    }
    return {key: value.detach() for key, value in outputs.items()}, weights, numbers


def test_every_spec_has_a_reference() -> None:
    """Every published spec is compared with a handwritten module."""
    assert set(REFERENCES) <= set(NAMES)
    assert NAMES


@reference
@BOTH
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("rows", [0, 1, 7])
def test_outputs_and_gradients_are_those_of_the_written_module(
    *, name: str, optimize: bool, training: bool, rows: int
) -> None:
    """In float64, outputs and gradients of all weights and numbers agree, for any batch size, in both modes."""
    model, written = modules(name, rows, optimize=optimize, training=training)
    batch = batch_for(REFERENCES[name].INPUTS, rows, 5, torch.float64)
    found, wanted = run(model, batch), expected(written, batch)
    for actual, right in zip(found, wanted, strict=True):
        assert_agree(actual, right, TOLERANCE[optimize])


@reference
@BOTH
def test_single_precision_agrees(*, name: str, optimize: bool) -> None:
    """In float32, outputs and gradients agree to 1e-5."""
    model, written = modules(name, 7, optimize=optimize, training=True, dtype=torch.float32)
    batch = batch_for(REFERENCES[name].INPUTS, 7, 5)
    for actual, right in zip(run(model, batch), expected(written, batch), strict=True):
        assert_agree(actual, right, 1e-5)


@reference
@BOTH
def test_parameters_are_as_many_as_in_the_written_module(*, name: str, optimize: bool) -> None:
    """A spec has exactly the weights of its architecture, each with its canonical name."""
    model, written = pair(name, optimize=optimize)
    sizes = {key: tuple(weight.shape) for key, weight in written.state_dict().items()}
    assert {key: tuple(weight.shape) for key, weight in model.named_weights()} == sizes
    assert sum(weight.numel() for weight in model.parameters()) == sum(
        weight.numel() for weight in written.parameters()
    )


@reference
@BOTH
def test_weights_move_back(*, name: str, optimize: bool) -> None:
    """`named_weights` gives a state dict that the handwritten module loads unchanged."""
    model, written = pair(name, optimize=optimize)
    other = REFERENCES[name]().double()
    missing, unexpected = other.load_state_dict(dict(model.named_weights()), strict=False)
    assert missing == []
    assert all(
        key.endswith(".num_batches_tracked") for key in unexpected
    )  # torch adds these itself if they are missing
    assert_agree(other.state_dict(), written.state_dict(), 1e-10)  # statistics included, after the runs above


@reference
@BOTH
def test_auxiliary_losses_are_those_of_the_written_module(*, name: str, optimize: bool) -> None:
    """The sum of the losses that gates add in training equals that of the handwritten module."""
    model, written = pair(name, optimize=optimize)
    model.train()(batch_for(REFERENCES[name].INPUTS, 7, 5, torch.float64))
    wanted = sum(getattr(written, "auxiliary_losses", dict)().values())
    found = sum(getattr(model, "auxiliary_losses", {}).values())
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(wanted), check_dtype=False)
