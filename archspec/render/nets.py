"""Arrows as nets: lines that may join several tails with several heads.

All streams that one head reads in one role are one net, so a gate's streams meet before they enter it. Selectors that
control several blocks of a level are one bus; so are more than six parallel lines if every tail goes to every head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archspec.render.figure import Arrow, Figure

PARALLEL: Final = 6  # more lines than this that join the same tails with the same heads become one bus

End = tuple[str, str | None]  # a block, and one part of it or None


@dataclass(frozen=True)
class Net:
    """`tails` to `heads`, each a block and a port; `owner` gives the hue, `own` is a task's line to its own gate."""

    tails: tuple[End, ...]
    heads: tuple[End, ...]
    role: str
    detached: bool
    controls: bool
    own: bool
    owner: str | None
    change: str = ""

    @property
    def name(self) -> str:
        """A name that depends only on the ends."""
        changed = [self.change] if self.change else []
        ends = [f"{block}.{port}" if port else block for block, port in (*self.tails, *self.heads)]
        return "-".join(["wire", self.role, *(["detached"] if self.detached else []), *changed, *ends])


def nets_of(figure: Figure) -> list[Net]:
    """The nets of a figure, in the order of its arrows."""
    heads: dict[tuple[object, ...], list[Arrow]] = {}
    for arrow in figure.arrows:
        level = figure.blocks[arrow.tail].level if arrow.controls else 0
        look = (arrow.role, arrow.detached, arrow.own, arrow.change)
        heads.setdefault((arrow.head, arrow.head_port, look, level), []).append(arrow)
    return list(_buses(figure, [_net(figure, arrows) for arrows in heads.values()]))


def _net(figure: Figure, arrows: list[Arrow]) -> Net:
    first = arrows[0]
    tails = tuple(dict.fromkeys((arrow.tail, arrow.tail_port) for arrow in arrows))
    head, tail = figure.blocks[first.head], figure.blocks[first.tail]
    # A line to a fusion or an output has the hue of its source; every other line that of its reader.
    owner = (tail.owner or head.owner) if head.form in {"fusion", "output"} else head.owner
    port = None if first.controls else first.head_port
    return Net(tails, ((first.head, port),), first.role, first.detached, first.controls, first.own, owner, first.change)


def _buses(figure: Figure, nets: list[Net]) -> Iterator[Net]:
    alike: dict[tuple[object, ...], list[Net]] = {}
    for net in nets:
        level = figure.blocks[net.heads[0][0]].level
        forms = figure.blocks[net.heads[0][0]].form
        alike.setdefault((frozenset(net.tails), net.role, net.detached, net.change, level, forms), []).append(net)
    for found in alike.values():
        straight = not found[0].controls and len(found[0].tails) == 1 and _is_inputs(figure, found[0])
        if found[0].controls or (len(found) * len(found[0].tails) > PARALLEL and not straight and len(found) > 1):
            yield _joined(found)
        else:
            yield from found


def _is_inputs(figure: Figure, net: Net) -> bool:
    return figure.blocks[net.tails[0][0]].form == "inputs"


def _joined(found: list[Net]) -> Net:
    first = found[0]
    heads = tuple(dict.fromkeys(head for net in found for head in net.heads))
    owners = {net.owner for net in found}
    return Net(
        first.tails, heads, first.role, first.detached, first.controls, all(net.own for net in found),
        owners.pop() if len(owners) == 1 else None, first.change,
    )  # fmt: skip
