"""Maps `kind: NAME` to a class: the decorators mark classes, a Registry contains marked classes.

A decorator only marks a class; nothing is registered globally. Only `archspec.plugins.load` adds marked classes to a
Registry, for built-in kinds and plugins alike.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from archspec.contract.kinds import (
    BASES,
    NEEDED,
    WORDS,
    BalanceKind,
    Category,
    ExpertKind,
    FeatureGateKind,
    FusionKind,
    GateKind,
    InputKind,
    Kind,
    LossKind,
    TowerKind,
    methods,
)
from archspec.contract.settings import Settings
from archspec.diagnostics import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

KindClass = type[Kind]

InputK = TypeVar("InputK", bound=InputKind)
ExpertK = TypeVar("ExpertK", bound=ExpertKind)
GateK = TypeVar("GateK", bound=GateKind)
FeatureGateK = TypeVar("FeatureGateK", bound=FeatureGateKind)
TowerK = TypeVar("TowerK", bound=TowerKind)
FusionK = TypeVar("FusionK", bound=FusionKind)
LossK = TypeVar("LossK", bound=LossKind)
BalanceK = TypeVar("BalanceK", bound=BalanceKind)

_MARK = "__archspec_kinds__"
_SOURCE = "__archspec_source__"


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
        kinds = dict(self.kinds)
        for cls in classes:
            for category, name in marks(cls):
                other = kinds.setdefault((category, name), cls)
                if other is not cls:
                    raise ValueError(f"{category} kind `{name}` of {place(cls)} is already defined in {place(other)}")
        return Registry(kinds, (*self.plugins, plugin) if plugin else self.plugins)


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


def signature(method: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a method's arguments, without `self`."""
    code = getattr(method, "__code__", None)
    if code is None or code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS):
        return tuple(inspect.signature(method).parameters)[1:]
    names: tuple[str, ...] = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    return names  # ten times as fast, for every kind at every start


_PLAIN = frozenset({"int", "str", "float", "bool", "bytes", "list", "dict", "set", "tuple", "None"})
"""Types that are compared by name: writing one of them where archspec has another is a mistake."""


def _wrong_types(name: str, own: Callable[..., Any], original: Callable[..., Any]) -> str:
    """The first annotation of a method that contradicts that of the base class; empty if there is none."""
    written, expected = (dict(getattr(method, "__annotations__", {})) for method in (own, original))
    given, wanted = _head(written.pop("return", "")), _head(expected.pop("return", ""))
    if given in _PLAIN and given != wanted and "None" not in (wanted, str(original.__annotations__.get("return"))[-4:]):
        return f"`{name}` returns {given}, archspec needs {_article(wanted)}"
    for argument, annotation in expected.items():
        given, wanted = _head(written.get(argument, "")), _head(annotation)
        if given in _PLAIN and given != wanted:
            return f"`{argument}` of `{name}` is {_article(given)}, archspec passes {_article(wanted)}"
    return ""


def _head(annotation: object) -> str:
    """The name of a type as written, without its module and its arguments."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    name = text.strip("\"'").partition("[")[0].partition(" |")[0].rpartition(".")[2]
    return "int" if name == "Width" else name


def _article(name: str) -> str:
    return name if name == "None" else f"{'an' if name[:1] in 'aeiouAEIOU' else 'a'} {name}"


def _check(cls: type[Settings], category: Category, name: str) -> None:
    """Raises TypeError if a class does not fit its category's base class; the message has its place and a fix."""
    base = BASES[category]
    problem = _wrong_overrides(cls, base) or _misspelt(cls, base) or _missing(cls, base, NEEDED[category])
    if problem:
        raise TypeError(f"{category} kind `{name}` ({place(cls)}){problem}")


def _wrong_overrides(cls: type[Settings], base: type[Kind]) -> str:
    """The first setting, class variable or method that is not what archspec expects by that name; empty if none."""
    known = methods(base)
    if taken := [key for key in known if key in cls.model_fields]:
        return f": the setting `{taken[0]}` has the name of a method of {base.__name__}; rename it"
    for variable, words in WORDS.items():
        if hasattr(base, variable) and (value := getattr(cls, variable, words[0])) not in words:
            return f": `{variable}` is {value!r}, not one of {', '.join(words)}"
    for method, original in known.items():
        own = getattr(cls, method, original)
        if own is original:
            continue
        if not callable(own):
            return f": `{method}` is a method of {base.__name__}, not {_article(type(own).__name__)}; rename it"
        if signature(own) != signature(original):
            takes, called = (", ".join(signature(each)) for each in (own, original))
            return f": `{method}` takes ({takes}), archspec calls it with ({called})"
        if problem := _wrong_types(method, own, original):
            return f": {problem}"
    return ""


