"""Decorators and the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from archspec.contract import ExpertKind, GateKind, Registry, Settings, Width, expert, gate, loss
from archspec.contract.registry import marked_classes, marks

if TYPE_CHECKING:
    from archspec.program import Scope, Value


class Plain(ExpertKind):
    """Has what an expert needs, but no mark."""

    def width(self, input: Width) -> Width:
        """As wide as its input."""
        return input

    def lower(self, at: Scope, x: Value) -> Value:
        """What it reads."""
        return x


def _wide(self: Settings, size: Width) -> Width:  # noqa: ARG001 - a wrong signature
    return size


def _lower(self: Settings, at: object, gate: object) -> object:  # noqa: ARG001 - only its names matter
    """A signature that fits."""
    return gate


def _any(self: Settings, seen: object) -> int:  # noqa: ARG001 - only its name matters
    return 1


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
    with pytest.raises(TypeError, match=r"not a subclass of archspec\.ExpertKind"):
        expert("x")(int)  # type: ignore[type-var]
    with pytest.raises(TypeError, match="needs a method `width"):
        expert("x")(type("NoWidth", (Settings,), {}))
    with pytest.raises(TypeError, match=r"`width` takes \(size\), archspec calls it with \(input\)"):
        expert("x")(type("Wrong", (Plain,), {"width": _wide}))
    with pytest.raises(TypeError, match="needs a method"):
        loss("x")(type("NoRows", (Settings,), {}))


def test_a_misspelt_method_is_refused() -> None:
    """A method that archspec never calls, with a name like one that it does, gets that name as a suggestion."""
    with pytest.raises(
        TypeError, match=r"calls no method `choosen`; did you mean `chosen`\? \(Name a helper .* `_choosen`"
    ):
        gate("x")(type("Odd", (GateKind,), {"lower": _lower, "choosen": _any}))


def test_helpers_of_other_names_are_free() -> None:
    """A helper whose name is like no method, or begins with an underscore, is the class's own business."""
    made: Any = gate("x")(type("Own", (GateKind,), {"lower": _lower, "project": _any, "_choosen": _any}))
    assert marks(made) == (("gate", "x"),)


@pytest.mark.parametrize("base", [GateKind, Settings])
@pytest.mark.filterwarnings("ignore:Field name:UserWarning")  # pydantic's own word on it
def test_a_setting_cannot_be_named_like_a_method(base: type[Settings]) -> None:
    """A gate's setting `chosen` would stand where archspec calls a method: it is refused when it is declared."""
    body = {"__annotations__": {"chosen": int}, "lower": _lower}
    with pytest.raises(TypeError, match="the setting `chosen` has the name of a method of GateKind; rename it"):
        gate("x")(type("Odd", (base,), body))


def test_a_class_of_settings_alone_gets_the_base_class() -> None:
    """Plugins that derive from Settings alone stay kinds, with the defaults of their category."""

    class Old(Settings):
        k: int = 2

        def lower(self, at: Scope, gate: Any) -> Value:  # noqa: ANN401 - unlike GateKind's
            return at.softmax(gate.selector)

    old: Any = gate("x")(Old)
    assert issubclass(old, GateKind)
    assert (old.__name__, old.__module__, old.__qualname__.rpartition(".")[2]) == ("Old", __name__, "Old")
    assert old().chosen(None) is None
    assert Registry().including([old]).find("gate", "x") is old
