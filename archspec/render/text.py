"""A figure as a tree of lines for a terminal: the blocks from bottom to top, and what each of them reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from archspec.diagnostics import visible
from archspec.render.alike import MOST_ALIKE, fold_alike
from archspec.render.fold import fold
from archspec.render.levels import fold_levels
from archspec.spec.categories import BOTTOM
from archspec.wrapping import WIDTH, wrap

SINGULAR: Final[dict[str, str]] = {
    "gates": "gate", "towers": "tower", "tasks": "",
    **{section: category.replace("_", " ") for section, category in BOTTOM.items()},
}  # fmt: skip

NAMES: Final = 6  # how many names of inputs are listed; if there are more, two and a count
HANGING: Final = "    "  # before the further lines of a block

if TYPE_CHECKING:
    from collections.abc import Iterator

    import networkx as nx

    from archspec.render.figure import Block, Figure


def to_text(
    graph: nx.MultiDiGraph[str], *, selectors: bool = False, collapse: int | None = None, caption: bool = True
) -> str:
    """The figure of a checked graph as text; the arguments are those of `to_dot`.

    An arrow starts at the streams that are read, with selectors in brackets after them; `~` marks streams that are read
    without a gradient. No line is longer than 80 characters, and no word is broken.
    """
    figure = fold(fold_alike(fold_levels(graph), MOST_ALIKE), selectors=selectors, collapse=collapse)
    lines = [line for text in _head(figure) for line in wrap(visible(text), WIDTH)] if caption else []
    sections = list(_sections(figure))
    for name, blocks in sections:
        last = name == sections[-1][0]
        lines.append(f"{'└─' if last else '├─'} {name}")
        bar = "   " if last else "│  "
        for block in blocks:
            branch, below = ("└─ ", "   ") if block is blocks[-1] else ("├─ ", "│  ")
            text, *more = _texts(figure, block)
            lines += _hung(f"{bar}{branch}", f"{bar}{below}", text)
            for place, one in enumerate(more, 1):
                inner, inside = ("└─ ", "   ") if place == len(more) else ("├─ ", "│  ")
                lines += _hung(f"{bar}{below}{inner}", f"{bar}{below}{inside}", one)
    return "\n".join([*lines, ""])


def _head(figure: Figure) -> tuple[str, ...]:
    return (f"{figure.name}  {figure.about}", *figure.remarks)


def _hung(first: str, further: str, text: str) -> list[str]:
    """A text after a branch of the tree, wrapped; `further` begins the lines below it."""
    line, *more = wrap(visible(text), WIDTH - len(further) - len(HANGING))
    return [f"{first}{line}", *(f"{further}{HANGING}{one}" for one in more)]


def _sections(figure: Figure) -> Iterator[tuple[str, list[Block]]]:
    blocks = list(figure.blocks.values())
    yield "inputs", [block for block in blocks if block.form == "inputs"]
    for section in BOTTOM:
        forms = {"feature_gate", "block"}
        if found := [block for block in blocks if block.form in forms and block.name.startswith(f"{section}.")]:
            yield section.replace("_", " "), found
    for level in range(1, figure.levels + 1):
        last = figure.spans.get(level)
        if found := figure.of_level(level, "group", "gate"):
            yield f"level {level}" if last is None else f"levels {level} to {last}", found
    yield "towers", [block for block in blocks if block.form in {"tower", "switch"}]
    if fusions := [block for block in blocks if block.form in {"fusion", "penalty"}]:
        yield "fusion", fusions
    yield "outputs", [block for block in blocks if block.form == "output"]


def _texts(figure: Figure, block: Block) -> list[str]:
    """The text of a block, then those of its parts: inputs that share a box."""
    if block.form == "inputs":
        own = [block.detail] if len(block.members) > 1 else list(block.small)
        return ["  ".join(word for word in (block.title, *own) if word), *block.words * (len(block.members) > 1)]
    words = [_short(block.name)]
    if block.parts:
        part = block.parts[0]
        count = len(block.parts)
        alone = f"{count} cases" if block.form == "switch" and count > 1 else part.title
        words.append(f"{alone} × {count}" if block.form != "switch" and count > 1 else alone)
        words += [part.detail, *part.words, *block.small]
    else:
        words += [block.title] * (block.form == "gate") + list(block.small)
    return ["  ".join(word for word in (*words, _reads(figure, block)) if word)]


def _reads(figure: Figure, block: Block) -> str:
    """What a block reads: first data, then streams that control it."""
    sources: dict[str, None] = {}
    for arrow in sorted(figure.reads[block.name], key=lambda arrow: arrow.controls):
        tail = figure.blocks[arrow.tail]
        name = _boxed(figure, tail) if tail.form == "inputs" else _short(tail.name)
        part = f".{arrow.tail_port.removeprefix('e')}" if arrow.tail_port else ""
        text = f"{'~' if arrow.detached else ''}{name}{part}"
        sources[f"({text})" if arrow.controls else text] = None
    return "← " + ", ".join(sources) if sources else ""


def _boxed(figure: Figure, inputs: Block) -> str:
    """The names of inputs that share a box; `inputs` for the only box."""
    names = [name.partition(".")[2] or name for name in inputs.members]
    if len(names) > 1 and len(figure.of_form("inputs")) == 1:
        return "inputs"
    return ", ".join(names if len(names) <= NAMES else [*names[:2], f"+{len(names) - 2}"])


def _short(name: str) -> str:
    """`experts ctr`, `gate ctr`, `towers ctr`: a canonical name in words, without its level."""
    parts = name.split(".")
    words = parts[1:] if parts[0].startswith("level") else parts
    return " ".join(word for word in (SINGULAR.get(words[0], words[0]), *words[1:]) if word)
