"""Diagnostics: code, location, caret, label and help, in four styles."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import pytest

from archspec.diagnostics import (
    CODES,
    Diagnostic,
    Diagnostics,
    Note,
    Span,
    SpecError,
    remember,
    render,
    suggest,
    was_interrupted,
)
from archspec.diagnostics import excerpt as sources

SOURCE = "\n" * 14 + "      $task: {sees: [$task, sharde], units: [16, 8]}\n"
FILE = "specs/ple.yaml"
PLACE = Span(FILE, 15, 29, 15, 35)
UNKNOWN = Diagnostic(
    "AS204",
    "gate `ctr` at level 2 sees unknown expert group `sharde`",
    PLACE,
    "no expert group with this name at level 2",
    help="did you mean `shared`? groups here: click, like, shared",
)


def excerpt(line: str, column: int, end_column: int, label: str = "") -> tuple[str, str]:
    """Return the source line and the caret line of a full rendering."""
    remember("x.yaml", line)
    text = render([Diagnostic("AS000", "m", Span("x.yaml", 1, column, 1, end_column), label)], "full")
    _, _, _, source, carets = text.split("\n")
    return source, carets


def test_full_style_is_the_one_of_the_design_paper() -> None:
    """The full rendering equals the design paper's example, character by character."""
    remember(FILE, SOURCE)
    assert render([UNKNOWN], "full") == (
        "error[AS204]: gate `ctr` at level 2 sees unknown expert group `sharde`\n"
        "  --> specs/ple.yaml:15:29\n"
        "   |\n"
        "15 |       $task: {sees: [$task, sharde], units: [16, 8]}\n"
        "   |                             ^^^^^^ no expert group with this name at level 2\n"
        "   = help: did you mean `shared`? groups here: click, like, shared"
    )


def test_notes_stand_between_caret_and_help() -> None:
    """A note shows its location on a separate line; the help comes last."""
    notes = (Note("declared here", Span("a.yaml", 3, 5, 3, 6)), Note("in `repeat`"))
    text = render([Diagnostic("AS000", "m", Span("unseen.yaml", 120, 1, 120, 2), notes=notes, help="h")], "full")
    assert text.split("\n")[1:] == [
        "   --> unseen.yaml:120:1",
        "    = note: declared here",
        "   ::: a.yaml:3:5",
        "    = note: in `repeat`",
        "    = help: h",
    ]


def test_caret_stands_under_wide_characters() -> None:
    """Carets are placed by terminal columns, not by characters."""
    source, carets = excerpt("漢字: é\u0301x", 5, 8)
    assert source.startswith("1 | 漢字: é")
    assert carets == "  |       ^^"


def test_control_characters_cannot_reach_the_terminal() -> None:
    """Escapes, direction marks and line breaks are shown as text, in the source line and in every sentence."""
    remember("e\x1b.yaml", "a: \x1b[31m\u202eb")
    bad = "\x1b]0;x\x07\n\u202e"
    item = Diagnostic("AS000", bad, Span("e\x1b.yaml", 1, 4, 1, 5), bad, (Note(bad),), bad)
    for style in ("full", "concise", "json", "github"):
        text = render([item, UNKNOWN], style)
        assert all(c.isprintable() or c == "\n" for c in text)
    assert r"1 | a: \x1b[31m\u202eb" in render([item], "full")


@pytest.mark.parametrize("column", [1, 60, 150, 5000, 9990])
def test_long_lines_are_cut_around_the_caret(column: int) -> None:
    """No excerpt is wider than 120 columns, and the caret still points to the right character."""
    line = "".join(chr(ord("a") + i % 26) for i in range(10_000))
    source, carets = excerpt(line, column, column + 3)
    assert len(source) <= 120
    assert source[carets.index("^") : carets.index("^") + 3] == line[column - 1 : column + 2]
    assert "…" in source


def test_long_spans_show_their_beginning() -> None:
    """A span that is longer than the line is marked from its beginning."""
    source, carets = excerpt("k: " + "x" * 1000, 4, 1004)
    assert (len(source), len(carets)) == (120, 120)
    assert source.startswith("1 | k: xxx")


def test_spans_over_lines_show_the_first() -> None:
    """A span over several lines is marked to the end of the first one; an empty span has one caret."""
    remember("m.yaml", "a:\n  b: {\n  }\n")
    text = render([Diagnostic("AS000", "m", Span("m.yaml", 2, 6, 3, 4))], "full")
    assert text.endswith("2 |   b: {\n  |      ^")
    assert excerpt("a:", 3, 3) == ("1 | a:", "  |   ^")


