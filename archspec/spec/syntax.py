"""Turns errors of the YAML parser into messages for the author of the file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from archspec.diagnostics import Diagnostic, Note, Span

if TYPE_CHECKING:
    from yaml.error import Mark, MarkedYAMLError


class _Mistake(NamedTuple):
    """A common mistake in YAML. `pattern` matches the messages of libyaml and those of PyYAML's own parser."""

    pattern: str
    code: str
    message: str
    label: str = ""
    help: str = ""
    at_opening: bool = False  # point to where the string or bracket begins, not to where the parser gave up


# The first pattern found in "context: problem (end of file)" applies. `{char}` becomes the character found there.
_MISTAKES = (
    _Mistake(r"a tab|'\\t'", "AS021", "a tab is used for indentation", "a tab", "use spaces in place of the tab"),
    _Mistake("cannot start any token", "AS022", "{char} cannot start a value", "", "put the value in double quotes"),
    _Mistake(
        "mapping values|mapping keys",
        "AS023",
        "unexpected {char}",
        "a key is not allowed here",
        "check the indentation; if this belongs to the value, put the value in double quotes",
    ),
    _Mistake("expected ':'", "AS023", "a key without `:`", "", "write `key: value`", at_opening=True),
    _Mistake(
        "quoted scalar.*(end of stream|document)", "AS024", "this quote is never closed", "opened here", at_opening=True
    ),
    _Mistake("quoted scalar", "AS025", "unknown escape in a quoted string", "", r"write a backslash as `\\`"),
    _Mistake("flow (sequence|mapping).*end of file", "AS026", "{char} is never closed", "opened here", at_opening=True),
    _Mistake("flow sequence", "AS026", "unexpected {char} in a list", "expected `,` or `]`"),
    _Mistake("flow mapping", "AS026", "unexpected {char} in a mapping", "expected `,` or `}`"),
    _Mistake("an (anchor|alias)", "AS028", "`&` and `*` need a name of letters and digits", "", "put text in quotes"),
    _Mistake("tag|directive|incompatible", "AS029", "a spec cannot contain tags or directives", "", "remove this"),
    _Mistake("block scalar", "AS020", "unexpected {char} after `|` or `>`", "", "start the text on the next line"),
    _Mistake("entries are not allowed", "AS027", "unexpected `-`", "", "start the list on a line of its own"),
    _Mistake("node content", "AS026", "unexpected {char}", "expected a value"),
    _Mistake(
        "document start|block mapping|block collection",
        "AS027",
        "unexpected {char}",
        "a key or value is not allowed here",
        "check the indentation, and whether the value before this is complete",
    ),
    _Mistake("", "AS020", "unexpected {char}", "this is not valid YAML"),
)


def explain(error: MarkedYAMLError, text: str, file: str) -> Diagnostic:
    """Return the diagnostic for a syntax error that the parser found in `text`."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    given_up, opening = _place(error.problem_mark, lines), _place(error.context_mark, lines)
    at = given_up or opening or (0, 0)
    indentation = re.match(r"[ \t]*", lines[at[0]])
    facts = f"{error.context}: {error.problem}"
    if not "\n".join([lines[at[0]][at[1] :], *lines[at[0] + 1 :]]).strip():
        facts += " (end of file)"
    if indentation and "\t" in indentation[0] and "flow" not in facts:
        facts, at = "a tab", (at[0], indentation[0].index("\t"))
    mistake = next(mistake for mistake in _MISTAKES if re.search(mistake.pattern, facts))
    notes: tuple[Note, ...] = ()
    if mistake.at_opening:
        at = opening or at
    elif opening and opening[0] != at[0] and mistake.code != "AS021":
        notes = (Note("this is inside what begins here", _span(opening, file)),)
    message = mistake.message.replace("{char}", _name(lines, at))
    if lines[at[0]][: at[1] + 1].endswith("${"):  # a brace ends plain text inside brackets
        at, helps = (at[0], at[1] - 1), 'put it in double quotes: "${name}"; `x_$name` needs neither braces nor quotes'
        return Diagnostic(
            mistake.code, "a variable in braces needs quotes here", _span(at, file), notes=notes, help=helps
        )
    return Diagnostic(mistake.code, message, _span(at, file), mistake.label, notes, mistake.help)


def _place(mark: Mark | None, lines: list[str]) -> tuple[int, int] | None:
    """Return the parser's place as line and column from 0; it may lie behind the last line."""
    if mark is None:
        return None
    if mark.line >= len(lines):
        return len(lines) - 1, len(lines[-1])
    return mark.line, min(mark.column, len(lines[mark.line]))


def _span(at: tuple[int, int], file: str) -> Span:
    line, column = at
    return Span(file, line + 1, column + 1, line + 1, column + 2)


def _name(lines: list[str], at: tuple[int, int]) -> str:
    line, column = at
    if column < len(lines[line]):
        return "a backtick" if lines[line][column] == "`" else f"`{lines[line][column]}`"
    return "end of the file" if line == len(lines) - 1 else "end of the line"
