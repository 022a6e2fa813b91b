"""Lines of text that fit a width without breaking a word or a name."""

from __future__ import annotations

import re
from typing import Final

WIDTH: Final = 80
"""Characters per line of text output."""

PIECE: Final = re.compile(r"[^._ ]+[._ ]*|[._ ]+")
"""A piece that is never broken: letters, with the dots, underscores and blanks after them."""


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` characters, broken at blanks; words longer than a line also after `.` and `_`.

    What remains longer than `width` gets a line of its own.

    >>> wrap("all but level1.experts.watch_time", 14)
    ['all but', 'level1.', 'experts.watch_', 'time']
    """
    lines = [""]
    for word in re.findall(r"[^ ]+ *| +", text):
        for piece in PIECE.findall(word) if len(word.rstrip()) > width else [word]:
            if lines[-1] and len(lines[-1] + piece.rstrip()) > width:
                lines.append("")
            lines[-1] += piece
    return [line.rstrip() for line in lines]
