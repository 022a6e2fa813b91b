"""Measurements for `archspec build`: times of matmuls on this machine, and the difference between two modules."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from archspec.nn.products import HAS_ONEDNN, linear, linear_stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


def lowerings(experts: int | None) -> tuple[str, ...]:
    """The methods to compute a matmul here, for rows `[B, D]` (experts None) or a stack; "" is torch's default."""
    ways = ("",) if experts is None else ("", "each")
    return (*ways, "onednn") if HAS_ONEDNN else ways


def time_products(  # noqa: PLR0913 - the sizes of a product, and how to measure it
    experts: int | None, width: int, out: int, rows: int, *, backward: bool = True, seconds: float = 0.1
) -> dict[str, float]:
    """Median seconds of one matmul, forward and backward, by lowering; measured in turns, so noise affects all equally.

    Args:
        experts: members of the stack, None for plain rows.
        width: D.
        out: H.
        rows: B.
        backward: also measure the backward pass.
        seconds: time to spend on each lowering.
    """
    stack = () if experts is None else (experts,)
    x = torch.randn(*stack, rows, width, requires_grad=backward)
    weight = torch.randn(*stack, width, out, requires_grad=backward)
    bias = torch.randn(*stack, out, requires_grad=backward)
    multiply: Callable[..., Tensor] = linear if experts is None else linear_stack
    ways = lowerings(experts)

    def once(way: str) -> float:
        start = time.perf_counter()
        with torch.set_grad_enabled(backward):
            product = multiply(x, weight.t() if experts is None else weight, bias, plan=((0, way),))
        if backward:
            torch.autograd.backward(product, torch.ones_like(product))
        return time.perf_counter() - start

    times: dict[str, list[float]] = {way: [] for way in ways}
    for way in ways:
        once(way)
    end = time.perf_counter() + seconds * len(ways)
    while time.perf_counter() < end or len(times[""]) < 3:  # noqa: PLR2004 - a median needs at least three
        for way in ways:
            times[way].append(once(way))
    return {way: statistics.median(found) for way, found in times.items()}


def random_batch(
    columns: Iterable[tuple[str, str, tuple[int | str, ...], int, int | None]], rows: int, seed: int = 0
) -> dict[str, Tensor]:
    """A random batch for columns (key, type, shape, lowest id, first id too high): normal numbers, uniform ids."""
    generator = torch.Generator().manual_seed(seed)
    batch: dict[str, Tensor] = {}
    for key, dtype, shape, low, high in columns:
        size = [rows if dim == "B" else 8 if isinstance(dim, str) else dim for dim in shape]
        if dtype == "float":
            batch[key] = torch.randn(size, generator=generator)
        else:
            batch[key] = torch.randint(low, 8 if high is None else high, size, generator=generator)
    return batch


def largest_difference(one: nn.Module, other: nn.Module, batch: Mapping[str, Tensor]) -> float:
    """The largest difference between the outputs of two modules on a batch, in evaluation mode."""
    with torch.no_grad():
        left, right = one.eval()(batch), other.eval()(batch)
    return max(float((left[name] - right[name]).abs().max()) for name in left)
