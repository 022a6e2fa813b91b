"""Settings are strict, reject unknown keys, and are immutable."""

from __future__ import annotations

from typing import ClassVar

import pytest
from pydantic import ValidationError

from archspec.contract import KindError, Settings
from archspec.contract.settings import Positive, Units, added


class Example(Settings):
    """Some settings."""

    units: Units = ()
    scale: Positive = 1.0


@pytest.mark.parametrize(
    "data",
    [
        {"unit": [1]},
        {"units": 3},
        {"units": [0]},
        {"units": [1.0]},
        {"units": [True]},
        {"scale": 0},
        {"scale": float("nan")},
    ],
)
def test_settings_are_strict(data: dict[str, object]) -> None:
    """Unknown keys, wrong types, values out of range and NaN are rejected."""
    with pytest.raises(ValidationError):
        Example.model_validate(data)


def test_settings_are_immutable() -> None:
    """A YAML list becomes a tuple, and attributes cannot be assigned."""
    example = Example.model_validate({"units": [4, 2]})
    assert example.units == (4, 2)
    with pytest.raises(ValidationError):
        example.scale = 2.0


def test_kind_errors_carry_a_place_and_a_hint() -> None:
    """A KindError has a message, the path of a setting, and a help."""
    error = KindError("too many", at=["k"], help="write less")
    assert (str(error), error.at, error.help) == ("too many", ("k",), "write less")


def test_an_added_setting_is_dumped_only_where_it_differs() -> None:
    """A setting that was added later is written only if it differs from its default, so older digests stay the same."""

    class Later(Settings):
        slope: float = added(0.01)

    assert Later().model_dump(mode="json") == {}
    assert Later(slope=0.2).model_dump(mode="json") == {"slope": 0.2}


class Inner(Settings):
    """Nested settings."""

    steps: tuple[int, ...] = ()


class Outer(Settings):
    """Tuples as a plugin's author writes them."""

    of: tuple[str, ...]
    table: tuple[tuple[int, float], ...] = ()
    inner: Inner | None = None


def test_lists_are_values_of_tuples_at_any_depth() -> None:
    """A YAML list is accepted for a setting of type `tuple[...]` at any depth; the types of its items stay strict."""
    made = Outer.model_validate({"of": ["a"], "table": [[1, 2.0]], "inner": {"steps": [3]}})
    assert made == Outer(of=("a",), table=((1, 2.0),), inner=Inner(steps=(3,)))
    for wrong in ({"of": "ab"}, {"of": {"a": 1}}, {"of": [1]}, {"of": ["a"], "inner": {"steps": [True]}}):
        with pytest.raises(ValidationError):
            Outer.model_validate(wrong)


def test_annotations_of_class_variables_are_not_evaluated_again() -> None:
    """A class variable keeps its value and is not a setting, though its annotation is replaced by a bare `ClassVar`."""

    class Base(Settings):
        """Settings with a class variable."""

        places: ClassVar[tuple[str, ...]] = ("first",)
        count: int = 1

    class Derived(Base):
        """Settings that set it."""

        places = ("second",)

    assert Base.__annotations__ == {"places": ClassVar, "count": "int"}
    assert (Base.places, Derived.places) == (("first",), ("second",))
    assert list(Derived.model_fields) == ["count"]
    assert {"places", "paper"} <= Derived.__class_vars__
