"""A figure as a scene: boxes on the lane grid, lines through it, frames around levels, legend and caption below."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from archspec.render import legend, passes, pins, tracks, wires
from archspec.render.changes import MARGIN, marked
from archspec.render.forms import Fit, box
from archspec.render.grid import Spot, arrange, settle, settle_inputs
from archspec.render.nets import nets_of
from archspec.render.scene import Item, Scene, Text, rectangle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.render.boxes import Box
    from archspec.render.figure import Block, Figure
    from archspec.render.grid import Grid
    from archspec.render.nets import Net
    from archspec.render.paint import Paint

EDGE: Final = 3.0  # around the whole figure
FEW: Final = 4  # of more boxes of inputs than this, each may be narrower
FRAME: Final = 6.0  # between a level's frame and what is in it


def compose(figure: Figure, paint: Paint, *, caption: bool = True, keys: bool = True) -> Scene:
    """The scene of a figure, in its natural size. `caption`: name and remarks; `keys`: the legend."""
    nets = nets_of(figure)
    grid, routes = _arranged(figure, nets, paint)
    placed = pins.place(grid, nets, routes)
    found = [tracks.assign(placed, channel) for channel in range(len(grid.rows) - 1)]
    heights, height = _heights(grid, found)
    items = [*_frames(figure, grid, placed, paint)]
    items += [wires.drawn(wires.Sketch(figure, placed, heights, paint), i, net) for i, net in enumerate(nets)]
    items += [_marked(spot.box, paint).moved(spot.start, spot.y) for row in grid.rows for spot in row]
    left, right = _extent(grid, placed)
    levelled = any(grid.levels)
    left, right = left - (FRAME + paint.style.label + 6 if levelled else 0), right + (FRAME if levelled else 0)
    notes = []
    if keys:
        item, tall = legend.legend(figure, nets, paint, right - left)
        notes.append((item, tall))
    if caption:
        notes.append(legend.caption(figure, paint, right - left))
    edge = EDGE + (MARGIN if any(spot.box.block.change for row in grid.rows for spot in row) else 0)
    y = height + edge - EDGE + 6
    for item, tall in notes:
        items.append(item.moved(left, y - edge + EDGE))
        y += tall + (3 if tall else 0)
    return Scene(
        right - left + 2 * edge, y + EDGE, paint.theme.paper, figure.name, _summary(figure),
        tuple(item.moved(edge - left, edge) for item in items), _widest(grid),
    )  # fmt: skip


def _marked(box: Box, paint: Paint) -> Item:
    """The item of a box, with the mark of its change, in a figure of two specs."""
    return marked(box.item, (0.0, 0.0, box.width, box.height), box.block.change, paint.theme.back)


def _arranged(figure: Figure, nets: Sequence[Net], paint: Paint) -> tuple[Grid, passes.Passes]:
    adding = {head for net in nets if net.role == "residual" for head, _ in net.heads}
    boxed = partial(_boxed, paint=paint, adding=adding)
    grid = arrange(figure, boxed, paint.style)
    pulls = [(tail, head) for net in nets if not net.controls for tail, _ in net.tails for head, _ in net.heads]
    settle(grid, pulls)
    routes: passes.Passes = {}
    for _ in range(3):
        _lay_inputs(grid, nets, paint)
        pins.reserve(grid, nets)
        grid.gaps.clear()
        routes = passes.choose(grid, nets)
        passes.widen(grid, routes)
        settle(grid, pulls)
    _lay_inputs(grid, nets, paint)
    return grid, routes


def _boxed(block: Block, *, paint: Paint, adding: set[str]) -> Box:
    return box(block, paint, Fit(residual=block.name in adding))


def _lay_inputs(grid: Grid, nets: Sequence[Net], paint: Paint) -> None:
    """Places the inputs below the blocks that they feed: a single box becomes a bar, several share the width."""
    spots = [spot for row in grid.rows[1:] for spot in row]
    if not spots:
        settle_inputs(grid, [0.0] * len(grid.rows[0]))
        return
    left, right = min(spot.start for spot in spots), max(spot.end for spot in spots)
    bottom, count = grid.rows[0], len(grid.rows[0])
    blocks = [spot.box.block for spot in bottom]
    if count == 1:
        grid.rows[0] = [Spot(box(blocks[0], paint, Fit(across=right - left)), 0, 0.0, (left + right) / 2)]
        return
    share = (right - left - paint.style.gap * (count - 1)) / count
    least = paint.style.inputs if count <= FEW else paint.style.wrap * 0.8
    limit = min(max(share - 2 * paint.style.pad - 4, least), paint.style.wrap * 2.2)
    grid.rows[0] = [Spot(box(block, paint, Fit(limit=limit)), 0, 0.0) for block in blocks]
    wishes = [_wish(grid, nets, block.name, (left + right) / 2) for block in blocks]
    settle_inputs(grid, wishes)


def _wish(grid: Grid, nets: Sequence[Net], name: str, middle: float) -> float:
    """The mean position of the blocks that a box of inputs feeds, or else of those that it controls."""
    spots = grid.spots
    found: dict[bool, list[float]] = {}
    for net in nets:
        if any(tail == name for tail, _ in net.tails):
            found.setdefault(net.controls, []).extend(spots[head].x for head, _ in net.heads)
    xs = found.get(False) or found.get(True) or [middle]
    return sum(xs) / len(xs)


def _heights(grid: Grid, found: Sequence[dict[int, int]]) -> tuple[wires.Heights, float]:
    """Gives every spot its y, from the outputs downwards."""
    style, y = grid.style, 0.0
    middles: list[float] = [0.0] * len(grid.rows)
    ys: dict[tuple[int, int], float] = {}
    for row in reversed(range(len(grid.rows))):
        tall = max(spot.box.height for spot in grid.rows[row])
        if _starts(grid, row):
            y += FRAME
        for spot in grid.rows[row]:
            spot.y = y + (tall - spot.box.height) / 2 * (row > 0)  # the inputs' upper edges are at one height
        middles[row] = y + tall / 2
        y += tall
        if row == 0:
            break
        if _ends(grid, row):
            y += FRAME
        count = 1 + max(found[row - 1].values(), default=-1)
        y += style.rise * 0.5
        for net, track in found[row - 1].items():
            ys[row - 1, net] = y + style.pitch * (count - 1 - track)
        y += max(count - 1, 0) * style.pitch + style.rise * 0.5
    return wires.Heights(tuple(middles), ys), y


def _starts(grid: Grid, row: int) -> bool:
    """Whether a level's frame begins above this row."""
    return grid.levels[row] > 0 and (row + 1 == len(grid.rows) or grid.levels[row + 1] != grid.levels[row])


