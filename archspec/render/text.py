"""A figure as a tree of lines for a terminal: the blocks from bottom to top, and what each of them reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from archspec.diagnostics import visible
from archspec.render.alike import MOST_ALIKE, fold_alike
from archspec.render.fold import fold
from archspec.spec.categories import BOTTOM

SINGULAR: Final[dict[str, str]] = {
    "gates": "gate", "towers": "tower", "tasks": "",
    **{section: category.replace("_", " ") for section, category in BOTTOM.items()},
}  # fmt: skip

NAMES: Final = 6  # names of inputs that are listed; of more, two and a count

if TYPE_CHECKING:
    from collections.abc import Iterator

    import networkx as nx

    from archspec.render.figure import Block, Figure


def to_text(
    graph: nx.MultiDiGraph[str], *, selectors: bool = False, collapse: int | None = None, caption: bool = True
) -> str:
    """The figure of a checked graph as text; the arguments are those of `to_dot`.

    An arrow starts at the stream that is read. `~` marks streams read without a gradient, brackets mark selectors.
    """
    figure = fold(fold_alike(graph, MOST_ALIKE), selectors=selectors, collapse=collapse)
    head = [_plain(text) for text in (f"{figure.name}  {figure.about}", *figure.remarks)] if caption else []
    sections = list(_sections(figure))
    lines = []
    for place, (name, blocks) in enumerate(sections):
        last = place == len(sections) - 1
        lines.append(f"{'└─' if last else '├─'} {name}")
        bar = "   " if last else "│  "
        lines += [f"{bar}{'└─' if block is blocks[-1] else '├─'} {_plain(_line(figure, block))}" for block in blocks]
    return "\n".join([*head, *lines, ""])


def _sections(figure: Figure) -> Iterator[tuple[str, list[Block]]]:
    blocks = list(figure.blocks.values())
    yield "inputs", [block for block in blocks if block.form == "inputs"]
    for section in BOTTOM:
        forms = {"feature_gate", "block"}
        if found := [block for block in blocks if block.form in forms and block.name.startswith(f"{section}.")]:
            yield section.replace("_", " "), found
    for level in range(1, figure.levels + 1):
        yield f"level {level}", figure.of_level(level, "group", "gate")
    yield "towers", [block for block in blocks if block.form in {"tower", "switch"}]
    if fusions := [block for block in blocks if block.form in {"fusion", "penalty"}]:
        yield "fusion", fusions
    yield "outputs", [block for block in blocks if block.form == "output"]


def _line(figure: Figure, block: Block) -> str:
    words = [_short(block.name) if block.form != "inputs" else block.title]
    if block.parts:
        part = block.parts[0]
        words.append(part.title + (f" × {len(block.parts)}" if len(block.parts) > 1 else ""))
        words += [part.detail, *part.words, *block.small]
    else:
        words += [block.title] * (block.form == "gate") + list(block.small)
    return "  ".join(word for word in (*words, _reads(figure, block)) if word)


def _reads(figure: Figure, block: Block) -> str:
    sources: dict[str, None] = {}
    for arrow in figure.reads[block.name]:
        tail = figure.blocks[arrow.tail]
        name = _boxed(tail) if tail.form == "inputs" else _short(tail.name)
        part = f".{arrow.tail_port.removeprefix('e')}" if arrow.tail_port else ""
        text = f"{'~' if arrow.detached else ''}{name}{part}"
        sources[f"({text})" if arrow.controls else text] = None
    return "← " + ", ".join(sources) if sources else ""


def _boxed(inputs: Block) -> str:
    names = [name.partition(".")[2] or name for name in inputs.members]
    return ", ".join(names if len(names) <= NAMES else [*names[:2], f"+{len(names) - 2}"])


def _short(name: str) -> str:
    """`experts ctr`, `gate ctr`, `towers ctr`: a canonical name in words, without its level."""
    parts = name.split(".")
    words = parts[1:] if parts[0].startswith("level") else parts
    return " ".join(word for word in (SINGULAR.get(words[0], words[0]), *words[1:]) if word)


def _plain(text: str) -> str:
    return visible(text)
