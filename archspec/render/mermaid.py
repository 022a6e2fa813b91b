"""A figure as Mermaid text, for places that render it themselves: README files, issues, notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from archspec import palette
from archspec.render.alike import MOST_ALIKE, fold_alike
from archspec.render.fold import fold
from archspec.render.letters import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import networkx as nx

    from archspec.palette import Hue
    from archspec.render.figure import Arrow, Block, Figure

MOST_EDGES, MOST_CHARACTERS = 500, 50_000
"""The limits of Mermaid's default configuration: `maxEdges` and `maxTextSize`."""

FOLDS: Final = ((MOST_ALIKE, None), (MOST_ALIKE, 1), (2, 1), (1, 1))
"""How many alike streams, and experts of a group, are drawn one by one: tried until the text is small enough."""

SHAPES: Final = {
    "group": ("[", "]"),
    "gate": ("[/", "\\]"),
    "feature_gate": ("[/", "\\]"),
    "fusion": ("((", "))"),
    "penalty": ("((", "))"),
    "output": ("([", "])"),
}
ENTITIES: Final = {"#": "#35;", "&": "#amp;", "<": "#lt;", ">": "#gt;", '"': "#quot;", "`": "#96;", "\\": "#92;"}


def to_mermaid(
    graph: nx.MultiDiGraph[str], *, selectors: bool = False, collapse: int | None = None, caption: bool = True
) -> str:
    """The figure of a checked graph as a Mermaid flow chart; the arguments are those of `to_dot`.

    Mermaid cannot attach arrows to parts of a box, so a group is one box with a count, and an arrow from one of its
    experts starts at the group. Boxes are listed from left to right, which Mermaid mostly keeps. Mermaid refuses charts
    of more than 500 arrows or 50,000 characters, so nodes that are alike are folded until the text is smaller; if
    that is not enough, a comment says so.
    """
    text = ""
    for alike, limit in FOLDS:
        figure = fold(fold_alike(graph, alike), selectors=selectors, collapse=collapse or limit)
        text = _chart(figure, caption=caption)
        if len(figure.arrows) <= MOST_EDGES and len(text) <= MOST_CHARACTERS:
            return text
    return f"%% too large for Mermaid's defaults: raise maxEdges and maxTextSize in its configuration\n{text}"


def _chart(figure: Figure, *, caption: bool) -> str:
    blocks = list(_in_lanes(figure))
    names = {block.name: f"n{number}" for number, block in enumerate(blocks)}
    order = {block.name: place for place, block in enumerate(blocks)}
    arrows = sorted(figure.arrows, key=lambda arrow: (order[arrow.head], order[arrow.tail]))
    shafts = {_arrow(arrow, names): _owner(figure, figure.blocks[arrow.head]) for arrow in arrows}
    head = [f"%% {_words(figure.name)}"] if caption else []
    spoken = [f"accTitle: {_spoken(figure.name)}", f"accDescr: {_spoken(figure.about or figure.name)}"]
    lines = [*spoken, *_boxes(figure, blocks, names), *shafts, *_classes(figure, blocks), *_links(figure, shafts)]
    return "\n".join([*head, "flowchart BT", *(f"  {line}" for line in lines), ""])


def _in_lanes(figure: Figure) -> Iterator[Block]:
    """All blocks from bottom to top, and from left to right in a row."""
    levels = [row for level in range(1, figure.levels + 1) for row in figure.rows(level)]
    inputs = figure.across(figure.of_form("inputs"))
    for row in (inputs, *figure.bottom(), *levels, *figure.towers(), *figure.top()):
        yield from row


def _boxes(figure: Figure, blocks: Iterable[Block], names: dict[str, str]) -> Iterator[str]:
    level = 0
    for block in blocks:
        inside = block.level if block.form in {"group", "gate"} else 0
        if inside != level:
            yield from ["end"] * bool(level)
            yield from [f'subgraph level{inside} ["{figure.level_name(inside)}"]'] * bool(inside)
            level = inside
        yield f"{'  ' * bool(inside)}{_box(figure, block, names)}"
    yield from ["end"] * bool(level)


def _box(figure: Figure, block: Block, names: dict[str, str]) -> str:
    left, right = SHAPES.get(block.form, ("(", ")"))
    texts = [block.title, *block.small]
    if block.parts:
        part = block.parts[0]
        count = f" \u00d7 {len(block.parts)}" if len(block.parts) > 1 else ""
        texts = [part.title + count, part.detail, *part.words, block.title, *block.small]
    label = "<br/>".join(_words(text) for text in texts if text)
    return f'{names[block.name]}{left}"{label}"{right}:::{_class(figure, block)}'


def _arrow(arrow: Arrow, names: dict[str, str]) -> str:
    shaft = "-.->" if arrow.controls or arrow.detached or (arrow.role == "sees" and not arrow.own) else "-->"
    return f"{names[arrow.tail]} {shaft} {names[arrow.head]}"


def _owner(figure: Figure, block: Block) -> int | None:
    """The number of the task that a block belongs to; None for a shared one."""
    return figure.tasks.index(block.owner) if block.owner in figure.tasks else None


def _class(figure: Figure, block: Block) -> str:
    """The class of a block: `task0` for a task's, or `mixed0` if other tasks also train it."""
    if block.form in {"inputs", "feature_gate", "block"}:
        return "input"
    owner = _owner(figure, block)
    if owner is None:
        return "shared"
    return f"{'task' if block.alone else 'mixed'}{owner}"


def _hue(figure: Figure, owner: int | None) -> Hue:
    return palette.GREY if owner is None else palette.hue(figure.tasks[owner], figure.tasks)


def _classes(figure: Figure, blocks: Iterable[Block]) -> Iterator[str]:
    """The styles of the classes that are used; the frames of levels are not filled."""
    used = dict.fromkeys((_class(figure, block), _owner(figure, block)) for block in blocks)
    for name, owner in sorted(used, key=lambda item: item[0]):
        hue = palette.SAND if name == "input" else _hue(figure, owner)
        fill = palette.GREY.fill if name.startswith("mixed") else hue.fill
        yield f"classDef {name} fill:{fill},stroke:{hue.line},color:{palette.INK}"
    if figure.levels:
        yield f"classDef level fill:none,stroke:{palette.FRAME},color:{palette.GREY.text}"
        yield f"class {','.join(f'level{level}' for level in range(1, figure.levels + 1))} level"


def _links(figure: Figure, shafts: dict[str, int | None]) -> Iterator[str]:
    """The colours of the arrows: each has the hue of its target."""
    numbers: dict[int | None, list[int]] = {}
    for number, owner in enumerate(shafts.values()):
        numbers.setdefault(owner, []).append(number)
    for owner, own in numbers.items():
        yield f"linkStyle {','.join(map(str, own))} stroke:{_hue(figure, owner).line}"


def _words(text: str) -> str:
    return "".join(ENTITIES.get(letter, letter) for letter in plain(text))


def _spoken(text: str) -> str:
    """Text for screen readers; Mermaid reads it unchanged, up to the end of the line or a character with a meaning."""
    return "".join(" " if letter in "#;{}<>%" else letter for letter in plain(text)).strip()
