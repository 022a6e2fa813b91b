"""Tracks: the heights at which lines run sideways in the channel between two rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from archspec.render.pins import Wires

STRAIGHT: Final = 0.05  # pins whose x differ by less are joined by a straight line
OVERLAP: Final = 20  # a vertical line on top of another one costs as much as this many crossings
ROUNDS: Final = 8
FEW: Final = 5  # for up to this many lines, every order is tried
MOST: Final = 80  # if a channel has more lines than this, their order is not improved


@dataclass(frozen=True)
class Run:
    """The part of one net in one channel."""

    net: int
    low: float
    high: float
    below: tuple[float, ...]
    above: tuple[float, ...]


def assign(wires: Wires, channel: int) -> dict[int, int]:
    """Net -> track, from 0 at the bottom; a straight line has none."""
    numbers = sorted({number for row, number in wires.below if row == channel})
    runs = []
    for number in numbers:
        below = tuple(pin.x for pin in wires.below[channel, number])
        above = tuple(pin.x for pin in wires.above.get((channel, number), []))
        low, high = min((*below, *above)), max((*below, *above))
        if high - low > STRAIGHT:
            runs.append(Run(number, low, high, below, above))
    return _stacked(_sorted(runs))


@lru_cache(maxsize=4096)
def _over(upper: Run, lower: Run, near: float = 2.5) -> int:
    """The crossings of two runs if one is above the other."""
    count = sum(lower.low < x < lower.high for x in upper.below)
    count += sum(upper.low < x < upper.high for x in lower.above)
    return count + OVERLAP * sum(abs(x - y) < near for x in upper.below for y in lower.above)


def _sorted(runs: Sequence[Run]) -> list[Run]:
    """Runs from the lowest to the highest, with few crossings: the best order for few runs, a good one for many."""
    if len(runs) <= FEW:
        best: tuple[Run, ...] = min(permutations(runs), key=_crossings)
        return list(best)
    keys: list[Callable[[Run], tuple[float, float]]] = [
        lambda run: (run.high - run.low, run.low),
        lambda run: (run.low, run.high),
        lambda run: (-run.low, run.high),
    ]
    orders = [_improved(sorted(runs, key=key)) for key in keys[: len(keys) if len(runs) <= MOST else 1]]
    return min(orders, key=_crossings)


def _crossings(order: Sequence[Run]) -> int:
    return sum(_over(upper, lower) for place, upper in enumerate(order) for lower in order[:place])


def _improved(runs: Sequence[Run]) -> list[Run]:
    """Moves each run to where it crosses least, until no move improves the order."""
    order: list[Run] = []
    for run in runs:
        order.insert(_best(order, run)[0], run)
    for _ in range(ROUNDS if len(order) <= MOST else 0):
        before = list(order)
        for run in before:
            old = order.index(run)
            order.pop(old)
            place, costs = _best(order, run)
            order.insert(place if costs[place] < costs[old] else old, run)
        if order == before:
            break
    return order


def _best(order: Sequence[Run], run: Run) -> tuple[int, list[int]]:
    """The place at which a run crosses least, and the crossings of each place."""
    costs = [sum(_over(other, run) for other in order)]
    for other in order:
        costs.append(costs[-1] - _over(other, run) + _over(run, other))
    return min(range(len(costs)), key=lambda place: (costs[place], place)), costs


def _stacked(order: Sequence[Run], apart: float = 3.0) -> dict[int, int]:
    """Assigns tracks; runs that do not overlap may share one."""
    tracks: dict[int, int] = {}
    for place, run in enumerate(order):
        below = [
            tracks[other.net] for other in order[:place]
            if other.low - apart < run.high and run.low < other.high + apart
        ]  # fmt: skip
        tracks[run.net] = max(below, default=-1) + 1
    return tracks
