"""Decorators and the registry."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import Field

import archspec
from archspec.contract import ExpertKind, GateKind, LossKind, Registry, Settings, Width, expert, gate, loss
from archspec.contract.kinds import BASES
from archspec.contract.registry import marked_classes, marks
from archspec.contract.settings import keys_of
from archspec.contract.variables import _VALUES

if TYPE_CHECKING:
    from archspec.contract import Category, Kind
    from archspec.program import Scope, Value


class Plain(ExpertKind):
    """Has what an expert needs, but is not registered."""

    def width(self, input: Width) -> Width:
        """As wide as its input."""
        return input

    def lower(self, at: Scope, x: Value) -> Value:
        """Returns its input."""
        return x


def _wide(self: Settings, size: Width) -> Width:  # noqa: ARG001 - a wrong signature
    return size


def _lower(self: Settings, at: object, gate: object) -> object:  # noqa: ARG001 - only its names matter
    """A correct signature."""
    return gate


def _any(self: Settings, seen: object) -> int:  # noqa: ARG001 - only its name matters
    return 1


def _rows(self: Settings, logits: object, labels: object) -> object:  # noqa: ARG001 - only its names matter
    return logits


@expert("one")
@expert("two")
class Two(Plain):
    """One class with two names."""


def test_a_class_may_have_several_names() -> None:
    """A class can be registered under several names; a subclass does not inherit them."""
    assert set(marks(Two)) == {("expert", "one"), ("expert", "two")}
    assert marks(Plain) == ()
    assert marks(type("Sub", (Two,), {})) == ()


def test_only_a_module_s_own_classes_count() -> None:
    """A class that a plugin only imports is not counted as the plugin's own."""
    names = {"__name__": __name__, "Two": Two, "Plain": Plain}
    assert list(marked_classes(names)) == [Two]
    assert list(marked_classes({**names, "__name__": "elsewhere"})) == []


def test_registry_is_immutable_and_sorted() -> None:
    """`including` returns a larger registry; names are sorted."""
    empty = Registry()
    full = empty.including([Two], "mine")
    assert full.names("expert") == ("one", "two")
    assert (full.find("expert", "one"), empty.find("expert", "one")) == (Two, None)
    assert full.plugins == ("mine",)


def test_a_name_is_given_once() -> None:
    """Two classes with one name are rejected, and both locations are named; registering one class twice is fine."""

    @expert("one")
    class Other(Plain):
        """Has the same name as Two."""

    registry = Registry().including([Two])
    assert registry.including([Two]).names("expert") == ("one", "two")
    with pytest.raises(
        ValueError, match=r"`one` of .*test_registry\.py:\d+ is already defined in .*test_registry\.py:\d+"
    ):
        registry.including([Other])


def test_wrong_classes_are_refused_where_they_are_written() -> None:
    """A class without Settings, with a missing method or with wrong arguments raises a TypeError that explains it."""
    with pytest.raises(TypeError, match=r"not a subclass of archspec\.ExpertKind"):
        expert("x")(int)  # type: ignore[type-var]
    with pytest.raises(TypeError, match="needs a method `width"):
        expert("x")(type("NoWidth", (Settings,), {}))
    with pytest.raises(TypeError, match=r"`width` takes \(size\), archspec calls it with \(input\)"):
        expert("x")(type("Wrong", (Plain,), {"width": _wide}))
    with pytest.raises(TypeError, match="needs a method"):
        loss("x")(type("NoRows", (Settings,), {}))


def test_a_misspelt_method_is_refused() -> None:
    """A method that archspec never calls is rejected if its name is similar to one that it does, which is suggested."""
    with pytest.raises(
        TypeError, match=r"calls no method `choosen`; did you mean `chosen`\? \(Name a helper .* `_choosen`"
    ):
        gate("x")(type("Odd", (GateKind,), {"lower": _lower, "choosen": _any}))


def test_helpers_of_other_names_are_free() -> None:
    """A helper with an unlike name, or a name that begins with an underscore, is allowed."""
    made: Any = gate("x")(type("Own", (GateKind,), {"lower": _lower, "project": _any, "_choosen": _any}))
    assert marks(made) == (("gate", "x"),)


@pytest.mark.parametrize("base", [GateKind, Settings])
@pytest.mark.filterwarnings("ignore:Field name:UserWarning")  # pydantic's own warning about it
def test_a_setting_cannot_be_named_like_a_method(base: type[Settings]) -> None:
    """A gate's setting `chosen` would hide a method that archspec calls, so declaring it raises an error."""
    body = {"__annotations__": {"chosen": int}, "lower": _lower}
    with pytest.raises(TypeError, match="the setting `chosen` has the name of a method of GateKind; rename it"):
        gate("x")(type("Odd", (base,), body))


