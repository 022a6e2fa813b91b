"""The lane grid: blocks in rows from the inputs (row 0) to the outputs, and in columns that all rows share.

A lane is a horizontal position: one for each task, and one for each shared stream between the tasks that it serves. A
block keeps its lane in every row, so streams run straight up. Lanes are as close together as their boxes allow.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from archspec.render.boxes import Box
    from archspec.render.figure import Block, Figure
    from archspec.render.style import Style

NEAR: Final = 0.34  # lanes closer than this, which no row has both of, become one


@dataclass(eq=False)
class Spot:
    """A box at a place: `x` is its middle, `y` its upper edge; `left` and `right` stay free for lines to its sides."""

    box: Box
    row: int
    lane: float
    x: float = 0.0
    y: float = 0.0
    left: float = 0.0
    right: float = 0.0

    @property
    def start(self) -> float:
        """Its left edge."""
        return self.x - self.box.width / 2

    @property
    def end(self) -> float:
        """Its right edge."""
        return self.x + self.box.width / 2


@dataclass
class Grid:
    """Rows of spots; `levels` are the level of each row, 0 for rows outside of levels."""

    rows: list[list[Spot]]
    levels: list[int]
    style: Style
    gaps: dict[tuple[int, int], float] = field(default_factory=dict)
    """(row, number of spots before it) -> least width of a gap through which lines pass."""

    @property
    def spots(self) -> dict[str, Spot]:
        """Spots by the name of their block."""
        return {spot.box.block.name: spot for row in self.rows for spot in row}

    def free(self, row: int, place: int) -> tuple[float, float]:
        """The interval of a gap of a row in which lines may pass."""
        spots, clear = self.rows[row], self.style.pitch * 0.8
        low = spots[place - 1].end + spots[place - 1].right + clear if place else float("-inf")
        high = spots[place].start - spots[place].left - clear if place < len(spots) else float("inf")
        return low, high


def rows_of(figure: Figure) -> list[tuple[int, list[Block]]]:
    """The blocks from bottom to top, each row with its level (0: none)."""
    rows = [(0, figure.across(figure.of_form("inputs")))]
    rows += [(0, row) for row in figure.bottom()]
    for level in range(1, figure.levels + 1):
        rows += [(level, row) for row in figure.rows(level)]
    rows += [(0, row) for row in (*figure.towers(), *figure.top())]
    return _upward(figure, [(level, row) for level, row in rows if row])


def _upward(figure: Figure, rows: list[tuple[int, list[Block]]]) -> list[tuple[int, list[Block]]]:
    """Moves blocks that would read their own row, such as an input that reads another one, to a separate row above."""
    for number, (level, row) in enumerate(rows):
        below = {block.name for _, earlier in rows[:number] for block in earlier}
        late = [b for b in row if not below.issuperset(arrow.tail for arrow in figure.reads[b.name])]
        if late and len(late) < len(row):
            kept = [block for block in row if block not in late]
            return _upward(figure, [*rows[:number], (level, kept), (level, late), *rows[number + 1 :]])
    return rows


def arrange(figure: Figure, boxed: Callable[[Block], Box], style: Style) -> Grid:
    """The boxes of a figure in rows and lanes; they have no positions yet."""
    found = rows_of(figure)
    places = _apart(figure, [row for _, row in found])
    lanes = _lanes([[places[block.name] for block in row] for _, row in found])
    rows = []
    for number, (_, row) in enumerate(found):
        spots = [Spot(boxed(block), number, lanes[number, places[block.name]]) for block in row]
        rows.append(sorted(spots, key=lambda spot: spot.lane))
    return Grid(rows, [level for level, _ in found], style)


def _apart(figure: Figure, rows: Sequence[Sequence[Block]]) -> dict[str, float]:
    """The places of blocks; a shared block that would be in a task's lane gets a separate lane next to it."""
    taken = {(figure.places[b.name], number) for number, row in enumerate(rows) for b in row if b.owner is not None}
    shared = [(block, number) for number, row in enumerate(rows) for block in row if block.owner is None]
    crowded = {figure.places[block.name] for block, number in shared if (figure.places[block.name], number) in taken}
    beside = {block.name for block, _ in shared if figure.places[block.name] in crowded}
    return {name: place + NEAR * (name in beside) for name, place in figure.places.items()}


