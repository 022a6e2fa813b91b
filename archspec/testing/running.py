"""Runs models under test: batches, outputs, gradients by canonical name, and a sentence that compares two runs."""

from __future__ import annotations

import contextlib
import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from archspec.nn.module import seeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from archspec.nn.module import Compiled
    from archspec.program.columns import Column
    from archspec.testing.tiny import Tiny

Tensors = dict[str, Tensor]

LENGTH = 3
"""Length of sequences that may have any length."""
IDS = 5
"""Number of different ids in columns without an upper bound."""


@contextlib.contextmanager
def failing_with(tiny: Tiny, what: str) -> Iterator[None]:
    """Turns any exception of the kind into an AssertionError that names it, with the original as its cause."""
    try:
        yield
    except AssertionError as error:
        if str(error).startswith(tiny.label):
            raise
        raise AssertionError(f"{tiny.label}: {what} fails: AssertionError: {error}") from error
    except Exception as error:
        raise AssertionError(f"{tiny.label}: {what} fails: {type(error).__name__}: {error}") from error


def batch_for(columns: Mapping[str, tuple[str, Column]], rows: int) -> Tensors:
    """A random batch in float64, for the columns that inputs declare. The second row of a padded list is empty."""
    generator = torch.Generator().manual_seed(2)
    batch: Tensors = {}
    for key, column in columns.values():
        sizes = [rows if size == "B" else LENGTH if isinstance(size, str) else size for size in column.shape]
        if column.dtype == "float":
            batch[key] = torch.randn(sizes, generator=generator, dtype=torch.float64)
        else:
            high = IDS if column.high is None else column.high
            batch[key] = torch.randint(column.low, high, sizes, generator=generator)
            if column.low < 0:
                batch[key][1:2] = -1
    return batch


def run(model: Compiled, batch: Tensors, seed: int = 0, by: Callable[..., Any] | None = None) -> Tensors:
    """Outputs, gate weights and, in training, auxiliary losses; random numbers drawn from the seed."""
    gates: Tensors = {}
    with seeded(seed):
        outputs = (model if by is None else by)(batch, gates)
    losses = getattr(model, "auxiliary_losses", {}) if model.training else {}
    parts = {"output": outputs, "gate": gates, "auxiliary loss": losses}
    return {f"{part} {name}": value.detach() for part, values in parts.items() for name, value in values.items()}


def gradients(model: Compiled, batch: Tensors, by: Callable[..., Any] | None = None) -> Tensors:
    """Gradients of a random sum of the outputs plus the auxiliary losses, by canonical name; zeros if none."""
    generator = torch.Generator().manual_seed(3)
    model.zero_grad()
    with seeded(0):
        outputs = (model if by is None else by)(batch)
    parts = [
        (outputs[name] * torch.randn(outputs[name].shape, generator=generator, dtype=torch.float64)).sum()
        for name in sorted(outputs)
    ]
    parts += list(getattr(model, "auxiliary_losses", {}).values()) if model.training else []
    torch.autograd.backward(torch.stack(parts).sum())
    carrier = copy.deepcopy(model)
    with torch.no_grad():
        for buffer in carrier.buffers():
            buffer.zero_()
        for parameter, into in zip(model.parameters(), carrier.parameters(), strict=True):
            into.copy_(torch.zeros_like(into) if parameter.grad is None else parameter.grad.to_dense())
    model.zero_grad()
    return dict(carrier.named_weights())


def state(model: torch.nn.Module) -> Tensors:
    """A copy of parameters and buffers."""
    return {name: value.clone() for name, value in model.state_dict().items()}


def difference(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], tolerance: float) -> str | None:
    """The first difference between two runs, in words; None if they are equal."""
    if set(found) != set(wanted):
        return f"only one of the two has {', '.join(sorted(set(found) ^ set(wanted)))}"
    for name, value in found.items():
        other = wanted[name]
        if value.shape != other.shape:
            return f"{name} has shape {list(value.shape)} and {list(other.shape)}"
        if not torch.allclose(value, other, rtol=tolerance, atol=tolerance, equal_nan=True):
            return f"{name} differs by {(value.double() - other.double()).abs().max().item():.3g}"
    return None


def numerical_gradients(tiny: Tiny, model: Compiled, batch: Tensors) -> None:
    """Compares gradients of weights and numbers with finite differences, in float64 and evaluation mode."""
    model.eval()
    weights = {name: value.detach().clone() for name, value in model.named_parameters()}
    numbers = {key: value for key, value in batch.items() if value.is_floating_point()}
    names = [*weights, *numbers]

    def outputs(*values: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(names, values, strict=True))
        moved = {name: given[name] for name in weights}
        return tuple(torch.func.functional_call(model, moved, ({**batch, **{k: given[k] for k in numbers}},)).values())

    values = [value.clone().requires_grad_() for value in (*weights.values(), *numbers.values())]
    checked(tiny, outputs, values)


def checked(tiny: Tiny, function: Callable[..., Any], values: list[Tensor]) -> None:
    """torch's gradcheck, with a fixed seed for its random directions. Raises AssertionError."""
    what = "the check of its gradients against finite differences (float64; `gradcheck=False` skips it)"
    with failing_with(tiny, what), seeded(0):
        torch.autograd.gradcheck(function, values, fast_mode=True)
