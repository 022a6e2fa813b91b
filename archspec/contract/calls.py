"""Calls of the methods of kinds: every such call goes through `ask`, which checks the type of the result."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from archspec.contract.checks import signature
from archspec.contract.input_kinds import InputKind
from archspec.contract.kinds import BASES, ExpertKind, FusionKind, GateKind
from archspec.contract.methods import methods
from archspec.contract.registry import place
from archspec.contract.settings import KindError, Settings
from archspec.contract.training_kinds import BalanceKind, TaskKind
from archspec.diagnostics import Diagnostic
from archspec.program.columns import Column
from archspec.program.given import Rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archspec.diagnostics import Note, Span

MAKES_VALUES = frozenset({"lower", "head", "values", "logits"})
"""Methods that return values of the program: the caller knows the shapes that these must have."""
MAKES_TENSORS = frozenset({"rows", "joint", "within"})
"""Methods that torch calls in training: `archspec.train` checks the shapes of what they return."""


class WrongAnswerError(TypeError):
    """A method of a kind returned something that archspec cannot use; the message begins with `returns`."""


def ask(kind: Settings, method: str, *arguments: Any) -> Any:  # noqa: ANN401 - each method has its own
    """Calls a method of a kind, and checks the type of what it returns.

    Raises:
        WrongAnswerError: the method returned something else.
        Exception: whatever the method raises, such as KindError.
    """
    answer = getattr(kind, method)(*arguments)
    words, fits = _answer_of(type(kind), method)
    if not fits(kind, answer):
        raise WrongAnswerError(f"returns {reprlib.repr(answer)} as its `{method}`, which must be {words}")
    return answer


def first_failure(kind: Settings) -> tuple[str, Exception] | None:
    """The first method that a kind cannot answer with its settings alone, and its error; None if there is none."""
    for method in _alone(type(kind)):
        try:
            ask(kind, method)
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything
            return method, error
    if isinstance(kind, FusionKind):
        of: Any = getattr(kind, "of", None)
        if not isinstance(of, tuple | Mapping) or not all(isinstance(name, str) for name in of):
            shown = reprlib.repr(of)
            return "of", WrongAnswerError(f"has {shown} as its `of`, which must be a tuple of names, or a dict of them")
    return None


@cache
def _alone(cls: type[Settings]) -> tuple[str, ...]:
    """The methods without arguments that a kind overrides: they need only its settings."""
    known = methods(cls)
    asked = {name: method for base in _BASES if issubclass(cls, base) for name, method in methods(base).items()}
    return tuple(name for name, method in asked.items() if not signature(method) and known[name] is not method)


def defect(  # noqa: PLR0913 - the parts of a diagnostic
    error: Exception,
    method: str,
    *,
    what: str,
    kind: str,
    cls: type | None,
    span: Callable[..., Span],
    notes: Iterable[Note],
) -> Diagnostic:
    """The diagnostic of a call that failed: a KindError at the setting that it names; anything else is a bug.

    Args:
        error: the exception.
        method: the method that was called.
        what: the block in words, such as "gate `ctr` at level 2".
        kind: the name of its kind.
        cls: the class of the kind.
        span: the place of a setting, given its path; without a path, that of the block.
        notes: where the block comes from.
    """
    if isinstance(error, KindError):
        return Diagnostic("AS210", f"{what}: {error}", span(*error.at), notes=tuple(notes), help=error.help)
    if isinstance(error, WrongAnswerError):
        problem, hint = str(error), "correct the class; `archspec.testing.check_kind` finds this in a test of the kind"
    else:
        problem = f"failed in `{method}`: {type(error).__name__}: {error}"
        hint = "a defect of the class that defines the kind"
    where = f" ({place(cls)})" if cls is not None else ""
    return Diagnostic("AS502", f"{what}: its kind `{kind}`{where} {problem}", span(), notes=tuple(notes), help=hint)


# -- what the methods return -------------------------------------------------------------------------------------------

_Answer = tuple[str, Callable[[Any, Any], bool]]


@cache
def _answer_of(cls: type[Settings], method: str) -> _Answer:
    own = (vars(base).get(method) for base in cls.__mro__)
    return next(_ANSWERS[each] for each in own if each in _ANSWERS)


def _whole(least: int, *, optional: bool = False) -> _Answer:
    words = f"a whole number of at least {least}{' or None' * optional}"
    return words, lambda _, value: (value is None and optional) or (type(value) is int and value >= least)


def _of(types: type | tuple[type, ...], words: str) -> _Answer:
    return words, lambda _, value: isinstance(value, types)


def _is_column(value: object) -> bool:
    return isinstance(value, Column) and value.dtype in {"float", "int"} and tuple(value.shape[:1]) == ("B",)


def _are_columns(kind: Settings, value: object) -> bool:
    own = type(kind).model_fields
    return isinstance(value, Mapping) and all(name in own and _is_column(column) for name, column in value.items())


def _are_texts(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, str) for item in value)


def _are_reasons(kind: Settings, value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(path, tuple) and path[:1] and path[0] in type(kind).model_fields and isinstance(reason, str)
        for path, reason in value.items()
    )


def _are_rows(value: object) -> bool:
    return isinstance(value, str) or (
        isinstance(value, Mapping)
        and all(isinstance(name, str) and isinstance(rows, Rows) for name, rows in value.items())
    )


def _is_a(value: object, *cls: str) -> bool:
    """Whether something is an instance of a class, given its module and name: without importing torch."""
    return any((base.__module__, base.__name__) == cls for base in type(value).__mro__)


_NOTHING = _of(type(None), "None")
_COLUMN = 'a Column of type float or int, whose shape begins with "B"'
_COST = _whole(0, optional=True)
_MODULE: _Answer = ("an nn.Module", lambda _, value: _is_a(value, "torch.nn.modules.module", "Module"))
_UNCHECKED: _Answer = ("", lambda *_: True)
_BASES: tuple[type[Settings], ...] = (Settings, *BASES.values())
_ANSWERS: dict[Callable[..., Any], _Answer] = {
    Settings.detail: _of(str, "text"),
    Settings.idle: ("a dict from paths of settings, such as ('k',), to reasons", _are_reasons),
    InputKind.width: _whole(0),
    InputKind.column: (_COLUMN, lambda _, value: _is_column(value)),
    InputKind.columns: (f"a dict from settings, each to {_COLUMN}", _are_columns),
    InputKind.tokens: _whole(1, optional=True),
    InputKind.domain: ("a tuple of names or None", lambda _, value: value is None or _are_texts(value)),
    InputKind.shared_table: _of((str, type(None)), "the name of an input or None"),
    InputKind.sparse_gradients: _of(bool, "True or False"),
    InputKind.frozen_table: _of(bool, "True or False"),
    ExpertKind.width: _whole(1),
    ExpertKind.tokens: _whole(1, optional=True),
    ExpertKind.check_streams: _NOTHING,
    GateKind.check: _NOTHING,
    GateKind.chosen: _whole(1, optional=True),
    GateKind.entering: (
        "a dict from weights to archspec.program.Rows, or a text",
        lambda _, value: _are_rows(value),
    ),
    FusionKind.auxiliary: _NOTHING,
    FusionKind.excess: (
        "a pair of texts or None",
        lambda _, value: value is None or (_are_texts(value) and len(value) == 2),  # noqa: PLR2004 - a pair
    ),
    TaskKind.outputs: _whole(1),
    TaskKind.class_count: _whole(2, optional=True),
    TaskKind.default_loss: (
        'a dict with the "kind" of a loss and its settings',
        lambda _, value: isinstance(value, Mapping) and isinstance(value.get("kind"), str),
    ),
    BalanceKind.build: (
        "an archspec.BalanceModule",
        lambda _, value: _is_a(value, "archspec.contract.balance_module", "BalanceModule"),
    ),
}
"""A method of a base class -> what it must return, in words, and whether something is that."""
_EVERYWHERE: dict[str, _Answer] = {
    "build": _MODULE,
    "parameters": _COST,
    "flops": _COST,
    **dict.fromkeys(MAKES_VALUES | MAKES_TENSORS, _UNCHECKED),
}
"""Methods that return the same in every category, unless `_ANSWERS` names one."""
_ANSWERS |= {
    method: _EVERYWHERE[name]
    for base in _BASES
    for name, method in methods(base).items()
    if name in _EVERYWHERE and method not in _ANSWERS
}
