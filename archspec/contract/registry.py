"""Maps `kind: NAME` to a class: the decorators mark classes, a Registry contains marked classes.

A decorator only marks a class; nothing is registered globally. Only `archspec.plugins.load` adds marked classes to a
Registry, for built-in kinds and plugins alike.
"""

from __future__ import annotations

import inspect
import re
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar, cast

from archspec.contract.checks import problem_of
from archspec.contract.input_kinds import InputKind
from archspec.contract.kind import Kind
from archspec.contract.kinds import BASES, Category, ExpertKind, FeatureGateKind, FusionKind, GateKind, TowerKind
from archspec.contract.settings import Settings
from archspec.contract.training_kinds import BalanceKind, LossKind, TaskKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, MutableMapping

KindClass = type[Kind]

InputK = TypeVar("InputK", bound=InputKind)
ExpertK = TypeVar("ExpertK", bound=ExpertKind)
GateK = TypeVar("GateK", bound=GateKind)
FeatureGateK = TypeVar("FeatureGateK", bound=FeatureGateKind)
TowerK = TypeVar("TowerK", bound=TowerKind)
FusionK = TypeVar("FusionK", bound=FusionKind)
TaskK = TypeVar("TaskK", bound=TaskKind)
LossK = TypeVar("LossK", bound=LossKind)
BalanceK = TypeVar("BalanceK", bound=BalanceKind)

IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")
"""The pattern of the names of kinds, and of all names in a spec."""

_MARK = "__archspec_kinds__"
_SOURCE = "__archspec_source__"


class KindsOnUse(Mapping[tuple[str, str], KindClass]):
    """Classes of kinds by category and name; the module of a class is imported when the class is first looked up.

    Args:
        modules: the module that marks the class of each kind.
    """

    def __init__(self, modules: Mapping[tuple[str, str], str]) -> None:
        self.modules = modules
        self._found: dict[tuple[str, str], KindClass] = {}

    def __getitem__(self, key: tuple[str, str]) -> KindClass:
        if key not in self._found:
            names = vars(import_module(self.modules[key]))
            self._found.update({mark: cls for cls in marked_classes(names) for mark in marks(cls)})
        return self._found[key]

    def __contains__(self, key: object) -> bool:
        return key in self.modules

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.modules)

    def __len__(self) -> int:
        return len(self.modules)


@dataclass(frozen=True, slots=True)
class Registry:
    """Kinds by category and name. Immutable: `including` returns a larger one."""

    kinds: Mapping[tuple[str, str], KindClass] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    """Names of the plugins in it, which a spec may list in `requires`."""

    def find(self, category: str, name: str) -> KindClass | None:
        """The class of a kind, or None."""
        return self.kinds.get((category, name))

    def names(self, category: str) -> tuple[str, ...]:
        """Names of the kinds of a category, sorted."""
        return tuple(sorted(name for kind, name in self.kinds if kind == category))

    def including(self, classes: Iterable[KindClass], plugin: str | None = None) -> Registry:
        """This registry plus the kinds of more classes. Raises ValueError if a name is taken, with both places."""
        added: dict[tuple[str, str], KindClass] = {}
        for cls in classes:
            for category, name in marks(cls):
                other = self.find(category, name) or added.setdefault((category, name), cls)
                if other is not cls:
                    raise ValueError(f"{category} kind `{name}` of {place(cls)} is already defined in {place(other)}")
        # A ChainMap writes only to its first map, so the others need not be mutable.
        known = cast("MutableMapping[tuple[str, str], KindClass]", self.kinds)
        return Registry(ChainMap(added, known), (*self.plugins, plugin) if plugin else self.plugins)


def marks(cls: type) -> tuple[tuple[str, str], ...]:
    """The (category, name) pairs that decorators gave this class, without those of its bases."""
    found: tuple[tuple[str, str], ...] = cls.__dict__.get(_MARK, ())
    return found


