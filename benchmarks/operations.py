"""Counts the calls into torch of a forward pass, which dominate the time of small batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.contenders import ARCHSPEC, BUILDERS, RECHUB, SIZES
from benchmarks.report import Bar, Section, show

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_ROWS = 16
_BAR = 1 / 5


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch leaves its hooks untyped
    """Reports every operation that reaches the dispatcher, with its arguments and its result."""

    def __init__(self, seen: Callable[[torch._ops.OpOverload, object, object], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen = seen

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        result = func(*args, **(kwargs or {}))
        self.seen(func, (args, kwargs), result)
        return result


def count(run: Callable[[], object]) -> tuple[int, int, int]:
    """Counts operations that reach the dispatcher, views among them, and events of the profiler.

    The profiler also counts what an operation calls inside, so a custom operation cannot hide others.
    """
    views: list[bool] = []
    with torch.no_grad():
        run()
        with Watch(lambda func, _inputs, _result: views.append(func.is_view)):
            run()
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            run()
    events = sum(event.count for event in profiled.key_averages())
    return len(views), sum(views), events


def section() -> Section:
    """The counts for 16 tasks."""
    size = SIZES[-1]
    ids, _ = size.draw(_ROWS)
    counts = {name: count(build(size).forward(ids)) for name, build in BUILDERS.items()}
    unchecked = BUILDERS[ARCHSPEC](size)
    unchecked.model.check_inputs = False  # type: ignore[assignment] # no weight, but a plain attribute
    counts[f"{ARCHSPEC}, `check_inputs` off"] = count(unchecked.forward(ids))
    about = (
        f"One forward pass without gradients, {size}, B {_ROWS}. Calls are operations that reach torch's\n"
        "dispatcher, views among them; events are the profiler's, which also counts what operations call\n"
        "inside. In parentheses the share of torch-rechub's."
    )
    rows = tuple(
        (name, *(f"{mine} ({mine / theirs:.2f})" for mine, theirs in zip(own, counts[RECHUB], strict=True)))
        for name, own in counts.items()
    )
    share = counts[ARCHSPEC][0] / counts[RECHUB][0]
    bars = (Bar("calls of a forward pass, 16 tasks: share of torch-rechub's", _BAR, share, least=False),)
    return Section("Calls", about, ("contender", "calls", "of them views", "profiler events"), rows, bars)


if __name__ == "__main__":
    show(section())