RESERVED: list[tuple[Category, str]] = [
    (category, key) for category, base in BASES.items() for key in ("kind", *keys_of(base.common))
]


@pytest.mark.parametrize(("category", "key"), [*RESERVED, ("tower", "switch"), ("tower", "cases")])
def test_a_setting_cannot_be_named_like_a_key_of_every_block(category: Category, key: str) -> None:
    """A setting with a key that every block has would give that key two values, so it is rejected, even as an alias."""
    body = {"__annotations__": {"own": int}, "own": Field(1, alias=key)}
    with pytest.raises(TypeError, match=f"the setting `{key}` has the name of .* rename it"):
        getattr(archspec, category)("x")(type("Odd", (BASES[category],), body))


def test_a_setting_cannot_be_named_like_a_note() -> None:
    """Keys that begin with `x-` are dropped when a spec is read, so a setting with such a name is rejected."""
    body = {"__annotations__": {"own": int}, "own": Field(1, alias="x-own"), "lower": _lower}
    with pytest.raises(TypeError, match="`x-own` does, are notes"):
        gate("x")(type("Odd", (GateKind,), body))


@pytest.mark.filterwarnings("ignore:Field name:UserWarning")  # pydantic's own warning about it
def test_a_class_variable_without_its_type_is_a_setting_and_refused() -> None:
    """`paper: str = "..."` would be a key of the spec; the message says how to declare a class variable."""
    body = {"__annotations__": {"paper": str}, "paper": "arXiv", "lower": _lower}
    with pytest.raises(TypeError, match=r"`paper` has the name of a class variable .* `paper: ClassVar\[\.\.\.\] ="):
        gate("x")(type("Odd", (GateKind,), body))


@pytest.mark.parametrize(
    ("base", "variable", "value", "words"),
    [
        (LossKind, "tasks", "binary", "a tuple of names"),
        (LossKind, "tasks", (1,), "a tuple of names"),
        (LossKind, "stopped", ("other",), "a tuple of names of settings"),
        (LossKind, "reads", "probabilities", "one of logits, scores"),
        (GateKind, "adds_up", "yes", "True or False"),
        (GateKind, "excluded", "-inf", "a number or None"),
        (GateKind, "paper", 1706, "text"),
        (GateKind, "instead", {"k": "n"}, "a mapping from settings to tuples of settings"),
    ],
)
def test_a_class_variable_has_a_value_that_archspec_can_use(
    base: type[Kind], variable: str, value: object, words: str
) -> None:
    """A class variable with a value of the wrong type or an unknown name is rejected, with the legal values."""
    body = {variable: value, "lower": _lower, "rows": _rows}
    with pytest.raises(TypeError, match=re.escape(f"`{variable}` is {value!r}, not {words}")):
        {GateKind: gate, LossKind: loss}[base]("x")(type("Odd", (base,), body))


def test_every_class_variable_is_checked() -> None:
    """Every class variable of a base class has a rule, except `common`, which lists its keys."""
    known = {*_VALUES, "common"}
    assert all(base.__class_vars__ <= known for base in BASES.values())
    assert known == set().union(*(base.__class_vars__ for base in BASES.values()))


@pytest.mark.parametrize("name", ["Bad-Name", "", "2d", "a b", 3, None])
def test_the_name_of_a_kind_is_a_name(name: Any) -> None:  # noqa: ANN401 - not only text
    """`kind: Bad-Name` is legal YAML, but a kind's name may contain only a-z, 0-9 and _."""
    for category in BASES:
        with pytest.raises(TypeError, match=re.escape(f"cannot be {name!r}")):
            getattr(archspec, category)(name)


def test_a_decorator_without_a_name_says_so() -> None:
    """`@expert` without parentheses raises an error that shows how to write it."""
    with pytest.raises(TypeError, match=r'write `@expert\("name"\)` above class Plain'):
        expert(Plain)  # type: ignore[arg-type]


def test_a_class_of_settings_alone_gets_the_base_class() -> None:
    """Plugins that derive from Settings alone still work, with the defaults of their category."""

    class Old(Settings):
        k: int = 2

        def lower(self, at: Scope, gate: Any) -> Value:  # noqa: ANN401 - unlike GateKind's
            return at.softmax(gate.selector)

    old: Any = gate("x")(Old)
    assert issubclass(old, GateKind)
    assert (old.__name__, old.__module__, old.__qualname__.rpartition(".")[2]) == ("Old", __name__, "Old")
    assert old().chosen(None) is None
    assert Registry().including([old]).find("gate", "x") is old
