"""Breaking lines to fit a width."""

from __future__ import annotations

import pytest

from archspec.wrapping import wrap


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
    """Text is broken after dots, underscores and blanks; a longer word is alone on its line, unbroken."""
    assert wrap(text, width) == lines
