"""The source line under a finding, cut to the width of a terminal, with carets below."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archspec.diagnostics.finding import Span

_REMEMBERED = 32  # source files kept for excerpts
_sources: dict[str, list[str]] = {}


def remember(file: str, text: str) -> None:
    """Keep a file's text, so that diagnostics can show its lines. If there are many files, drop the oldest."""
    _sources.pop(file, None)
    _sources[file] = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    while len(_sources) > _REMEMBERED:
        del _sources[next(iter(_sources))]


def visible(text: str) -> str:
    """Return `text` on one line with control characters, unusual spaces and direction marks escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def excerpt(span: Span, width: int) -> tuple[str, str, str] | None:
    """Return the span's first line cut to `width` columns, the spaces before the carets, and the carets."""
    lines = _sources.get(span.file, [])
    if not 0 < span.line <= len(lines):
        return None
    line = lines[span.line - 1]
    start = min(span.column - 1, len(line))
    stop = max(start, min(span.end_column - 1, len(line)) if span.end_line == span.line else len(line.rstrip()))
    # One character more than fits is enough to see that something must be cut.
    parts = line[max(0, start - width - 1) : start], line[start:stop][: width + 1], line[stop:][: width + 1]
    before, marked, after = ([visible(c) for c in part] for part in parts)
    room = max(width // 2, width - _columns("".join(marked + after)))
    if _columns("".join(before + marked + after)) > width:
        before = _cut(before[::-1], room)[::-1]
        marked = _cut(marked, width - _columns("".join(before)))
        after = _cut(after, width - _columns("".join(before + marked)))
    under = _columns("".join(marked))
    return "".join(before + marked + after), " " * _columns("".join(before)), "^" * max(1, under)


def _cut(cells: list[str], width: int) -> list[str]:
    """Keep what fits in `width` columns, with an ellipsis where text was removed."""
    if _columns("".join(cells)) <= width:
        return cells
    kept: list[str] = []
    free = width - 1
    for cell in cells:
        free -= _columns(cell)
        if free < 0:
            break
        kept.append(cell)
    return [*kept, "…"] if width > 0 else []


def _columns(text: str) -> int:
    """Count terminal columns: East Asian wide characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 1 + (east_asian_width(c) in "WF") for c in text)
