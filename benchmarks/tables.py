"""A whole training step, including the optimizer, with large tables, which cost more than the network."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from benchmarks.contenders import ARCHSPEC, RECHUB, SIZES, Contender, optimized, rechub
from benchmarks.report import Section, ms, quick, show
from benchmarks.timing import interleaved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SIZE = replace(SIZES[0], vocab=100_000)
_ROWS = 256
_ADAM, _FUSED, _SPARSE = "Adam", "fused Adam", "SparseAdam for tables, fused Adam for the rest"


def section(seconds: float) -> Section:
    """The table."""
    field = {
        (RECHUB, _ADAM): _step(rechub(SIZE), _adam),
        (RECHUB, _FUSED): _step(rechub(SIZE), _fused),
        (ARCHSPEC, _ADAM): _step(optimized(SIZE), _adam),
        (ARCHSPEC, _FUSED): _step(optimized(SIZE), _fused),
        (ARCHSPEC, _SPARSE): _step(optimized(SIZE, ", sparse_grad: true"), _fused),
    }
    timings = interleaved({" + ".join(key): run for key, run in field.items()}, seconds)
    best = min(timings[" + ".join(key)].median for key in field if key[0] == RECHUB)
    rows = tuple(
        (*key, ms(timings[" + ".join(key)].median), f"{best / timings[' + '.join(key)].median:.2f}") for key in field
    )
    about = (
        f"Forward, backward and optimizer step: {SIZE}, 40 tables of 100,000 rows of 16, B {_ROWS}.\n"
        "Milliseconds, medians, and how many times faster than torch-rechub with the better optimizer.\n"
        "SparseAdam is another optimizer than Adam: a row that a batch does not hold keeps its value and its\n"
        "moments."
    )
    return Section("Large tables", about, ("contender", "optimizer", "step, ms", "ratio"), rows)


def _step(contender: Contender, dense: Callable[[Iterable[torch.Tensor]], torch.optim.Optimizer]) -> Callable[[], None]:
    """A training step. Weights with sparse gradients get SparseAdam, all others the given optimizer."""
    ids, labels = SIZE.draw(_ROWS)
    contender.step(ids, labels)()
    weights = [weight for weight in contender.model.parameters() if weight.grad is not None]
    groups = {False: dense, True: torch.optim.SparseAdam}
    optimizers = [
        make(chosen)
        for sparse, make in groups.items()
        if (chosen := [weight for weight in weights if weight.grad is not None and weight.grad.is_sparse is sparse])
    ]

    def update() -> None:
        for optimizer in optimizers:
            optimizer.step()

    return contender.step(ids, labels, update)


def _adam(weights: Iterable[torch.Tensor]) -> torch.optim.Optimizer:
    return torch.optim.Adam(weights)


def _fused(weights: Iterable[torch.Tensor]) -> torch.optim.Optimizer:
    return torch.optim.Adam(weights, fused=True)


if __name__ == "__main__":
    show(section(0.2 if quick() else 1.0))
