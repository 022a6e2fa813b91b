"""Text tables."""

from __future__ import annotations

import pytest

from archspec.cli.tables import Column, table

COLUMNS = (Column("node"), Column("width", numbers=True), Column("trained by"))


def test_a_table_that_fits_is_as_wide_as_its_cells() -> None:
    """Words on the left, numbers on the right, no blanks at the end of a line."""
    assert table(COLUMNS, [("inputs", "16", "all"), ("  a", "4", "")]) == [
        "node    width  trained by",
        "inputs     16  all",
        "  a         4",
    ]


def test_a_table_that_does_not_fit_is_wrapped() -> None:
    """The widest column is narrowed: a long name gets its own line, other texts are wrapped, numbers stay whole."""
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