def test_colour_adds_nothing_but_colour() -> None:
    """Without the escape sequences a coloured text equals the plain one."""
    import re

    remember(FILE, SOURCE)
    coloured = render([UNKNOWN], "full", color=True)
    assert coloured != render([UNKNOWN], "full")
    assert re.sub("\x1b\\[[0-9;]*m", "", coloured) == render([UNKNOWN], "full")


def test_concise_style_is_one_line_each() -> None:
    """Each line begins with the location, in the form that editors can jump to."""
    items = [UNKNOWN, Diagnostic("AS001", "there is no file `x`")]
    assert render(items, "concise").split("\n") == [
        "error[AS001]: there is no file `x`",
        "specs/ple.yaml:15:29: error[AS204]: gate `ctr` at level 2 sees unknown expert group `sharde`",
    ]


def test_json_style_is_one_array() -> None:
    """JSON contains every field, and an empty list if there are no findings."""
    (item,) = json.loads(render([UNKNOWN], "json"))
    assert item["code"] == "AS204"
    assert item["span"] == {"file": FILE, "line": 15, "column": 29, "end_line": 15, "end_column": 35}
    assert json.loads(render([], "json")) == []


def test_github_style_escapes_what_github_reads() -> None:
    """Percent signs and line breaks are escaped in messages; commas and colons in properties too."""
    item = Diagnostic("AS204", "50%: a,b\nc", Span("a,b:c%.yaml", 2, 3, 2, 5), severity="note")
    assert render([item], "github") == (
        "::notice file=a%2Cb%3Ac%25.yaml,line=2,col=3,endColumn=5,title=AS204::50%25: a,b%0Ac"
    )


def test_error_sorts_by_place_and_drops_duplicates() -> None:
    """SpecError contains each finding once, in file order, whatever the order in which they were found."""
    later, earlier = UNKNOWN, Diagnostic("AS300", "m", Span(FILE, 2, 1, 2, 2), severity="warning")
    error = SpecError([later, earlier, later], status=2)
    assert error.diagnostics == (earlier, later)
    assert error.status == 2
    assert str(error) == render([earlier, later], "full")


def test_error_survives_a_process_boundary() -> None:
    """A SpecError can be pickled with its status, as worker processes require."""
    copy = pickle.loads(pickle.dumps(SpecError([UNKNOWN], status=2)))  # noqa: S301 - our own bytes
    assert (copy.diagnostics, copy.status) == ((UNKNOWN,), 2)


def test_collector_raises_everything_or_nothing() -> None:
    """Warnings and notes alone raise nothing; with an error, they are included."""
    found = Diagnostics()
    found.warning("AS100", "w", PLACE, label="l", notes=[Note("n")], help="h")
    found.note("AS101", "n")
    found.raise_errors()
    assert found.items[0] == Diagnostic("AS100", "w", PLACE, "l", (Note("n"),), "h", "warning")
    found.error("AS102", "e")
    with pytest.raises(SpecError) as caught:
        found.raise_errors()
    assert {item.severity for item in caught.value.diagnostics} == {"error", "warning", "note"}


def test_misspelt_details_are_an_error() -> None:
    """An unknown detail is refused instead of being dropped."""
    with pytest.raises(TypeError):
        Diagnostics().error("AS100", "m", hint="x")  # type: ignore[call-arg]


def test_suggestions_are_near() -> None:
    """The nearest word is suggested, preferring a difference in case to one in spelling; if none is near, none is."""
    assert suggest("sharde", ["click", "like", "shared"]) == "shared"
    assert suggest("Units", ["unit", "units"]) == "units"
    assert suggest("zzz", ["click", "like"]) is None


def test_remembered_files_are_bounded() -> None:
    """Only the newest files are kept in memory, even if there are many."""
    for i in range(100):
        remember(f"{i}.yaml", "a: 1")
    assert len(sources._sources) <= 32
    assert "99.yaml" in sources._sources


def test_codes_are_well_formed() -> None:
    """Every code consists of AS and three digits, and has a title of one line."""
    assert all(len(code) == 5 and code.startswith("AS") and code[2:].isdigit() for code in CODES)
    assert all(title and "\n" not in title for title in CODES.values())


def test_import_is_cheap() -> None:
    """Importing diagnostics and the reader loads no parser, no formatter, no third-party package."""
    code = (
        "import sys, archspec.diagnostics, archspec.spec.source\n"
        "print([name for name in ('yaml', 'json', 'difflib', 'rich', 'pydantic', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_errors_that_an_interrupt_caused() -> None:
    """An error raised while Ctrl-C is handled counts as interrupted, other errors do not."""
    caused = ValueError()
    caused.__context__ = KeyboardInterrupt()
    outer = RuntimeError()
    outer.__cause__ = caused
    assert was_interrupted(outer)
    assert not was_interrupted(ValueError())
    assert not was_interrupted(None)
