"""The class variables of a kind, such as `selects`, and their legal values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archspec.contract.kind import Kind
    from archspec.contract.settings import Settings

_Fits = Callable[["type[Settings]", Any], bool]


def wrong_variable(cls: type[Settings], base: type[Kind]) -> str:
    """The first class variable with a value that archspec cannot use; empty if there is none."""
    for variable in sorted(base.__class_vars__ & _VALUES.keys()):
        words, fits = _VALUES[variable]
        value = getattr(cls, variable, getattr(base, variable))
        if not fits(cls, value):
            return f": `{variable}` is {value!r}, not {words}"
    return ""


def _are_settings(cls: type[Settings], value: object) -> bool:
    return isinstance(value, tuple) and all(name in cls.model_fields for name in value)


def _is_instead(cls: type[Settings], value: object) -> bool:
    return isinstance(value, Mapping) and all(_are_settings(cls, names) for names in (tuple(value), *value.values()))


def _one_of(*words: str) -> tuple[str, _Fits]:
    return f"one of {', '.join(words)}", lambda _, value: value in words


_TEXT: tuple[str, _Fits] = "text", lambda _, value: isinstance(value, str)
_NAMES: tuple[str, _Fits] = (
    "a tuple of names",
    lambda _, value: isinstance(value, tuple) and all(isinstance(name, str) for name in value),
)
_VALUES: Mapping[str, tuple[str, _Fits]] = {
    "paper": _TEXT,
    "formula": _TEXT,
    "title": _TEXT,
    "instead": ("a mapping from settings to tuples of settings", _is_instead),
    "takes": _one_of("rows", "fields", "tokens"),
    "gives": _one_of("rows", "tokens"),
    "selects": _one_of("stream", "domain", "none"),
    "adds_up": ("True or False", lambda _, value: isinstance(value, bool)),
    "excluded": ("a number or None", lambda _, value: value is None or type(value) in {int, float}),
    "logit_as_part": ("True or False", lambda _, value: isinstance(value, bool)),
    "output": _one_of("binary", "regression", "multiclass"),
    "score": _TEXT,
    "lowest": ("a number or None", lambda _, value: value is None or type(value) in {int, float}),
    "whole": ("True or False", lambda _, value: isinstance(value, bool)),
    "metrics": _NAMES,
    "tasks": _NAMES,
    "outputs": ("a number of outputs or None", lambda _, value: value is None or type(value) is int),
    "selects_rows": ("True or False", lambda _, value: isinstance(value, bool)),
    "reads": _one_of("logits", "scores"),
    "stopped": ("a tuple of names of settings", _are_settings),
    "gradients": _one_of("none", "last", "shared"),
}
"""Class variable -> what its value must be, and whether it is."""
