"""A figure as Mermaid text, for places that render it themselves: README files, issues, notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from archspec import palette
from archspec.diagnostics import visible
from archspec.render.alike import MOST_ALIKE, fold_alike
from archspec.render.fold import fold

if TYPE_CHECKING:
    from collections.abc import Iterator

    import networkx as nx

    from archspec.render.figure import Arrow, Block, Figure

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
    experts starts at the group.
    """
    figure = fold(fold_alike(graph, MOST_ALIKE), selectors=selectors, collapse=collapse)
    names = {block: f"n{i}" for i, block in enumerate(figure.blocks)}
    lines = ["flowchart BT", *_boxes(figure, names), *dict.fromkeys(_arrow(arrow, names) for arrow in figure.arrows)]
    head = [f"%% {_words(figure.name)}"] if caption else []
    return "\n".join([*head, lines[0], *(f"  {line}" for line in (*lines[1:], *_classes(figure))), ""])


def _boxes(figure: Figure, names: dict[str, str]) -> Iterator[str]:
    levels = {block.level for block in figure.blocks.values() if block.form in {"group", "gate"}}
    for block in figure.blocks.values():
        if block.form not in {"group", "gate"}:
            yield _box(figure, block, names)
    for level in sorted(levels):
        yield f'subgraph level{level} ["Level {level}"]'
        for block in figure.of_level(level, "group", "gate"):
            yield f"  {_box(figure, block, names)}"
        yield "end"


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


def _class(figure: Figure, block: Block) -> str:
    if block.form in {"inputs", "feature_gate", "block"}:
        return "input"
    return f"task{figure.tasks.index(block.owner)}" if block.owner in figure.tasks else "shared"


def _classes(figure: Figure) -> Iterator[str]:
    hues = {"input": palette.SAND, "shared": palette.GREY}
    hues |= {f"task{i}": palette.hue(task, figure.tasks) for i, task in enumerate(figure.tasks)}
    for name, hue in hues.items():
        yield f"classDef {name} fill:{hue.fill},stroke:{hue.line},color:{palette.INK}"


def _words(text: str) -> str:
    return "".join(ENTITIES.get(letter, letter) for letter in visible(" ".join(text.split())))
