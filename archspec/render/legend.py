"""The legend, which explains the marks that a figure uses and no others, and the caption."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from archspec.render import marks
from archspec.render.changes import COLOURS, R, sign
from archspec.render.letters import LEADING, width, wrap
from archspec.render.scene import Circle, Item, Path, Text, rectangle
from archspec.render.wires import DASHES, HEAD, KNOB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from archspec.palette import Hue
    from archspec.render.figure import Figure
    from archspec.render.nets import Net
    from archspec.render.paint import Paint
    from archspec.render.scene import Shape

    Sample = Callable[[float, float], list[Shape]]

SAMPLE: Final = 17.0  # width of a mark in the legend
SPACE: Final = 10.0  # between two entries


def legend(figure: Figure, nets: Sequence[Net], paint: Paint, across: float) -> tuple[Item, float]:
    """The legend in lines of at most `across` points, from (0, 0) downwards, and its height."""
    size, line = paint.style.detail, paint.style.detail * LEADING + 3
    shapes: list[Shape] = []
    x, y = 0.0, 0.0
    for sample, said, wide in _entries(figure, nets, paint):
        for number, text in enumerate(wrap(said, size, across - wide - 4)):
            needed = wide + 4 + width(text, size) if number == 0 else across
            if (x and x + needed > across) or number:
                x, y = 0.0, y + line
            if number == 0:
                shapes += sample(x, y + line / 2)
            shapes.append(Text(x + wide + 4, y + line / 2 + size * 0.35, text, size, paint.theme.muted, anchor="start"))
            x += wide + 4 + width(text, size) + SPACE
    return Item("legend", tuple(shapes)), (y + line if shapes else 0.0)


def _entries(figure: Figure, nets: Sequence[Net], paint: Paint) -> Iterator[tuple[Sample, str, float]]:
    theme = paint.theme
    looks = {net.role: net for net in nets}
    if any(net.role == "sees" and not net.own and not net.detached for net in nets) and any(net.own for net in nets):
        yield _line(paint.theme.shared.line, 1.1, DASHES["foreign"]), "experts that are not the gate's own", SAMPLE
    if any(net.controls and not net.detached for net in nets):
        yield _control(theme.muted, ()), _steering(nets), SAMPLE
    if any(block.tokens for block in figure.blocks.values()):
        yield _strip(theme.input, paint), "a list of tokens", 3 * marks.CELL
    if "residual" in looks:
        yield _residual(paint), "adds a stream", 9.0
    if any(net.detached for net in nets):
        yield _detached(theme.muted), "no gradient flows back", SAMPLE
    if len(paint.tasks) > 1:
        yield from _training(figure, paint)
    parts = [part.change for block in figure.blocks.values() for part in block.parts]
    changes = {*parts, *(block.change for block in figure.blocks.values()), *(net.change for net in nets)}
    for change in (change for change in COLOURS if change in changes):
        yield _changed(change, theme.back), change, 2 * R


def _steering(nets: Sequence[Net]) -> str:
    """`steers: selector, query`: the roles of the lines that control a block."""
    found = [net.role.rpartition(".")[2] for net in nets if net.controls and not net.detached]
    roles = dict.fromkeys("domain" if role == "column" else role for role in found)
    return f"steers ({', '.join(role.replace('_', ' ') for role in roles)})"


def _training(figure: Figure, paint: Paint) -> Iterator[tuple[Sample, str, float]]:
    shown = [task for task in paint.tasks if any(block.owner == task for block in figure.blocks.values())]
    if len(paint.tasks) <= marks.MOST_DOTS:
        wide = len(paint.tasks) * (paint.style.dot + 1.6)
        said = "trained by the loss of " + ", ".join(paint.tasks)
        yield (lambda x, y: marks.row(paint.tasks, x + wide / 2, y, paint)), said, wide
    blocks = [
        block for block in figure.blocks.values() if block.owner in shown and block.form not in {"output", "gate"}
    ]
    alone = next((block for block in blocks if block.trained == (block.owner,) and not block.many), None)
    others = next((block for block in blocks if len(block.trained) > 1 or block.many), None)
    if alone and others:
        yield _swatch(paint.block(alone).fill, paint.block(alone).line), "trained by its own task alone", 11.0
        yield _swatch(paint.block(others).fill, paint.block(others).line), "its own, trained by others too", 11.0


def _line(colour: str, thick: float, dash: tuple[float, ...]) -> Sample:
    return lambda x, y: [Path(((x, y), (x + SAMPLE, y)), colour, thick, dash=dash)]


def _changed(change: str, back: str) -> Sample:
    return lambda x, y: [*sign(x + R, y, change, back)]


def _control(colour: str, dash: tuple[float, ...]) -> Sample:
    return lambda x, y: [
        Path(((x, y), (x + SAMPLE - 2 * KNOB, y)), colour, 0.8, dash=dash),
        Circle(x + SAMPLE - KNOB, y, KNOB, fill=colour),
    ]


def _detached(colour: str) -> Sample:
    return lambda x, y: [
        Path(((x + 3, y - 3.2), (x + 3, y + 3.2)), colour, 1.5),
        Path(((x, y), (x + SAMPLE, y)), colour, 1.2, dash=DASHES["detached"]),
    ]


def _residual(paint: Paint) -> Sample:
    return lambda x, y: marks.plus(x + 4.5, y, 4.0, paint.theme.shared.line, paint.theme.back)


def _strip(hue: Hue, paint: Paint) -> Sample:
    cell = marks.CELL
    return lambda x, y: [
        rectangle(x + cell * place, y - cell / 2, cell, cell, fill=paint.theme.back, stroke=hue.line, width=0.8)
        for place in range(3)
    ]


def _swatch(fill: str, line: str) -> Sample:
    return lambda x, y: [rectangle(x, y - HEAD * 0.8, 11, HEAD * 1.6, fill=fill, stroke=line, radius=2)]


def caption(figure: Figure, paint: Paint, across: float) -> tuple[Item, float]:
    """Name, `about` and remarks, wrapped to `across` points, and the height."""
    size = paint.style.label
    shapes: list[Shape] = []
    gap = width("  ", size)
    start = width(figure.name, size, bold=True) + gap
    about = wrap(figure.about, size, across) if figure.about else []
    first = wrap(figure.about, size, across - start)[:1] if figure.about else []
    shapes.append(Text(0, size, figure.name, size, paint.theme.ink, bold=True, anchor="start"))
    if first:
        shapes.append(Text(start, size, first[0], size, paint.theme.muted, anchor="start"))
        rest = figure.about.strip()[len(first[0]) :] if len(about) > 1 or first[0] != about[0] else ""
        about = wrap(rest, size, across)
    y = size * LEADING
    for said in (*about, *(line for remark in figure.remarks for line in wrap(remark, size, across))):
        shapes.append(Text(0, y + size, said, size, paint.theme.muted, anchor="start"))
        y += size * LEADING
    return Item("caption", tuple(shapes)), y + 2
