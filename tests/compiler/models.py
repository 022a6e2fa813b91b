"""Compiled models for tests: built from a text or a file, run on a random batch, with gradients by canonical name."""

from __future__ import annotations

import contextlib
import copy
import functools
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

import archspec
from tests.plain.batches import batch_for
from tests.published import SPECS, plugins_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from archspec.nn.module import Compiled

NAMES = tuple(sorted(path.stem for path in SPECS.glob("*.yaml")))
"""Every spec in `specs/`."""


@functools.cache
def spec_of(name: str) -> archspec.Spec:
    """Loads a spec in `specs/` with the plugins that it requires."""
    return archspec.load(spec_file(name), plugins=plugins_of(spec_file(name)))


HEAD = "archspec: 1\nname: tiny\n"
ONE_TASK = HEAD + "tasks: {y: {kind: regression}}\n"

BOTH = pytest.mark.parametrize("optimize", [False, True], ids=["plain", "optimized"])
"""Runs a test with the plain and with the optimized module, since both must behave the same."""

Tensors = dict[str, Tensor]


def spec_file(name: str) -> Path:
    """The path of a spec in `specs/`."""
    return SPECS / f"{name}.yaml"


def model_of(
    source: str | Path | archspec.Spec, *, optimize: bool, dtype: torch.dtype = torch.float64, seed: int = 0
) -> Compiled:
    """A compiled model whose static gates and norms are moved away from their initial constants."""
    model = archspec.compile(source, optimize=optimize, seed=seed).to(dtype)
    generator = torch.Generator().manual_seed(seed + 1)
    for name, view in model.named_weights():
        if view.dim() == 1 and (
            name.endswith(".weight") or ".norms." in name or ".activations." in name or ".input_norm." in name
        ):
            value = 0.5 + torch.rand(view.shape, generator=generator, dtype=torch.float64)
            view.copy_(value)
    return model


@contextlib.contextmanager
def tiles_of(model: Compiled, rows: int) -> Iterator[None]:
    """Lets inference compute this many rows at a time, as if the model were very wide."""
    module = type(model).in_tiles.__globals__
    own = module["TILE"]
    module["TILE"] = rows
    try:
        yield
    finally:
        module["TILE"] = own


def batch_of(
    source: str | Path | archspec.Spec, rows: int, seed: int = 0, dtype: torch.dtype = torch.float64
) -> Tensors:
    """A random batch for a spec."""
    spec = source if isinstance(source, archspec.Spec) else archspec.load(source)
    return batch_for(spec.data()["inputs"], rows, seed, dtype)


def followed(batch: Mapping[str, Tensor]) -> Tensors:
    """The batch with gradients enabled for its numbers."""
    return {key: value.clone().requires_grad_() if value.is_floating_point() else value for key, value in batch.items()}


def total(outputs: Mapping[str, Tensor], seed: int = 3) -> Tensor:
    """One number that depends on every element of every output, each with its own random weight."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for name in sorted(outputs):
        value = outputs[name]
        weights = torch.randn(value.shape, generator=generator, dtype=torch.float64).to(value.dtype)
        parts.append((weights * value).sum())
    return torch.stack(parts).sum()


def gradients(model: Compiled, loss: Tensor) -> Tensors:
    """The gradient of the loss for every trainable weight, by canonical name; zero if a weight has none."""
    model.zero_grad()
    torch.autograd.backward(loss)
    return weight_gradients(model)


def weight_gradients(model: Compiled) -> Tensors:
    """The contents of `.grad` by canonical name, read from a copy of the model that holds gradients as parameters."""
    kept = {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.detach().to_dense()
        for name, parameter in model.named_parameters()
    }
    model.zero_grad()
    carrier = copy.deepcopy(model)
    nn.Module.load_state_dict(carrier, kept, strict=False)
    names = {name for name, _ in carrier.named_weights()} - statistics(carrier)
    return {name: value for name, value in carrier.named_weights() if name in names}


def statistics(model: Compiled) -> set[str]:
    """The names of running statistics, which no gradient trains."""
    return {name for name, _ in model.named_weights() if name.endswith((".running_mean", ".running_var"))}


def run(model: Compiled, batch: Mapping[str, Tensor]) -> tuple[Tensors, Tensors, Tensors]:
    """Outputs, gradients of the weights and gradients of the numbers in the batch, all detached."""
    inputs = followed(batch)
    outputs = model(inputs)
    weights = gradients(model, total(outputs))
    numbers = {
        key: torch.zeros_like(value) if value.grad is None else value.grad
        for key, value in inputs.items()
        if value.requires_grad
    }
    return {name: value.detach() for name, value in outputs.items()}, weights, numbers


def assert_equal(actual: object, expected: object) -> None:
    """Asserts that tensors, or collections of them, are equal except for the order of sums."""
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


def assert_agree(actual: Mapping[str, Tensor], expected: Mapping[str, Tensor], tolerance: float) -> None:
    """Asserts that both dicts have the same names and the same values."""
    assert set(actual) == set(expected)
    torch.testing.assert_close(dict(actual), dict(expected), rtol=tolerance, atol=tolerance)
