"""Prints findings: in full with the source line, one line each, as JSON, or for GitHub Actions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from archspec.diagnostics.excerpt import excerpt, visible
from archspec.diagnostics.finding import Diagnostic, Span, in_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Style = Literal["full", "concise", "json", "github"]

_WIDTH = 120  # columns of an excerpt, line number included


def render(diagnostics: Iterable[Diagnostic], style: Style, color: bool = False) -> str:  # noqa: FBT001, FBT002 - read as a word of the style
    """Print findings, sorted by place, without a final newline.

    `full` shows the source line with a caret, `concise` one line each, `json` one array, `github` the commands that
    GitHub Actions turns into annotations. Control characters are shown escaped.
    """
    items = in_order(diagnostics)
    if style == "json":
        return _json(items)
    if style == "github":
        return "\n".join(map(_github, items))
    if style == "concise":
        return "\n".join(f"{_place(item.span)}{_headline(item, color=color)}" for item in items)
    return "\n\n".join("\n".join(_full(item, color=color)) for item in items)


_COLORS = {"error": "1;31", "warning": "1;33", "note": "1;36", "frame": "34", "message": "1"}


def _paint(text: str, role: str, *, color: bool) -> str:
    return f"\x1b[{_COLORS[role]}m{text}\x1b[0m" if color and text else text


def _place(span: Span | None) -> str:
    return f"{visible(span.file)}:{span.line}:{span.column}: " if span else ""


def _headline(item: Diagnostic, *, color: bool) -> str:
    kind = _paint(f"{item.severity}[{item.code}]", item.severity, color=color)
    return f"{kind}: {_paint(visible(item.message), 'message', color=color)}"


def _full(item: Diagnostic, *, color: bool) -> Iterator[str]:
    pad = " " * (len(str(item.span.line)) if item.span else 1)

    def frame(text: str) -> str:
        return _paint(text, "frame", color=color)

    yield _headline(item, color=color)
    if item.span:
        yield f"{pad}{frame('-->')} {_place(item.span)[:-2]}"
        found = excerpt(item.span, _WIDTH - len(pad) - 3)
        if found:
            source, indent, carets = found
            label = f" {visible(item.label)}" if item.label else ""
            yield f"{pad} {frame('|')}"
            yield f"{frame(f'{item.span.line} |')} {source}".rstrip()
            yield f"{pad} {frame('|')} {indent}{_paint(carets + label, item.severity, color=color)}"
    for note in item.notes:
        yield f"{pad} {frame('=')} note: {visible(note.message)}"
        if note.span:
            yield f"{pad}{frame(':::')} {_place(note.span)[:-2]}"
    if item.help:
        yield f"{pad} {frame('=')} help: {visible(item.help)}"


def _json(items: Iterable[Diagnostic]) -> str:
    from dataclasses import asdict
    from json import dumps

    return dumps([asdict(item) for item in items], indent=2)


def _github(item: Diagnostic) -> str:
    """Write one workflow command; in properties `:` and `,` are escaped too."""
    span = item.span
    properties: dict[str, str | int] = {}
    if span:
        properties = {"file": span.file, "line": span.line, "col": span.column}
        one_line = span.end_line == span.line and span.end_column > span.column
        properties |= {"endColumn": span.end_column} if one_line else {}
    properties["title"] = item.code
    command = "notice" if item.severity == "note" else item.severity
    listed = ",".join(
        f"{key}={_percent(str(value)).replace(':', '%3A').replace(',', '%2C')}" for key, value in properties.items()
    )
    return f"::{command} {listed}::{_percent(item.message)}"


def _percent(text: str) -> str:
    return visible(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))
