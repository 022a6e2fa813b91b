"""What archspec says when something is wrong: code, sentence, place, what it conflicts with, a suggestion.

Every layer reports through this module, and it imports none of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypedDict, Unpack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Severity = Literal["error", "warning", "note"]
Style = Literal["full", "concise", "json", "github"]

CODES: dict[str, str] = {
    # AS001-AS019: files
    "AS001": "file not found",
    "AS002": "not a regular file",
    "AS003": "not UTF-8 text",
    "AS004": "text too large",
    "AS005": "file cannot be read",
    "AS011": "output folder not found",
    "AS012": "output path is a folder",
    "AS013": "file cannot be written",
    # AS020-AS029: YAML syntax
    "AS020": "not valid YAML",
    "AS021": "tab in the indentation",
    "AS022": "character that cannot start a value",
    "AS023": "`:` out of place or missing",
    "AS024": "quote never closed",
    "AS025": "unknown escape in a quoted string",
    "AS026": "bracket never closed, or separator missing",
    "AS027": "indentation, or text where a key belongs",
    "AS028": "anchor or alias without a name",
    "AS029": "YAML directive",
    # AS030-AS049: what YAML a spec may hold
    "AS030": "empty file",
    "AS031": "top level is not a mapping",
    "AS032": "several documents",
    "AS033": "duplicate key",
    "AS034": "key is not a string",
    "AS035": "tag",
    "AS036": "unknown alias",
    "AS037": "cyclic alias",
    "AS038": "duplicate anchor",
    "AS039": "merge key without a mapping",
    "AS040": "merge key used",
    "AS041": "nested too deep",
    "AS042": "too many values",
    "AS043": "number too long",
    "AS044": "character not allowed in YAML",
    "AS045": "too many errors",
}

_WIDTH = 120  # columns of an excerpt, line number included
_REMEMBERED = 32  # source files kept for excerpts
_MOST_SUGGESTED = 200  # words that a misspelt one is compared to
_LONGEST_WORD = 100  # characters of a word worth comparing
_sources: dict[str, list[str]] = {}


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A piece of a file. Lines and columns count characters from 1; the end is exclusive."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True, slots=True)
class Note:
    """A fact beside a diagnostic: the declaration it conflicts with, or the expansion it came through."""

    message: str
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. `message` has no final dot and names things in `backticks`; `label` stands under the caret."""

    code: str
    message: str
    span: Span | None = None
    label: str = ""
    notes: tuple[Note, ...] = ()
    help: str = ""
    severity: Severity = "error"


class SpecError(ValueError):
    """Everything wrong with a spec, at once.

    `diagnostics` are sorted by place, without duplicates. `status` is the exit status of the command line:
    1 for a mistake in a spec, 2 for a file that cannot be read or written.
    """

    def __init__(self, diagnostics: Iterable[Diagnostic], *, status: int = 1) -> None:
        self.diagnostics = in_order(diagnostics)
        self.status = status
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        return render(self.diagnostics, "full")


class Details(TypedDict, total=False):
    """The optional parts of a diagnostic, by their names in Diagnostic."""

    label: str
    notes: Iterable[Note]
    help: str


@dataclass(slots=True)
class Diagnostics:
    """Collects findings, so that all problems of a file are reported together."""

    items: list[Diagnostic] = field(default_factory=list)

    def error(self, code: str, message: str, span: Span | None = None, **details: Unpack[Details]) -> None:
        """Add an error."""
        self.items.append(_diagnostic(code, message, span, "error", details))

    def warning(self, code: str, message: str, span: Span | None = None, **details: Unpack[Details]) -> None:
        """Add a warning: the spec is legal, but probably not what was meant."""
        self.items.append(_diagnostic(code, message, span, "warning", details))

    def note(self, code: str, message: str, span: Span | None = None, **details: Unpack[Details]) -> None:
        """Add a note: something the reader may want to know."""
        self.items.append(_diagnostic(code, message, span, "note", details))

    def raise_errors(self) -> None:
        """Raise SpecError with everything collected, warnings too, if there is an error among it."""
        if any(item.severity == "error" for item in self.items):
            raise SpecError(self.items)


def _diagnostic(code: str, message: str, span: Span | None, severity: Severity, details: Details) -> Diagnostic:
    given: dict[str, Any] = {**details, "notes": tuple(details.get("notes", ()))}
    return Diagnostic(code, message, span, severity=severity, **given)


def unusable(code: str, message: str, span: Span | None = None, **details: Unpack[Details]) -> NoReturn:
    """Raise SpecError with one error and exit status 2: a file that cannot be read or written."""
    raise SpecError([_diagnostic(code, message, span, "error", details)], status=2)


def in_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Sort by place (without a place first), and drop duplicates."""
    nowhere = Span("", 0, 0, 0, 0)
    return tuple(sorted(dict.fromkeys(diagnostics), key=lambda item: (item.span or nowhere, item.code, item.message)))


def suggest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` was probably meant to be, if any."""
    from difflib import get_close_matches

    # Of hundreds of words, those of about the same length are compared: more is not worth the time.
    words = sorted(set(known), key=lambda candidate: (abs(len(candidate) - len(word)), candidate))[:_MOST_SUGGESTED]
    same = [candidate for candidate in words if candidate.casefold() == word.casefold() and candidate != word]
    if not same and len(word) <= _LONGEST_WORD:
        same = get_close_matches(word, words, n=1)
    return same[0] if same else None


def remember(file: str, text: str) -> None:
    """Keep a file's text, so that diagnostics can show its lines. The oldest of many files is forgotten."""
    _sources.pop(file, None)
    _sources[file] = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    while len(_sources) > _REMEMBERED:
        del _sources[next(iter(_sources))]


def render(diagnostics: Iterable[Diagnostic], style: Style, color: bool = False) -> str:  # noqa: FBT001, FBT002
    """Print findings, sorted by place, without a final newline.

    `full` shows the source line with a caret, `concise` one line each, `json` one array, `github` the commands that
    GitHub Actions turns into annotations. Characters that could steer a terminal are shown escaped.
    """
    items = in_order(diagnostics)
    if style == "json":
        return _json(items)
    if style == "github":
        return "\n".join(map(_github, items))
    if style == "concise":
        return "\n".join(f"{_place(item.span)}{_headline(item, color=color)}" for item in items)
    return "\n\n".join("\n".join(_full(item, color=color)) for item in items)


def visible(text: str) -> str:
    """Return `text` on one line with control characters, odd blanks and direction marks escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


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
        excerpt = _excerpt(item.span, _WIDTH - len(pad) - 3)
        if excerpt:
            source, indent, carets = excerpt
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


def _excerpt(span: Span, width: int) -> tuple[str, str, str] | None:
    """Return the span's first line cut to `width` columns, the blanks before the carets, and the carets."""
    lines = _sources.get(span.file, [])
    if not 0 < span.line <= len(lines):
        return None
    line = lines[span.line - 1]
    start = min(span.column - 1, len(line))
    stop = max(start, min(span.end_column - 1, len(line)) if span.end_line == span.line else len(line.rstrip()))
    # One character more than fits is enough to know that something must be cut.
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
    """Keep what fits in `width` columns, with an ellipsis where something was left out."""
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