def _misspelt(cls: type[Settings], base: type[Kind]) -> str:
    """A method that archspec never calls, but whose name is similar to one that it does call; empty if none."""
    known = methods(base)
    mine = {key for key, value in vars(cls).items() if callable(value) and not key.startswith(("_", "model_"))}
    for method in sorted(mine - known.keys()):
        if meant := suggest(method, [key for key in known if key not in mine]):
            own = f"(Name a helper of your own `_{method}`)"
            return f": archspec calls no method `{method}`; did you mean `{meant}`? {own}"
    return ""


def _missing(cls: type[Settings], base: type[Kind], needed: tuple[tuple[str, ...], ...]) -> str:
    """The alternatives for a needed method that the class lacks; empty if it lacks none."""
    known = methods(base)
    for options in needed:
        if all(getattr(cls, method, known[method]) is known[method] for method in options):
            arguments = ", ".join(("self", *signature(known[options[0]])))
            return f" needs a method `{' or '.join(options)}({arguments})`"
    return ""


def _marked(cls: Any, category: Category, name: str) -> Any:  # noqa: ANN401 - what is marked may be anything, and is checked
    """Marks a class as a kind of a category; a class derived only from Settings also gets the category's base class."""
    base = BASES[category]
    if not (isinstance(cls, type) and issubclass(cls, Settings)):
        raise TypeError(f"{category} kind `{name}`: {cls!r} is not a subclass of archspec.{base.__name__}")
    _check(cls, category, name)
    if not issubclass(cls, base):
        names: dict[str, Any] = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
        names |= {_MARK: marks(cls), _SOURCE: cls}
        metaclass: Any = type(cls)
        cls = metaclass(cls.__name__, (cls, base), names)
    setattr(cls, _MARK, (*marks(cls), (category, name)))
    return cls


def input(name: str) -> Callable[[type[InputK]], type[InputK]]:  # noqa: A001 - the category's name in the language
    """Makes a class an input kind of this name. Raises TypeError if it does not fit InputKind."""
    return lambda cls: _marked(cls, "input", name)


def expert(name: str) -> Callable[[type[ExpertK]], type[ExpertK]]:
    """Makes a class an expert kind of this name. Raises TypeError if it does not fit ExpertKind."""
    return lambda cls: _marked(cls, "expert", name)


def gate(name: str) -> Callable[[type[GateK]], type[GateK]]:
    """Makes a class a gate kind of this name. Raises TypeError if it does not fit GateKind."""
    return lambda cls: _marked(cls, "gate", name)


def feature_gate(name: str) -> Callable[[type[FeatureGateK]], type[FeatureGateK]]:
    """Makes a class a feature gate kind of this name. Raises TypeError if it does not fit its base class."""
    return lambda cls: _marked(cls, "feature_gate", name)


def tower(name: str) -> Callable[[type[TowerK]], type[TowerK]]:
    """Makes a class a tower kind of this name. Raises TypeError if it does not fit TowerKind."""
    return lambda cls: _marked(cls, "tower", name)


def fusion(name: str) -> Callable[[type[FusionK]], type[FusionK]]:
    """Makes a class a fusion kind of this name. Raises TypeError if it does not fit FusionKind."""
    return lambda cls: _marked(cls, "fusion", name)


def loss(name: str) -> Callable[[type[LossK]], type[LossK]]:
    """Makes a class a loss kind of this name. Raises TypeError if it does not fit LossKind."""
    return lambda cls: _marked(cls, "loss", name)


def balance(name: str) -> Callable[[type[BalanceK]], type[BalanceK]]:
    """Makes a class a balance kind of this name. Raises TypeError if it does not fit BalanceKind."""
    return lambda cls: _marked(cls, "balance", name)