def _ends(grid: Grid, row: int) -> bool:
    return grid.levels[row] > 0 and (row == 0 or grid.levels[row - 1] != grid.levels[row])


def _extent(grid: Grid, placed: pins.Wires) -> tuple[float, float]:
    spots = [spot for row in grid.rows for spot in row]
    xs = [pin.x for found in (*placed.below.values(), *placed.above.values()) for pin in found]
    left = min([spot.start - spot.left for spot in spots] + [x - 3 for x in xs])
    return left, max([spot.end + spot.right for spot in spots] + [x + 3 for x in xs])


def _frames(figure: Figure, grid: Grid, placed: pins.Wires, paint: Paint) -> list[Item]:
    """The frame of each level, with its name in a strip on the left that no line crosses."""
    left, right = _extent(grid, placed)
    strip = grid.style.label + 6
    items = []
    for level in dict.fromkeys(level for level in grid.levels if level):
        rows = [row for row, other in enumerate(grid.levels) if other == level]
        spots = [spot for row in rows for spot in grid.rows[row]]
        top = min(spot.y for spot in spots) - FRAME
        bottom = max(spot.y + spot.box.height for spot in spots) + FRAME
        frame = rectangle(left - FRAME - strip, top, right - left + 2 * FRAME + strip, bottom - top,
                          stroke=paint.theme.frame, width=0.7, radius=6)  # fmt: skip
        name = Text(
            left - FRAME - 4,
            (top + bottom) / 2,
            figure.level_name(level),
            grid.style.label,
            paint.theme.muted,
            turned=True,
        )
        items.append(Item("level", (frame, name), {"id": f"level-{level}", "data-level": str(level)}))
    return items


def _widest(grid: Grid) -> str:
    """The names in the widest row."""
    row = max(grid.rows[1:] or grid.rows, key=lambda row: sum(spot.box.width for spot in row))
    names = [spot.box.block.name for spot in row]
    listed = ", ".join(f"`{name}`" for name in names[:3]) + (", ..." if len(names) > 3 else "")  # noqa: PLR2004
    if len(names) == 1:
        return f", or reduce the parts of {listed}, its widest block, or shorten their names"
    return f", or reduce the {len(names)} blocks of its widest row ({listed})"


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}{'s' * (count != 1)}"


def _summary(figure: Figure) -> str:
    """A sentence that describes the figure to people who cannot see it."""
    most = 8  # more names of tasks would only be read aloud one by one
    names = ", ".join(figure.tasks[:most]) + ", …" * (len(figure.tasks) > most)
    said = [f"{_many(len(figure.tasks), 'task')} ({names})"]
    if figure.levels:
        groups, gates = len(figure.of_form("group")), len(figure.of_form("gate"))
        said += [f"{_many(figure.levels, 'level')} with {_many(groups, 'group')} of experts and {_many(gates, 'gate')}"]
    return f"{figure.name}: {'; '.join(said)}. {figure.about}".strip()
