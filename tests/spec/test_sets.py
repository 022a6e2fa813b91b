"""`sets`: named lists."""

from __future__ import annotations

import pytest

from archspec.diagnostics import Diagnostics
from archspec.spec.sets import read_sets
from archspec.spec.source import parse


def test_sets_are_read_in_order() -> None:
    """The values of a set keep the order of the file."""
    assert read_sets(parse("sets: {side: [b, a]}", "x.yaml"), Diagnostics()) == {"side": ("b", "a")}
    assert read_sets(parse("name: x", "x.yaml"), Diagnostics()) == {}


@pytest.mark.parametrize(
    ("text", "code"),
    [("3", "AS134"), ("{task: [a]}", "AS134"), ("{a: b}", "AS134"), ("{a: []}", "AS134"), ("{a: [1, b]}", "AS134"),
     ("{a: [b, b]}", "AS134"), ("{a: [B]}", "AS105"), ("{A: [b]}", "AS105"), ("{a: [for]}", "AS106")],
)  # fmt: skip
def test_what_is_no_set(text: str, code: str) -> None:
    """A set is a list of distinct names; anything else is one error."""
    diagnostics = Diagnostics()
    read_sets(parse(f"sets: {text}", "x.yaml"), diagnostics)
    assert [item.code for item in diagnostics.items] == [code]
