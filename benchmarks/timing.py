"""Timing: contenders take turns in one loop, after a warm-up; results are medians."""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

TURN = 0.02
"""Seconds of one contender's turn: short enough that a slow moment of the machine affects all of them."""
FEWEST = 7
"""The smallest number of calls of each contender."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one call: the median, and the middle half of all calls."""

    median: float
    low: float
    high: float
    calls: int


def interleaved(work: Mapping[str, Callable[[], object]], seconds: float = 0.5) -> dict[str, Timing]:
    """Times each function for at least `seconds` and `FEWEST` calls, in turns whose order is reversed every round."""
    turns = {name: max(1, round(TURN / _warm(run, seconds / 3))) for name, run in work.items()}
    samples: dict[str, list[float]] = {name: [] for name in work}
    names = list(work)
    gc.collect()
    gc.disable()
    try:
        while unfinished := [name for name in names if sum(samples[name]) < seconds or len(samples[name]) < FEWEST]:
            # All continue until every one is finished, so that none is measured alone.
            for name in names if unfinished else ():
                samples[name] += _clock(work[name], turns[name])
            names.reverse()
    finally:
        gc.enable()
    return {name: _timing(values) for name, values in samples.items()}


def _warm(run: Callable[[], object], seconds: float) -> float:
    """Runs for at least this many seconds and three times, and returns the time of the fastest call."""
    times = _clock(run, 3)
    while sum(times) < seconds:
        times += _clock(run, 1)
    return min(times)


def _clock(run: Callable[[], object], calls: int) -> list[float]:
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times


def _timing(samples: Iterable[float]) -> Timing:
    ordered = sorted(samples)
    return Timing(statistics.median(ordered), ordered[len(ordered) // 4], ordered[3 * len(ordered) // 4], len(ordered))