def marked_classes(names: Mapping[str, Any]) -> Iterator[KindClass]:
    """The classes in a module's namespace that were marked in that module or a submodule."""
    home = names["__name__"]
    for thing in names.values():
        if (
            isinstance(thing, type)
            and issubclass(thing, Kind)
            and marks(thing)
            and (thing.__module__ == home or thing.__module__.startswith(f"{home}."))
        ):
            yield thing


def place(cls: type) -> str:
    """`file:line` of a class, for messages."""
    cls = vars(cls).get(_SOURCE, cls)
    try:
        return f"{inspect.getsourcefile(cls)}:{inspect.getsourcelines(cls)[1]}"
    except (OSError, TypeError):
        return f"{cls.__module__}.{cls.__qualname__}"


def _decorator(category: Category, name: object) -> Callable[[Any], Any]:
    """The decorator that makes a class a kind with this name. Raises TypeError if the name is not allowed."""
    if isinstance(name, type):
        raise TypeError(f'write `@{category}("name")` above class {name.__name__}; specs use the name as `kind: name`')
    if not (isinstance(name, str) and IDENTIFIER.fullmatch(name)):
        raise TypeError(
            f"a name of {category} kinds cannot be {name!r}: a name consists of a-z, 0-9 and _ and begins with a letter"
        )
    return lambda cls: _marked(cls, category, name)


def _marked(cls: Any, category: Category, name: str) -> Any:  # noqa: ANN401 - what is marked may be anything, and is checked
    """Marks a class as a kind of a category; a class derived only from Settings also gets the category's base class."""
    base = BASES[category]
    if not (isinstance(cls, type) and issubclass(cls, Settings)):
        raise TypeError(f"{category} kind `{name}`: {cls!r} is not a subclass of archspec.{base.__name__}")
    if problem := problem_of(cls, category):
        raise TypeError(f"{category} kind `{name}` ({place(cls)}){problem}")
    if not issubclass(cls, base):
        names: dict[str, Any] = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
        names |= {_MARK: marks(cls), _SOURCE: cls}
        metaclass: Any = type(cls)
        cls = metaclass(cls.__name__, (cls, base), names)
    setattr(cls, _MARK, (*marks(cls), (category, name)))
    return cls


def input(name: str) -> Callable[[type[InputK]], type[InputK]]:  # noqa: A001 - the category's name in the language
    """Makes a class an input kind of this name. Raises TypeError if it does not fit InputKind."""
    return _decorator("input", name)


def expert(name: str) -> Callable[[type[ExpertK]], type[ExpertK]]:
    """Makes a class an expert kind of this name. Raises TypeError if it does not fit ExpertKind."""
    return _decorator("expert", name)


def gate(name: str) -> Callable[[type[GateK]], type[GateK]]:
    """Makes a class a gate kind of this name. Raises TypeError if it does not fit GateKind."""
    return _decorator("gate", name)


def feature_gate(name: str) -> Callable[[type[FeatureGateK]], type[FeatureGateK]]:
    """Makes a class a feature gate kind of this name. Raises TypeError if it does not fit its base class."""
    return _decorator("feature_gate", name)


def tower(name: str) -> Callable[[type[TowerK]], type[TowerK]]:
    """Makes a class a tower kind of this name. Raises TypeError if it does not fit TowerKind."""
    return _decorator("tower", name)


def fusion(name: str) -> Callable[[type[FusionK]], type[FusionK]]:
    """Makes a class a fusion kind of this name. Raises TypeError if it does not fit FusionKind."""
    return _decorator("fusion", name)


def task(name: str) -> Callable[[type[TaskK]], type[TaskK]]:
    """Makes a class a task kind with this name. Raises TypeError if it does not fit TaskKind."""
    return _decorator("task", name)


def loss(name: str) -> Callable[[type[LossK]], type[LossK]]:
    """Makes a class a loss kind of this name. Raises TypeError if it does not fit LossKind."""
    return _decorator("loss", name)


def balance(name: str) -> Callable[[type[BalanceK]], type[BalanceK]]:
    """Makes a class a balance kind of this name. Raises TypeError if it does not fit BalanceKind."""
    return _decorator("balance", name)
