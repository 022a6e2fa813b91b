"""The forms of `sees`."""

from __future__ import annotations

from typing import Any

import pytest

from archspec.contract import KindError
from archspec.contract.sees import Sees


@pytest.mark.parametrize(
    ("data", "canonical"),
    [
        ("all", "all"),
        ("ctr", "ctr"),
        (["ctr", "shared.0"], ["ctr", "shared.0"]),
        ({"except": "ctr"}, {"except": ["ctr"]}),
        (["all"], ["all"]),
        ([{"detach": "cvr"}, "ctr"], [{"detach": "cvr"}, "ctr"]),
    ],
)
def test_forms(data: Any, canonical: object) -> None:  # noqa: ANN401 - YAML data
    """Each form is read, and written so that it reads back as the same."""
    sees = Sees.parse(data)
    assert sees.data() == canonical
    assert Sees.parse(sees.data()).data() == canonical


@pytest.mark.parametrize(
    ("data", "at"),
    [
        ([], ()),
        (3, ()),
        ({"but": "ctr"}, ()),
        ({"except": 3}, ()),
        (["ctr", 3], (1,)),
        ({"detach": []}, ("detach",)),
        ({"except": "a", "detach": "b"}, ()),
        (["a", {"detach": {"x": 1}}], (1, "detach")),
    ],
)
def test_wrong_forms_have_a_place(data: object, at: tuple[str | int, ...]) -> None:
    """A wrong form raises a KindError that points to the wrong part."""
    with pytest.raises(KindError) as caught:
        Sees.parse(data)
    assert caught.value.at == at
