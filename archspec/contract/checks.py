"""Checks of a class that a decorator marks as a kind: its settings, its class variables and its methods."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from pydantic import PydanticUndefinedAnnotation, ValidationError

from archspec.contract.kinds import BASES, NEEDED, FusionKind
from archspec.contract.methods import methods
from archspec.contract.settings import Settings, keys_of
from archspec.contract.variables import wrong_variable
from archspec.diagnostics import suggest

if TYPE_CHECKING:
    from collections.abc import Callable

    from archspec.contract.kind import Kind
    from archspec.contract.kinds import Category


def signature(method: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a method's arguments, without `self`."""
    code = getattr(method, "__code__", None)
    if code is None or code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS):
        return tuple(inspect.signature(method).parameters)[1:]
    names: tuple[str, ...] = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    return names  # ten times as fast, for every kind at every start


_PLAIN = frozenset({"int", "str", "float", "bool", "bytes", "list", "dict", "set", "tuple", "None"})
"""Types that are compared by name: writing one of them where archspec has another is a mistake."""


def _wrong_types(cls: type[Settings], name: str, own: Callable[..., Any], original: Callable[..., Any]) -> str:
    """The first annotation of a method that contradicts that of the base class; empty if there is none."""
    written, expected = (dict(getattr(method, "__annotations__", {})) for method in (own, original))
    passed = _FIELDS if getattr(cls, "takes", "rows") == "fields" else _ROWS
    given, wanted = _head(written.pop("return", "")), _head(expected.pop("return", ""))
    if given in _PLAIN and given != wanted and "None" not in (wanted, str(original.__annotations__.get("return"))[-4:]):
        return f"`{name}` returns {given}, archspec needs {_article(wanted)}"
    for argument, annotation in expected.items():
        given, wanted = _head(written.get(argument, "")), _head(annotation)
        wanted = passed.get(wanted, wanted)
        if given in _PLAIN and given != wanted:
            return f"`{argument}` of `{name}` is {_article(given)}, archspec passes {_article(wanted)}"
    return ""


_ROWS = {"Read": "int", "Given": "Value"}
_FIELDS = {"Read": "tuple", "Given": "tuple"}
"""What a kind that takes fields is passed: a tuple of widths, a tuple of values."""


def _head(annotation: object) -> str:
    """The name of a type as written, without its module and its arguments."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    name = text.strip("\"'").partition("[")[0].partition(" |")[0].rpartition(".")[2]
    return "int" if name == "Width" else name


def _article(name: str) -> str:
    return name if name == "None" else f"{'an' if name[:1] in 'aeiouAEIOU' else 'a'} {name}"


def problem_of(cls: type[Settings], category: Category) -> str:
    """Why a class cannot be a kind of a category, with a fix, as the rest of a sentence about it; empty if it can."""
    base = BASES[category]
    return (
        _wrong_setting(cls, base)
        or wrong_variable(cls, base)
        or _wrong_overrides(cls, base)
        or _misspelt(cls, base)
        or _missing(cls, base, NEEDED[category])
    )


SWITCH = ("switch", "cases", "output")
"""Keys of a tower in which each row uses the case of its domain, instead of a kind's settings."""
FURTHER = {"tower": SWITCH, "task": ("loss",)}
"""Category -> keys of its blocks that are not settings."""


def _wrong_setting(cls: type[Settings], base: type[Kind]) -> str:
    """The first setting whose name has another meaning; empty if there is none."""
    category = next(name for name, each in BASES.items() if each is base).replace("_", " ")
    every = {*keys_of(base.common), *FURTHER.get(category, ())}
    for name, key in zip(cls.model_fields, keys_of(cls), strict=True):
        if name in methods(base):
            return f": the setting `{name}` has the name of a method of {base.__name__}; rename it"
        if name in base.__class_vars__:
            rename = f"rename it, or write `{name}: ClassVar[...] = ...`"
            return f": the setting `{name}` has the name of a class variable of {base.__name__}; {rename}"
        if key == "kind":
            return ": the setting `kind` has the name of the key that names the kind itself; rename it"
        if key in every:
            return f": the setting `{key}` has the name of a key that {_article(category)} of any kind has; rename it"
        if key.startswith("x-"):
            return f": keys that begin with `x-`, as `{key}` does, are notes that nothing reads; rename it"
    return ""


def wrong_settings(cls: type[Settings]) -> str:
    """The first setting whose type is unknown, or whose default is not of its type; empty if there is none.

    Decorators do not check this: it takes the time of building the class's validator.
    """
    body = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "model_config": {"validate_default": True}}
    metaclass: Any = type(cls)
    strict = metaclass(cls.__name__, (cls,), body)
    try:
        strict.model_rebuild()
        strict.model_validate({})
    except PydanticUndefinedAnnotation as error:
        outside = "import it outside `if TYPE_CHECKING:`"
        return f"the type `{error.name}` of a setting is imported only for type checkers: {outside}"
    except ValidationError as error:
        for found in error.errors(include_url=False):
            if found["type"] != "missing" and found["loc"]:
                name, said = ".".join(map(str, found["loc"])), found["msg"].removeprefix("Input should be ")
                return f"the default of the setting `{name}` is {found['input']!r}, which must be {said}"
    return ""


def _wrong_overrides(cls: type[Settings], base: type[Kind]) -> str:
    """The first method that is not what archspec expects by that name; empty if none."""
    for method, original in methods(base).items():
        own = getattr(cls, method, original)
        if own is original:
            continue
        if not callable(own):
            return f": `{method}` is a method of {base.__name__}, not {_article(type(own).__name__)}; rename it"
        if problem := wrong_arguments(method, own, original):
            return f": {problem}"
        if problem := _wrong_types(cls, method, own, original):
            return f": {problem}"
    return ""


def wrong_arguments(name: str, own: Callable[..., Any], original: Callable[..., Any]) -> str:
    """How the arguments of a method differ from those that archspec passes; empty if they do not."""
    takes, called = (", ".join(signature(each)) for each in (own, original))
    return "" if takes == called else f"`{name}` takes ({takes}), archspec calls it with ({called})"


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
    if base is FusionKind and "of" not in cls.model_fields:
        return " needs a setting `of`: the names of the outputs that it reads, such as `of: tuple[str, ...]`"
    known = methods(base)
    for options in needed:
        if all(getattr(cls, method, known[method]) is known[method] for method in options):
            arguments = ", ".join(("self", *signature(known[options[0]])))
            return f" needs a method `{' or '.join(options)}({arguments})`"
    return ""
