"""The classes of diagnostics (code, message, place, notes, suggestion), and their collection."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypedDict, Unpack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Severity = Literal["error", "warning", "note"]

MOST_ERRORS = 100
"""The most places with errors that are reported, and the most warnings and notes of one code."""
MOST_USES = 1000
"""The most errors that are reported at all these places together, since one line may be used many times."""
_MOST_HERE = 20
"""The most findings of one code that are shown at one place."""
_LONGEST = 1000
"""The most characters of a message, label, note or help."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A range in a file. Lines and columns count characters from 1; the end is exclusive."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True, slots=True)
class Note:
    """A fact about a diagnostic: the declaration that it conflicts with, or the expansion that it came from."""

    message: str
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. `message` has no final period and names in `backticks`; `label` is printed next to the carets."""

    code: str
    message: str
    span: Span | None = None
    label: str = ""
    notes: tuple[Note, ...] = ()
    help: str = ""
    severity: Severity = "error"


class SpecError(ValueError):
    """Everything that is wrong with a spec, at once.

    `diagnostics` are sorted by place, without duplicates. `status` is the exit status of the command line:
    1 for a mistake in a spec, 2 for a file that cannot be read or written.
    """

    def __init__(self, diagnostics: Iterable[Diagnostic], *, status: int = 1) -> None:
        self.diagnostics = in_order(diagnostics)
        self.status = status
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        from archspec.diagnostics.printing import render

        return render(self.diagnostics, "full")


class Details(TypedDict, total=False):
    """The optional parts of a diagnostic, by their names in Diagnostic."""

    label: str
    notes: Iterable[Note]
    help: str


@dataclass(slots=True)
class Diagnostics:
    """Collects findings, so that all problems of a file are reported together, each mistake once."""

    items: list[Diagnostic] = field(default_factory=list)
    blamed: set[str] = field(default_factory=set)
    """Names that were reported as wrong: other findings about the same name would be consequences, not mistakes."""
    incomplete: bool = False
    """Whether a part of the spec could not be read, so that a name may be missing only for that reason."""
    _places: set[tuple[str, Span | None]] = field(default_factory=set)
    _counts: dict[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether there is an error among the findings."""
        return any(item.severity == "error" for item in self.items)

    def error(self, code: str, message: str, span: Span | None = None, **details: Unpack[Details]) -> None:
        """Add an error.

        Raises:
            SpecError: there are too many; nobody would read more, and each takes time to explain.
        """
        self.items.append(_diagnostic(code, message, span, "error", details))
        self._places.add((code, span))
        self._counts["error"] = self._counts.get("error", 0) + 1
        if len(self._places) > MOST_ERRORS or self._counts["error"] > MOST_USES:
            message = f"more than {MOST_ERRORS} errors; the rest of the spec was not read"
            if len(self._places) <= MOST_ERRORS:
                message = f"more than {MOST_USES:,} uses of lines with errors; the rest of the spec was not read"
            raise SpecError([*self.items, Diagnostic("AS045", message, span)])

    def warning(self, code: str, message: str, span: Span | None = None, **details: Unpack[Details]) -> None:
        """Add a warning: the spec is legal, but probably not what was intended."""
        self._add(_diagnostic(code, message, span, "warning", details))

    def note(self, code: str, message: str, span: Span | None = None, **details: Unpack[Details]) -> None:
        """Add a note: something the reader may want to know."""
        self._add(_diagnostic(code, message, span, "note", details))

    def _add(self, item: Diagnostic) -> None:
        """Adds a warning or note; if there are hundreds with the same code, keeps the first ones."""
        count = self._counts[item.code] = self._counts.get(item.code, 0) + 1
        if count <= MOST_ERRORS:
            self.items.append(item)
        elif count == MOST_ERRORS + 1:
            more = f"more than {MOST_ERRORS} findings of this code; the others are not shown"
            self.items.append(Diagnostic(item.code, more, severity=item.severity))

    def raise_errors(self, *, status: int = 1) -> None:
        """Raise SpecError with all findings, including warnings, if one of them is an error."""
        if self.failed:
            raise SpecError(self.items, status=status)


def _cut(text: str) -> str:
    """Shortens a message so that it fits on a screen: a name in it may be as long as a file."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST * 3 // 4]} ... {text[-_LONGEST // 4 :]}"


def _readable(item: Diagnostic) -> Diagnostic:
    texts = (item.message, item.help, item.label, *(note.message for note in item.notes))
    if all(len(text) <= _LONGEST for text in texts):
        return item
    notes = tuple(replace(note, message=_cut(note.message)) for note in item.notes)
    return replace(item, message=_cut(item.message), help=_cut(item.help), label=_cut(item.label), notes=notes)


def _diagnostic(code: str, message: str, span: Span | None, severity: Severity, details: Details) -> Diagnostic:
    given: dict[str, Any] = {**details, "notes": tuple(details.get("notes", ()))}
    return Diagnostic(code, message, span, severity=severity, **given)


def unusable(code: str, message: str, span: Span | None = None, **details: Unpack[Details]) -> NoReturn:
    """Raise SpecError with one error and exit status 2: a file that cannot be read or written."""
    raise SpecError([_diagnostic(code, message, span, "error", details)], status=2)


def in_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Sort by place (findings without a place first), and remove duplicates.

    A line that is used several times, through `$` expansions, `repeat`, `defaults` or aliases, is reported for one of
    its uses, with a note that counts the others.
    """
    nowhere = Span("", 0, 0, 0, 0)
    return tuple(sorted(_once(diagnostics), key=lambda item: (item.span or nowhere, item.code, item.message)))


def _once(diagnostics: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    places: dict[tuple[str, Span | None, Severity], list[Diagnostic]] = {}
    for item in dict.fromkeys(map(_readable, diagnostics)):
        places.setdefault((item.code, item.span, item.severity), []).append(item)
    for items in places.values():
        uses = sorted(dict.fromkeys(item.notes for item in items), key=len)
        if items[0].span is None:
            yield from items
        elif len(uses) == 1:
            yield from _few(items)
        else:
            others = len(uses) - 1
            note = Note(f"the same holds for {others} other use{'s' * (others > 1)} of this line")
            yield from _few([replace(item, notes=(*item.notes, note)) for item in items if item.notes == uses[0]])


def _few(items: list[Diagnostic]) -> list[Diagnostic]:
    """The findings at one place; if there are many, only as many as a person would read."""
    if len(items) <= _MOST_HERE:
        return items
    last = items[_MOST_HERE - 1]
    note = Note(f"and {len(items) - _MOST_HERE:,} more findings here")
    return [*items[: _MOST_HERE - 1], replace(last, notes=(*last.notes, note))]
