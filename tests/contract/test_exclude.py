"""The forms of `exclude`."""

from __future__ import annotations

from typing import Any

import pytest

from archspec.contract import KindError
from archspec.contract.exclude import Exclude


@pytest.mark.parametrize(
    ("data", "canonical"),
    [
        ("scene", "scene"),
        ({"domain": "scene"}, "scene"),
        ({"domain": "scene", "after": "softmax"}, {"domain": "scene", "after": "softmax"}),
    ],
)
def test_forms(data: Any, canonical: object) -> None:  # noqa: ANN401 - YAML data
    """Each form is read, and written in the shortest form that reads back as the same."""
    exclude = Exclude.parse(data)
    assert exclude.data() == canonical
    assert Exclude.parse(exclude.data()).data() == canonical


@pytest.mark.parametrize(
    ("data", "at"),
    [
        (["scene"], ()),
        ({}, ()),
        ({"after": "softmax"}, ()),
        ({"domain": 3}, ()),
        ({"domain": "scene", "when": "softmax"}, ()),
        ({"domain": "scene", "after": "mix"}, ("after",)),
        ({"domain": "scene", "after": None}, ("after",)),
    ],
)
def test_wrong_forms_have_a_place(data: object, at: tuple[str, ...]) -> None:
    """A wrong form raises a KindError that points to the wrong part."""
    with pytest.raises(KindError) as caught:
        Exclude.parse(data)
    assert caught.value.at == at
