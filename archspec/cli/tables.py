"""Text tables that fit a width without breaking a word; and tables of metrics, as wide as the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from archspec.diagnostics import visible
from archspec.wrapping import PIECE, WIDTH, wrap

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.table import Table

_GAP: Final = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, and whether it holds numbers (aligned right, never wrapped)."""

    heading: str
    numbers: bool = False


def number(value: int | None) -> str:
    """A count in words."""
    return "unknown" if value is None else f"{value:,}"


def metrics_table(texts: Iterable[str], numbers: Iterable[str]) -> Table:
    """An empty table with columns of texts, and then of numbers; `messages.show` prints it."""
    from rich.box import SIMPLE
    from rich.table import Table

    made = Table(box=SIMPLE, pad_edge=False)
    for name in texts:
        made.add_column(name)
    for name in numbers:
        made.add_column(name, justify="right")
    return made


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]], width: int = WIDTH) -> list[str]:
    """The lines of a table, at most `width` characters long unless a word or its numbers are longer.

    In a table that is too wide, the widest columns of text become narrower: a name in the first column that does not
    fit gets its own line above its row, and other texts are wrapped. A row of one cell is a remark across the table.
    Control characters are escaped.
    """
    cells = [tuple(column.heading for column in columns), *(tuple(map(visible, row)) for row in rows)]
    widths = _widths([row for row in cells if len(row) == len(columns)], columns, width)
    lines: list[str] = []
    for row in cells:
        name, *others = row
        if others and len(name) > widths[0]:
            lines += [*_wrapped(name, width), *_row(("", *others), columns, widths)]
        else:
            lines += _row(row, columns, widths) if len(row) == len(columns) else _wrapped(name, width)
    return lines


def _widths(rows: Sequence[Sequence[str]], columns: Sequence[Column], width: int) -> list[int]:
    """The width of each column: that of its longest cell, or less for columns of text in a table that is too wide."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    smallest = [
        full if column.numbers else _longest([column.heading]) if place == 0 else _longest(cells)
        for place, (column, full, cells) in enumerate(zip(columns, widths, zip(*rows, strict=True), strict=True))
    ]
    for _ in range(sum(widths) + len(_GAP) * (len(columns) - 1) - width):
        wide = [place for place in range(len(columns)) if widths[place] > smallest[place]]
        if not wide:
            break
        widths[max(wide, key=widths.__getitem__)] -= 1
    return widths


def _longest(cells: Iterable[str]) -> int:
    """The length of the longest piece of any cell."""
    return max((len(piece.rstrip()) for cell in cells for piece in PIECE.findall(cell)), default=0)


def _row(row: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> list[str]:
    wrapped = [
        [text] if column.numbers or len(text) <= width else wrap(text, width)
        for text, column, width in zip(row, columns, widths, strict=True)
    ]
    return [
        _GAP.join(
            text.rjust(width) if column.numbers else text.ljust(width)
            for text, column, width in zip(line, columns, widths, strict=True)
        ).rstrip()
        for line in zip_longest(*wrapped, fillvalue="")
    ]


def _wrapped(text: str, width: int) -> list[str]:
    """A text across the table; its further lines are indented more than the first."""
    indent = " " * (len(text) - len(text.lstrip()))
    first, *more = [text.strip()] if len(text) <= width else wrap(text.lstrip(), width - len(indent) - len(_GAP))
    return [(indent + first).rstrip(), *(indent + _GAP + line for line in more)]
