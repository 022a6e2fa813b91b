"""Which class stands behind `kind: NAME`: the decorators mark classes, a Registry holds the marked ones.

A decorator only marks; nothing is registered globally. The one door through which marked classes come into a
Registry is `archspec.plugins.load`, for built-in kinds and plugins alike.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from archspec.contract.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

KindClass = type[Settings]
_Class = TypeVar("_Class", bound=KindClass)

_EITHER: Final = ("lower", "build", "auxiliary", "rows", "joint")
"""Methods of which a kind needs one, among those that its category has."""

CATEGORIES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "input": {"width": ("inputs",), "lower": ("at", "column", "inputs"), "column": ("inputs",)},
    "expert": {"width": ("input",), "lower": ("at", "x"), "build": ("input",)},
    "gate": {"lower": ("at", "gate"), "build": ("seen",)},
    "feature_gate": {"lower": ("at", "selector", "count"), "build": ("selector", "count")},
    "tower": {"width": ("input",), "lower": ("at", "x"), "build": ("input",)},
    "fusion": {"lower": ("at", "parts"), "auxiliary": ("at", "parts")},
    "loss": {"rows": ("logits", "labels"), "joint": ("logits", "labels", "outputs", "batch")},
    "balance": {"build": ("tasks",)},
}
"""Categories of kinds, with the methods of each and the arguments that archspec calls them with."""

OPTIONAL: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "gate": {"check": ("seen",), "values": ("at", "gate"), "chosen": ("seen",)},
    "tower": {"head": ("at", "hidden", "outputs")},
    "fusion": {"logits": ("at", "parts"), "excess": ("probabilities",)},
}
"""Methods that a kind may have besides. `values`: what a gate mixes instead of the experts it sees, E times `[B, H]`.
`chosen`: how many weights of a row at most are not zero, where those that are zero pass no gradient on.
`head`: a tower's logits `[B, outputs]` from its hidden vector, instead of a linear layer. `logits`: a fusion's logit,
for fusions that are a binary task. `excess`: by which part a fusion's score may leave 0..1, and how, or None; without
it every fusion that has `logits` counts as a probability."""

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
    """The classes in a module's namespace that were marked in that module, or in one below it."""
    home = names["__name__"]
    for thing in names.values():
        if (
            isinstance(thing, type)
            and issubclass(thing, Settings)
            and marks(thing)
            and (thing.__module__ == home or thing.__module__.startswith(f"{home}."))
        ):
            yield thing


def place(cls: type) -> str:
    """`file:line` of a class, for messages."""
    try:
        return f"{inspect.getsourcefile(cls)}:{inspect.getsourcelines(cls)[1]}"
    except (OSError, TypeError):
        return f"{cls.__module__}.{cls.__qualname__}"


def _check_methods(cls: type, category: str, name: str) -> None:
    methods = CATEGORIES[category]
    for method, arguments in {**methods, **OPTIONAL.get(category, {})}.items():
        function = getattr(cls, method, None)
        if function is None and method not in methods:
            continue
        if function is None:
            if method in _EITHER and any(getattr(cls, other, None) for other in _EITHER if other in methods):
                continue
            wanted = " or ".join(m for m in _EITHER if m in methods) if method in _EITHER else method
            raise TypeError(
                f"{category} kind `{name}` ({place(cls)}) needs a method `{wanted}(self, {', '.join(arguments)})`"
            )
        found = tuple(inspect.signature(function).parameters)[1:]
        if found != arguments:
            raise TypeError(
                f"{category} kind `{name}` ({place(cls)}): `{method}` takes ({', '.join(found)}), "
                f"archspec calls it with ({', '.join(arguments)})"
            )


def _decorator(category: str) -> Callable[[str], Callable[[_Class], _Class]]:
    def named(name: str) -> Callable[[_Class], _Class]:
        def mark(cls: _Class) -> _Class:
            if not (isinstance(cls, type) and issubclass(cls, Settings)):  # type: ignore[redundant-expr] # any may be marked
                raise TypeError(f"{category} kind `{name}`: {cls!r} is no subclass of archspec.Settings")
            _check_methods(cls, category, name)
            setattr(cls, _MARK, (*marks(cls), (category, name)))
            return cls

        return mark

    named.__doc__ = (
        f"Names a Settings class as a kind of the category `{category}`. Raises TypeError on a wrong signature."
    )
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
