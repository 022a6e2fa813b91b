"""`repeat`: a level that occurs several times."""

from __future__ import annotations

import pytest

from archspec.diagnostics import Diagnostics
from archspec.spec.repeat import repeated
from archspec.spec.source import parse
from archspec.spec.tree import to_data


def levels(text: str, *codes: str) -> object:
    """The expanded levels; exactly these errors are reported."""
    diagnostics = Diagnostics()
    tree = repeated(parse(text, "x.yaml"), diagnostics)
    assert [item.code for item in diagnostics.items] == list(codes)
    return to_data(tree)["levels"]  # type: ignore[call-overload, index]


def test_levels_are_written_out() -> None:
    """A repeated level is copied in place, the given number of times."""
    assert levels("levels: [{a: 1}, {repeat: 3, b: 2}, {c: 3}]") == [{"a": 1}, {"b": 2}, {"b": 2}, {"b": 2}, {"c": 3}]
    assert levels("levels: [{repeat: 1, b: 2}]") == [{"b": 2}]


@pytest.mark.parametrize("times", ["0", "-1", "1.5", "true", "many", "1001", "[2]", ""])
def test_what_is_no_number_of_times(times: str) -> None:
    """An invalid `repeat` is one error, and the level is used once."""
    assert levels(f"levels: [{{repeat: {times}, b: 2}}]", "AS135") == [{"b": 2}]