def _lanes(rows: Sequence[Sequence[float]]) -> dict[tuple[int, float], float]:
    """(row, place) -> lane: places that nearly agree and are never in the same row share a lane."""
    inside: dict[float, set[int]] = {}
    for number, row in enumerate(rows):
        for place in row:
            inside.setdefault(place, set()).add(number)
    merged: list[list[float]] = []
    for place in sorted(inside):
        last = merged[-1] if merged else []
        taken = set().union(*(inside[other] for other in last)) if last else set()
        if last and place - last[0] < NEAR and taken.isdisjoint(inside[place]):
            last.append(place)
        else:
            merged.append([place])
    lanes = {place: sorted(group)[len(group) // 2] for group in merged for place in group}
    return {(number, place): lanes[place] for number, row in enumerate(rows) for place in row}


Cell = tuple[float, list[Spot]]


def settle(grid: Grid, pulls: Iterable[tuple[str, str]]) -> None:
    """Gives every spot above the inputs its x: the narrowest grid without overlaps, joined lanes near each other.

    Args:
        grid: rows of boxes.
        pulls: pairs of blocks that a line joins.
    """
    cells = [[(lane, list(row)) for lane, row in groupby(spots, lambda spot: spot.lane)] for spots in grid.rows[1:]]
    lanes = sorted({lane for row in cells for lane, _ in row})
    bounds = [bound for row in cells for bound in _bounds(grid, row)]
    low = _pushed(lanes, bounds, {lane: _least(grid, cells, lane) for lane in lanes})
    width = max((low[lane] + _reach(grid, row[-1:], "end") for row in cells for lane, _ in row[-1:]), default=0.0)
    most = {-lane: -width + _greatest(grid, cells, lane) for lane in lanes}
    high = _pushed([-lane for lane in reversed(lanes)], [(-b, -a, d) for a, b, d in bounds], most)
    xs = {lane: (low[lane] - high[-lane]) / 2 for lane in lanes}
    spots = grid.spots
    ends = [(spots[one], spots[other]) for one, other in pulls]
    joined = [(one.lane, other.lane) for one, other in ends if one.row and one.lane != other.lane]
    _relax(
        xs, bounds, joined, {lane: (_least(grid, cells, lane), width - _greatest(grid, cells, lane)) for lane in lanes}
    )
    for row in cells:
        for lane, members in row:
            _place(grid, xs[lane], members)


def settle_inputs(grid: Grid, wishes: Sequence[float]) -> None:
    """Gives the boxes of the bottom row their x: in the order of the wanted positions, as near to them as possible."""
    order = sorted(range(len(wishes)), key=lambda place: wishes[place])
    grid.rows[0] = [grid.rows[0][place] for place in order]
    steps = [0.0]
    for one, other in pairwise(grid.rows[0]):
        steps.append(steps[-1] + (one.box.width + other.box.width) / 2 + grid.style.gap)
    shifted = ascending(wishes[place] - step for place, step in zip(order, steps, strict=True))
    for spot, step, x in zip(grid.rows[0], steps, shifted, strict=True):
        spot.x = x + step


def ascending(wishes: Iterable[float]) -> list[float]:
    """The ascending numbers that are nearest to the wishes: those in the wrong order get their mean.

    >>> ascending([1.0, 4.0, 2.0])
    [1.0, 3.0, 3.0]
    """
    blocks: list[tuple[float, int]] = []  # a mean, and of how many
    for wish in wishes:
        blocks.append((wish, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (one, n), (other, m) = blocks[-2:]
            blocks[-2:] = [((one * n + other * m) / (n + m), n + m)]
    return [mean for mean, count in blocks for _ in range(count)]


def _span(grid: Grid, members: Sequence[Spot]) -> float:
    """From the left edge of the first box to the right edge of the last one."""
    inner = sum(one.right + _gap(grid, other) + other.left for one, other in pairwise(members))
    return inner + sum(spot.box.width for spot in members)


def _halves(grid: Grid, members: Sequence[Spot]) -> tuple[float, float]:
    """How far a cell reaches to the left and to the right of its lane, lines to its sides included."""
    half = _span(grid, members) / 2
    return half + members[0].left, half + members[-1].right


def _gap(grid: Grid, after: Spot) -> float:
    """The width of the gap on the left of a spot."""
    place = grid.rows[after.row].index(after)
    return max(grid.style.gap, grid.gaps.get((after.row, place), 0.0))


def _bounds(grid: Grid, row: Sequence[Cell]) -> Iterable[tuple[float, float, float]]:
    for (one, left), (other, right) in pairwise(row):
        yield one, other, _halves(grid, left)[1] + _gap(grid, right[0]) + _halves(grid, right)[0]


def _reach(grid: Grid, row: Sequence[Cell], side: str) -> float:
    ((_, members),) = row
    number = members[0].row
    place = 0 if side == "start" else len(grid.rows[number])
    return _halves(grid, members)[side == "end"] + grid.gaps.get((number, place), 0.0)


def _least(grid: Grid, cells: Sequence[Sequence[Cell]], lane: float) -> float:
    return max((_reach(grid, row[:1], "start") for row in cells if row and row[0][0] == lane), default=0.0)


def _greatest(grid: Grid, cells: Sequence[Sequence[Cell]], lane: float) -> float:
    return max((_reach(grid, row[-1:], "end") for row in cells if row and row[-1][0] == lane), default=0.0)


def _pushed(
    lanes: Sequence[float], bounds: Sequence[tuple[float, float, float]], least: dict[float, float]
) -> dict[float, float]:
    xs: dict[float, float] = {}
    after: dict[float, list[tuple[float, float]]] = {}
    for one, other, distance in bounds:
        after.setdefault(other, []).append((one, distance))
    for lane in lanes:
        xs[lane] = max([least[lane], *(xs[one] + distance for one, distance in after.get(lane, []))])
    return xs


def _relax(
    xs: dict[float, float], bounds: Sequence[tuple[float, float, float]], joined: Sequence[tuple[float, float]],
    limits: dict[float, tuple[float, float]],
) -> None:  # fmt: skip
    """Moves each lane towards the mean of the lanes that lines join it to, as far as its neighbours allow."""
    friends: dict[float, list[float]] = {lane: [] for lane in xs}
    for one, other in joined:
        friends[one].append(other)
        friends[other].append(one)
    left: dict[float, list[tuple[float, float]]] = {lane: [] for lane in xs}
    right: dict[float, list[tuple[float, float]]] = {lane: [] for lane in xs}
    for one, other, distance in bounds:
        left[other].append((one, distance))
        right[one].append((other, distance))
    for _ in range(30):
        for lane in xs:
            if not friends[lane]:
                continue
            low = max([limits[lane][0], *(xs[one] + distance for one, distance in left[lane])])
            high = min([limits[lane][1], *(xs[other] - distance for other, distance in right[lane])])
            wish = sum(xs[other] for other in friends[lane]) / len(friends[lane])
            if low <= high:
                xs[lane] = min(max(wish, low), high)


def _place(grid: Grid, x: float, members: Sequence[Spot]) -> None:
    at = x - _span(grid, members) / 2
    for number, spot in enumerate(members):
        at += (members[number - 1].right + _gap(grid, spot) + spot.left) if number else 0.0
        spot.x = at + spot.box.width / 2
        at += spot.box.width
