"""Text tables."""

from __future__ import annotations

import pytest

from archspec.cli.tables import Column, table, wrap

COLUMNS = (Column("node"), Column("width", numbers=True), Column("trained by"))


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("watch_time_of_shorts", 12, ["watch_time_", "of_shorts"]),
        ("level1.experts.ctr × 3", 14, ["level1.", "experts.ctr ×", "3"]),
        ("all but watch_time", 9, ["all but", "watch_", "time"]),
        ("incomprehensibilities", 5, ["incomprehensibilities"]),
        ("", 5, [""]),
    ],
)
def test_words_stay_whole(text: str, width: int, lines: list[str]) -> None:
    """Text is broken after dots, underscores and blanks; a longer word stands alone, whole."""
    assert wrap(text, width) == lines


def test_a_table_that_fits_is_as_wide_as_its_cells() -> None:
    """Words on the left, numbers on the right, no blanks at the end of a line."""
    assert table(COLUMNS, [("inputs", "16", "all"), ("  a", "4", "")]) == [
        "node    width  trained by",
        "inputs     16  all",
        "  a         4",
    ]


def test_a_table_that_does_not_fit_is_wrapped() -> None:
    """The widest text gives way: a long name gets a line of its own, other texts are wrapped, numbers stay whole."""
    row = ("  experts.watch_time_of_shorts", "1,000,000", "watch_time_of_shorts")
    assert table(COLUMNS, [row, ("  e", "1", "all"), ("  a remark across the table",)], 40) == [
        "node               width  trained by",
        "  experts.watch_time_of_shorts",
        "               1,000,000  watch_time_of_",
        "                          shorts",
        "  e                    1  all",
        "  a remark across the table",
    ]


@pytest.mark.parametrize("width", range(32, 80))
def test_no_line_is_wider_than_the_table(width: int) -> None:
    """Whatever the width, as long as the longest words and numbers fit."""
    rows = [("  level1.gates.watch_time", "1,000", "watch_time, cvr"), ("  remark " * 9,), ("a", "1", "all")]
    assert max(map(len, table(COLUMNS, rows, width))) <= width


def test_what_steers_a_terminal_is_shown() -> None:
    """Control characters are escaped before anything is measured."""
    assert table((Column("a"),), [("b\x1b[2J",)])[1:] == [r"b\x1b[2J"]
