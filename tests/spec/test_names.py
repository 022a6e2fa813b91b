"""Names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archspec.contract.registry import IDENTIFIER
from archspec.diagnostics import Diagnostics, Span
from archspec.spec.names import check_name

PLACE = Span("x.yaml", 1, 1, 1, 2)


def said(name: str, what: str = "input name") -> list[tuple[str, str]]:
    """Codes and help texts for a name."""
    diagnostics = Diagnostics()
    check_name(name, what, PLACE, (), diagnostics)
    return [(item.code, item.help) for item in diagnostics.items]


@pytest.mark.parametrize("name", ["x", "user_id", "a1", "shared", "true_positive"])
def test_names(name: str) -> None:
    """Lower-case letters, digits and _, a letter first."""
    assert said(name) == []


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("userId", "user_id"),
        ("user-id", "user_id"),
        ("Größe", "groe"),
        ("3d", "n3d"),
        ("_x", "x"),
        ("HTTPCode", "httpcode"),
    ],
)
def test_a_better_name_is_shown(name: str, better: str) -> None:
    """For an invalid name a similar valid one is suggested; an input keeps its column."""
    ((code, helps),) = said(name)
    assert code == "AS105"
    assert helps.startswith(f"write `{better}` with `column: ") or name == "Größe"


@pytest.mark.parametrize(("name", "what"), [("for", "gate name"), ("all", "gate name"), ("shared", "task name")])
def test_words_that_are_taken(name: str, what: str) -> None:
    """Keywords of Python and of archspec are not allowed as names."""
    assert [code for code, _ in said(name, what)] == ["AS106"]


def test_a_name_is_blamed_once() -> None:
    """If a task has a bad name, its tower is not reported as well."""
    diagnostics = Diagnostics()
    check_name("Bad", "task name", PLACE, (), diagnostics)
    check_name("Bad", "tower name", Span("x.yaml", 2, 1, 2, 2), (), diagnostics)
    assert len(diagnostics.items) == 1


@given(st.text(max_size=20))
def test_every_text_is_a_name_or_gets_a_hint(name: str) -> None:
    """Every text is either a valid name or gives one error with help."""
    found = said(name)
    assert (len(found) == 0) <= bool(IDENTIFIER.fullmatch(name))
    assert all(code in {"AS105", "AS106"} and helps for code, helps in found)
