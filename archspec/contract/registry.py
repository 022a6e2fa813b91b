"""Which class stands behind `kind: NAME`: the decorators mark classes, a Registry holds the marked ones.

A decorator only marks; nothing is registered globally. The one door through which marked classes come into a
Registry is `archspec.plugins.load`, for built-in kinds and plugins alike.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from archspec.contract.settings import Settings

KindClass = type[Settings]
_Class = TypeVar("_Class", bound=KindClass)

_EITHER: Final = ("lower", "build")

CATEGORIES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "input": {"width": ("inputs",), "lower": ("at", "column", "inputs"), "column": ("inputs",)},
    "expert": {"width": ("input",), "lower": ("at", "x"), "build": ("input",)},
    "gate": {"lower": ("at", "gate"), "build": ("seen",)},
    "feature_gate": {"lower": ("at", "selector", "count"), "build": ("selector", "count")},
    "tower": {"width": ("input",), "lower": ("at", "x"), "build": ("input",)},
    "fusion": {"lower": ("at", "parts")},
    "loss": {"rows": ("logits", "labels")},
    "balance": {"build": ("tasks",)},
}
"""Categories of kinds, with the methods of each and the arguments that archspec calls them with."""

_MARK = "__archspec_kinds__"


@dataclass(frozen=True, slots=True)
class Registry:
    """Kinds by category and name. Immutable: `including` makes a larger one."""

    kinds: Mapping[tuple[str, str], KindClass] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    """Names of the plugins in it: what a spec's `requires` may ask for."""

    def find(self, category: str, name: str) -> KindClass | None:
        """The class behind a kind's name, or None."""
        return self.kinds.get((category, name))

    def names(self, category: str) -> tuple[str, ...]:
        """Names of the kinds of a category, sorted."""
        return tuple(sorted(name for kind, name in self.kinds if kind == category))

    def including(self, classes: Iterable[KindClass], plugin: str | None = None) -> Registry:
        """This registry with the kinds of more classes. Raises ValueError where a name is taken, naming both places."""
        kinds = dict(self.kinds)
        for cls in classes:
            for category, name in marks(cls):
                other = kinds.setdefault((category, name), cls)
                if other is not cls:
                    raise ValueError(f"{category} kind `{name}` of {place(cls)} is already defined in {place(other)}")
        return Registry(kinds, (*self.plugins, plugin) if plugin else self.plugins)


def marks(cls: type) -> tuple[tuple[str, str], ...]:
    """The (category, name) pairs that decorators gave this very class."""
    found: tuple[tuple[str, str], ...] = cls.__dict__.get(_MARK, ())
    return found


def marked_classes(names: Mapping[str, Any]) -> Iterator[KindClass]:
    """The classes in a module's namespace that were marked in that module."""
    for thing in names.values():
        if isinstance(thing, type) and issubclass(thing, Settings) and marks(thing) and thing.__module__ == names["__name__"]:
            yield thing


def place(cls: type) -> str:
    """`file:line` of a class, for messages."""
    try:
        return f"{inspect.getsourcefile(cls)}:{inspect.getsourcelines(cls)[1]}"
    except (OSError, TypeError):
        return f"{cls.__module__}.{cls.__qualname__}"


def _check_methods(cls: type, category: str, name: str) -> None:
    methods = CATEGORIES[category]
    for method, arguments in methods.items():
        function = getattr(cls, method, None)
        if function is None:
            if method in _EITHER and any(getattr(cls, other, None) for other in _EITHER if other in methods):
                continue
            wanted = " or ".join(m for m in _EITHER if m in methods) if method in _EITHER else method
            raise TypeError(f"{category} kind `{name}` ({place(cls)}) needs a method `{wanted}(self, {', '.join(arguments)})`")
        found = tuple(inspect.signature(function).parameters)[1:]
        if found != arguments:
            raise TypeError(
                f"{category} kind `{name}` ({place(cls)}): `{method}` takes ({', '.join(found)}), "
                f"archspec calls it with ({', '.join(arguments)})"
            )


def _decorator(category: str) -> Callable[[str], Callable[[_Class], _Class]]:
    def named(name: str) -> Callable[[_Class], _Class]:
        def mark(cls: _Class) -> _Class:
            if not (isinstance(cls, type) and issubclass(cls, Settings)):
                raise TypeError(f"{category} kind `{name}`: {cls!r} is no subclass of archspec.Settings")
            _check_methods(cls, category, name)
            setattr(cls, _MARK, (*marks(cls), (category, name)))
            return cls

        return mark

    named.__doc__ = f"Names a Settings class as a kind of the category `{category}`. Raises TypeError on a wrong signature."
    named.__name__ = category
    return named


input = _decorator("input")  # noqa: A001 - the category's name in the language
expert = _decorator("expert")
gate = _decorator("gate")
feature_gate = _decorator("feature_gate")
tower = _decorator("tower")
fusion = _decorator("fusion")
loss = _decorator("loss")
balance = _decorator("balance")
