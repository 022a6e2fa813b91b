"""Measures the machine's fp32 matmul rate, and the share of it that whole models reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F  # noqa: N812 - as everywhere in torch

from benchmarks.contenders import ARCHSPEC, BUILDERS, ROWS, SIZES
from benchmarks.floors import has_onednn, onednn
from benchmarks.report import Bar, Section, ms, quick, show
from benchmarks.timing import interleaved

if TYPE_CHECKING:
    from collections.abc import Callable

_SHAPES = ((2048, 640, 2304), (2048, 640, 4096), (2048, 2048, 2048))
_BAR = 0.75


def rates(seconds: float) -> dict[tuple[str, str], float]:
    """Operations per second of `rows x inputs` times `inputs x outputs`, by backend and shape."""
    found = {}
    for rows, inputs, outputs in _SHAPES:
        x, weight, bias = torch.randn(rows, inputs), torch.randn(outputs, inputs), torch.randn(outputs)
        ways: dict[str, Callable[[], object]] = {"F.linear": lambda a=x, b=weight, c=bias: F.linear(a, b, c)}  # type: ignore[misc] # defaults bind
        if has_onednn():
            ways["oneDNN"] = lambda a=x, b=weight, c=bias: onednn(a, b, c)  # type: ignore[misc] # defaults bind
        for name, timing in interleaved(ways, seconds).items():
            found[name, f"{rows} x {inputs} x {outputs}"] = 2 * rows * inputs * outputs / timing.median
    return found


def section(seconds: float) -> Section:
    """Rates of single products, then of the models (towers, lookups and all), in the same run."""
    size, rows = SIZES[-1], ROWS[-1]
    ids, _ = size.draw(rows)
    with torch.no_grad():
        found = rates(seconds)
        timings = interleaved({name: build(size).forward(ids) for name, build in BUILDERS.items()}, seconds)
    peak = max(found.values())
    lines = [
        (f"{name}, {shape}", "", f"{rate / 1e9:.0f}", f"{rate / peak:.2f}") for (name, shape), rate in found.items()
    ]
    shares = {name: size.flops(rows) / timing.median / peak for name, timing in timings.items()}
    lines += [
        (f"{name}, whole model", ms(timing.median), f"{shares[name] * peak / 1e9:.0f}", f"{shares[name]:.2f}")
        for name, timing in timings.items()
    ]
    about = (
        f"Inference, {size}, B {rows}: {size.flops(rows) / 1e9:.2f} GFLOP of products a pass (experts, gates,\n"
        "mixing, towers, heads), over the time of the whole pass, as a share of the best rate that one\n"
        "product reached in this run."
    )
    bars = (Bar("share of the measured peak, 16 tasks, B 2048, infer", _BAR, shares[ARCHSPEC]),)
    return Section("Share of peak", about, ("what", "ms", "GFLOP/s", "share"), tuple(lines), bars)


if __name__ == "__main__":
    show(section(0.1 if quick() else 0.5))
