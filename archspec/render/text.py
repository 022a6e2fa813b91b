"""A figure as a tree of lines for a terminal: the blocks from bottom to top, and what each of them reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from archspec.diagnostics import visible
from archspec.render.fold import fold
from archspec.spec.categories import BOTTOM

SINGULAR: Final[dict[str, str]] = {
    "gates": "gate", "towers": "tower", "tasks": "",
    **{section: category.replace("_", " ") for section, category in BOTTOM.items()},
}  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Iterator

    import networkx as nx

    from archspec.render.figure import Block, Figure


def to_text(graph: nx.DiGraph[str], *, selectors: bool = False, collapse: int | None = None, title: bool = True) -> str:
    """The figure of a checked graph as text; the arguments are those of `to_dot`.

    An arrow starts at the stream that is read. `~` marks streams read without a gradient, brackets mark selectors.
    """
    figure = fold(graph, selectors=selectors, collapse=collapse)
    head = [_plain(f"{figure.name}  {figure.about}")] if title else []
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
        if found := [block for block in blocks if block.form == "block" and block.name.startswith(f"{section}.")]:
            yield section.replace("_", " "), found
    for level in range(1, figure.levels + 1):
        yield f"level {level}", figure.of_level(level, "group", "gate")
    yield "towers", [block for block in blocks if block.form in {"tower", "switch", "case"}]
    if fusions := [block for block in blocks if block.form in {"fusion", "penalty"}]:
        yield "fusion", fusions
    yield "outputs", [block for block in blocks if block.form == "output"]


def _line(figure: Figure, block: Block) -> str:
    words = [_short(block.name) if block.form != "inputs" else block.title]
    if block.parts:
        part = block.parts[0]
        words.append(part.title + (f" × {len(block.parts)}" if len(block.parts) > 1 else ""))
        words.append(part.detail)
    else:
        words += block.small
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
    return inputs.title if inputs.detail.isdecimal() else inputs.detail.partition(" : ")[0] or inputs.title


def _short(name: str) -> str:
    """`experts ctr`, `gate ctr`, `towers ctr`: a canonical name in words, without its level."""
    parts = name.split(".")
    words = parts[1:] if parts[0].startswith("level") else parts
    return " ".join(word for word in (SINGULAR.get(words[0], words[0]), *words[1:]) if word)


def _plain(text: str) -> str:
    return visible(text)
