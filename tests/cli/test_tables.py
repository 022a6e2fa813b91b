"""Text tables."""

from __future__ import annotations

import pytest

from archspec.cli.tables import Column, table

COLUMNS = (Column("node"), Column("width", numbers=True), Column("trained by"))


def test_a_table_that_fits_is_as_wide_as_its_cells() -> None:
    """Words are aligned on the left and numbers on the right, without trailing blanks."""
    assert table(COLUMNS, [("inputs", "16", "all"), ("  a", "4", "")]) == [
        "node    width  trained by",
        "inputs     16  all",
        "  a         4",
    ]


def test_a_table_that_does_not_fit_is_wrapped() -> None:
    """The widest column is narrowed: a long name gets its own line, other texts are wrapped, numbers are not broken."""
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
    """No line exceeds the given width, as long as the longest words and numbers fit."""
    rows = [("  level1.gates.watch_time", "1,000", "watch_time, cvr"), ("  remark " * 9,), ("a", "1", "all")]
    assert max(map(len, table(COLUMNS, rows, width))) <= width


def test_what_steers_a_terminal_is_shown() -> None:
    """Control characters are escaped before widths are measured."""
    assert table((Column("a"),), [("b\x1b[2J",)])[1:] == [r"b\x1b[2J"]
