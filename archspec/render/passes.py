"""Chooses the gaps through which a line passes the rows between its ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.render.grid import Grid, Spot
    from archspec.render.nets import Net

BEND: Final = 12.0  # a bend costs as much as this many points of detour
TIGHT: Final = 3.0  # cost of each point by which a gap is too narrow and the grid must be widened

Passes = dict[tuple[int, int], int]
"""(number of a net, row) -> the gap of that row, by the number of spots before it."""


def choose(grid: Grid, nets: Sequence[Net]) -> Passes:
    """A gap for each row that a net crosses, with the least detour and the fewest bends."""
    spots = grid.spots
    found: Passes = {}
    used: dict[tuple[int, int], int] = {}
    for number, net in enumerate(nets):
        low = min(spots[tail].row for tail, _ in net.tails)
        high = max(spots[head].row for head, _ in net.heads)
        rows = range(low + 1, high)  # those that have a tail below and a head above
        if not rows:
            continue
        starts = [_span(spots[tail]) for tail, _ in net.tails if spots[tail].row == low]
        ends = [_span(spots[head]) for head, _ in net.heads if spots[head].row == high]
        for row, place in zip(rows, _cheapest(grid, rows, starts, ends, used), strict=True):
            found[number, row] = place
            used[row, place] = used.get((row, place), 0) + 1
    return found


def widen(grid: Grid, passes: Passes) -> None:
    """Widens the gaps for the lines that pass through them."""
    counts: dict[tuple[int, int], int] = {}
    for (_, row), place in passes.items():
        counts[row, place] = counts.get((row, place), 0) + 1
    style = grid.style
    for (row, place), count in counts.items():
        outer = place in {0, len(grid.rows[row])}
        grid.gaps[row, place] = (count - 1) * style.pitch + style.pitch * (1.6 if not outer else 1.2)


def _span(spot: Spot) -> tuple[float, float]:
    door = spot.box.above[None]
    return spot.start + door.left, spot.start + door.right


def _cheapest(
    grid: Grid, rows: Sequence[int], starts: Sequence[tuple[float, float]], ends: Sequence[tuple[float, float]],
    used: dict[tuple[int, int], int],
) -> list[int]:  # fmt: skip
    """The gaps of the cheapest path, by dynamic programming over the rows."""
    wishes = sorted({_middle(span) for span in (*starts, *ends)})
    best: list[tuple[float, float, list[int]]] = []  # cost, x, gaps so far
    for number, row in enumerate(rows):
        options = []
        for place in range(len(grid.rows[row]) + 1):
            low, high = grid.free(row, place)
            need = used.get((row, place), 0) * grid.style.pitch
            lack = max(0.0, need - (high - low))
            for x in {_clamp(wish, low, high) for wish in (*wishes, *(way[1] for way in best))}:
                price = TIGHT * lack
                if number == 0:
                    options.append((price + min(_off(x, span) for span in starts), x, [place]))
                else:
                    cost, _, gaps = min((way[0] + _bent(x, way[1]), way[1], way[2]) for way in best)
                    options.append((price + cost, x, [*gaps, place]))
        best = sorted(options)[:24]
    return min((cost + min(_off(x, span) for span in ends), gaps) for cost, x, gaps in best)[1]


def _middle(span: tuple[float, float]) -> float:
    return (span[0] + span[1]) / 2


def _bent(x: float, other: float) -> float:
    return abs(x - other) + (BEND if abs(x - other) > 1 else 0.0)


def _off(x: float, span: tuple[float, float]) -> float:
    off = max(span[0] - x, x - span[1], 0.0)
    return off + (BEND if off else 0.0)


def _clamp(x: float, low: float, high: float) -> float:
    if low > high:
        return (low + high) / 2
    return min(max(x, low), high)
