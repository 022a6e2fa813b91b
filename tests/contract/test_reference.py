"""References: their forms, and where errors in them are reported."""

from __future__ import annotations

from typing import Any

import pytest

from archspec.contract import KindError, Reference


@pytest.mark.parametrize(
    ("data", "canonical"),
    [
        ("ctr", "ctr"),
        (["ctr"], "ctr"),
        (["a", "b"], ["a", "b"]),
        (["a", ["b", "c"]], ["a", "b", "c"]),
        ({"sum": ["a", "b"]},) * 2,
        ({"detach": "a"},) * 2,
        ([{"sum": ["a", {"detach": "b"}]}, "c"],) * 2,
    ],
)
def test_forms(data: Any, canonical: object) -> None:  # noqa: ANN401 - YAML data
    """Each form is read, and written in the shortest form with the same meaning."""
    reference = Reference.parse(data)
    assert reference.data() == canonical
    assert Reference.parse(reference.data()).data() == canonical


def test_names_have_places() -> None:
    """Each name has its path below the setting."""
    names = Reference.parse(["a", {"sum": ["b", {"detach": "c"}]}]).names()
    assert [(name.text, name.at) for name in names] == [
        ("a", (0,)),
        ("b", (1, "sum", 0)),
        ("c", (1, "sum", 1, "detach")),
    ]


@pytest.mark.parametrize(
    ("data", "at"),
    [
        ([], ()),
        (None, ()),
        (3, ()),
        ({"sum": "a"}, ()),
        ({"sum": []}, ()),
        (["a", 3], (1,)),
        ({"detach": {"x": 1}}, ("detach",)),
        ({"sum": ["a"], "detach": "b"}, ()),
        ({"sum": ["a", []]}, ("sum", 1)),
    ],
)
def test_wrong_forms_have_a_place(data: object, at: tuple[str | int, ...]) -> None:
    """A wrong form raises a KindError that points to the wrong part."""
    with pytest.raises(KindError) as caught:
        Reference.parse(data)
    assert caught.value.at == at
