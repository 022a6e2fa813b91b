"""Decorators and the registry."""

from __future__ import annotations

import pytest

from archspec.contract import Registry, Settings, Width, expert, loss
from archspec.contract.registry import marked_classes, marks


class Plain(Settings):
    """Has what an expert needs, but no mark."""

    def width(self, input: Width) -> Width:
        """As wide as its input."""
        return input

    def build(self, input: Width) -> object:
        """Nothing."""
        return input


def _wide(self: Settings, size: Width) -> Width:  # noqa: ARG001 - a wrong signature
    return size


@expert("one")
@expert("two")
class Two(Plain):
    """One class, two names."""


def test_a_class_may_have_several_names() -> None:
    """Marks add up, and belong to the very class: a subclass has none."""
    assert set(marks(Two)) == {("expert", "one"), ("expert", "two")}
    assert marks(Plain) == ()
    assert marks(type("Sub", (Two,), {})) == ()


def test_only_a_module_s_own_classes_count() -> None:
    """A class that a plugin imports is not the plugin's."""
    names = {"__name__": __name__, "Two": Two, "Plain": Plain}
    assert list(marked_classes(names)) == [Two]
    assert list(marked_classes({**names, "__name__": "elsewhere"})) == []


def test_registry_is_immutable_and_sorted() -> None:
    """`including` makes a larger registry; names are sorted."""
    empty = Registry()
    full = empty.including([Two], "mine")
    assert full.names("expert") == ("one", "two")
    assert (full.find("expert", "one"), empty.find("expert", "one")) == (Two, None)
    assert full.plugins == ("mine",)


def test_a_name_is_given_once() -> None:
    """Two classes with one name are refused, with both places; the same class twice is fine."""

    @expert("one")
    class Other(Plain):
        """Takes the name of Two."""

    registry = Registry().including([Two])
    assert registry.including([Two]).names("expert") == ("one", "two")
    with pytest.raises(
        ValueError, match=r"`one` of .*test_registry\.py:\d+ is already defined in .*test_registry\.py:\d+"
    ):
        registry.including([Other])


def test_wrong_classes_are_refused_where_they_are_written() -> None:
    """No Settings class, a missing method, other arguments: TypeError, in words."""
    with pytest.raises(TypeError, match=r"no subclass of archspec\.Settings"):
        expert("x")(int)  # type: ignore[type-var]
    with pytest.raises(TypeError, match="needs a method `width"):
        expert("x")(type("NoWidth", (Settings,), {}))
    with pytest.raises(TypeError, match=r"`width` takes \(size\), archspec calls it with \(input\)"):
        expert("x")(type("Wrong", (Plain,), {"width": _wide}))
    with pytest.raises(TypeError, match="needs a method"):
        loss("x")(type("NoRows", (Settings,), {}))
