"""Widths of text: those of Arimo, whose letters are as wide as Helvetica's, Arial's and Liberation Sans'.

The table and the font files are in `arimo/`. They contain Latin, Greek, Cyrillic and common signs; any other character
counts as one em, the largest width that fonts for other scripts use.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from archspec.diagnostics import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

FOLDER: Final = Path(__file__).parent / "arimo"
FAMILY: Final = "Helvetica, Arial, Arimo, 'Liberation Sans', sans-serif"
LEADING: Final = 1.18
"""Distance between two baselines, in ems."""
EM: Final = 1000


@cache
def _widths(weight: str) -> dict[str, int]:
    found: dict[str, dict[str, int]] = json.loads((FOLDER / "widths.json").read_text(encoding="utf-8"))
    return found[weight]


def width(text: str, size: float, *, bold: bool = False) -> float:
    """The width of one line in points.

    >>> width("MLP", 10), width("MLP", 10, bold=True)
    (20.6, 21.1)
    """
    table = _widths("bold" if bold else "regular")
    return round(sum(table.get(letter, EM) for letter in text) * size / EM, 2)


def unprintable(text: str) -> str:
    """The characters of a text that the font in `arimo/` does not have, each once."""
    return "".join(dict.fromkeys(letter for letter in text if letter not in _widths("regular")))


def plain(text: str) -> str:
    """One line without invisible characters, which are written as escape sequences."""
    return visible(" ".join(text.split()))


def wrap(text: str, size: float, limit: float, *, bold: bool = False) -> list[str]:
    """Lines no wider than `limit` points, broken at spaces, else after `_`, else anywhere."""
    lines: list[str] = []
    for word in plain(text).split(" "):
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and width(joined, size, bold=bold) <= limit:
            lines[-1] = joined
            continue
        lines += _pieces(word, size, limit, bold=bold)
    return [line for line in lines if line]


def flow(items: Iterable[str], size: float, limit: float) -> list[str]:
    """Items as lines, with dots between those of one line; an item that is too long for a line breaks inside."""
    lines: list[str] = []
    for item in map(plain, items):
        joined = f"{lines[-1]} · {item}" if lines else item
        if lines and width(joined, size) <= limit:
            lines[-1] = joined
        else:
            lines += wrap(item, size, limit)
    return lines


def _pieces(word: str, size: float, limit: float, *, bold: bool) -> list[str]:
    if width(word, size, bold=bold) <= limit:
        return [word]
    pieces = [""]
    for part in word.replace("_", "_\0").split("\0"):
        for letters in [part] if width(part, size, bold=bold) <= limit else part:
            if pieces[-1] and width(pieces[-1] + letters, size, bold=bold) > limit:
                pieces.append("")
            pieces[-1] += letters
    return pieces
