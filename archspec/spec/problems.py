"""Translates pydantic's errors into archspec's messages, at the place of the setting."""

from __future__ import annotations

import json
import math
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import ValidationError

from archspec.contract import KindError, Settings
from archspec.contract.settings import keys_of
from archspec.diagnostics import Diagnostics, Span, suggest
from archspec.spec.numbers import meant, sizes
from archspec.spec.tree import Entry, Mapping, provenance_at, span_at, to_data

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable

    from pydantic_core import ErrorDetails

_Settings = TypeVar("_Settings", bound=Settings)
_Path = tuple[str | int, ...]

_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "finite_number": "a finite number",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}
_SWITCHES = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
_LONGEST_VALUE = 40  # the most characters of a value that a message quotes


def validated(
    cls: type[_Settings], node: Mapping, what: str, place: Span, diagnostics: Diagnostics
) -> _Settings | None:
    """The settings of a class from a mapping of its keys; None if they are wrong, which is reported.

    Args:
        cls: the settings class.
        node: the tree to read.
        what: the block in words, such as "gate `ctr` at level 2".
        place: where the block is declared; a missing setting is reported there.
        diagnostics: receives the errors.
    """
    try:
        return cls.model_validate(to_data(node))
    except ValidationError as error:
        for path, details in by_setting(error.errors(include_url=False)).items():
            _Problem(cls, node, what, place, path, details).report(diagnostics)
        return None


def by_setting(details: Iterable[ErrorDetails]) -> dict[_Path, list[ErrorDetails]]:
    """The errors by setting: those of all branches of a union are one mistake."""
    found: dict[_Path, list[ErrorDetails]] = {}
    for detail in details:
        if detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]:
            continue  # pydantic does not count items that are themselves wrong
        path = tuple(step for step in detail["loc"] if not _is_branch(step))
        found.setdefault(path, []).append(detail)
    return found


def _is_branch(step: str | int) -> bool:
    """Whether pydantic put a step into the path that names a branch of a union, not a key."""
    return isinstance(step, str) and (step in {"float", "int", "str", "constrained-float"} or "[" in step)


class _Problem:
    """What is wrong with one setting."""

    def __init__(  # noqa: PLR0913, PLR0917 - each is a part of what is made or said
        self, cls: type[Settings], node: Mapping, what: str, place: Span, path: _Path, details: list[ErrorDetails]
    ) -> None:
        self.cls, self.node, self.what, self.place, self.path, self.details = cls, node, what, place, path, details
        self.detail = details[0]
        self.given = shown(self.detail["input"])

    def report(self, diagnostics: Diagnostics) -> None:
        """Adds the diagnostic."""
        kind = self.detail["type"]
        if kind == "extra_forbidden":
            self.unknown(diagnostics)
        elif kind == "missing":
            self.missing(diagnostics)
        elif kind == "value_error":
            self.kind_error(self.detail["ctx"]["error"], diagnostics)
        else:
            span = span_at(self.node, self.path)
            diagnostics.error(
                "AS109", self.sentence(), span, notes=provenance_at(self.node, self.path), help=self.help()
            )

    @property
    def setting(self) -> str:
        """The setting in words: `units` of tower `ctr`."""
        steps = [step for step in self.path if isinstance(step, str)]
        each = "each of " if self.path and isinstance(self.path[-1], int) else ""
        return f"{each}`{'.'.join(steps)}` of {self.what}" if steps else self.what

    def unknown(self, diagnostics: Diagnostics) -> None:
        """A key of a nested setting that does not exist."""
        key, words = str(self.path[-1]), _words(self.cls, self.path)
        inside = _Problem(self.cls, self.node, self.what, self.place, self.path[:-1], self.details).setting
        diagnostics.error(
            "AS108", f"unknown key `{key}` in {inside}", span_at(self.node, self.path, key=True),
            notes=provenance_at(self.node, self.path), help=keys_help(key, words),
        )  # fmt: skip

    def missing(self, diagnostics: Diagnostics) -> None:
        """A required setting that is missing."""
        above = self.path[:-1]
        span = span_at(self.node, above) if above else self.place
        inside = _Problem(self.cls, self.node, self.what, self.place, above, self.details).setting
        diagnostics.error(
            "AS110", f"{inside} needs `{self.path[-1]}`", span, notes=provenance_at(self.node, above),
            help=f"add `{self.path[-1]}: ...`",
        )  # fmt: skip

    def kind_error(self, error: Exception, diagnostics: Diagnostics) -> None:
        """An error that the validator of a settings class raised."""
        at, helps = (error.at, error.help) if isinstance(error, KindError) else ((), "")
        message = str(error)
        sentence = f"{self.what}: {message}" if message.startswith("`") else f"{self.setting} {message}"
        path = (*self.path, *at)
        span = span_at(self.node, path) if path else self.place
        diagnostics.error("AS109", sentence, span, notes=provenance_at(self.node, path), help=helps)

    def sentence(self) -> str:
        """A sentence that says what the setting must be, and what it is instead."""
        kind, context = self.detail["type"], self.detail.get("ctx", {})
        if kind == "too_short":
            return f"{self.setting} is empty" if not context["actual_length"] else (
                f"{self.setting} needs at least {context['min_length']}, not {context['actual_length']}")  # fmt: skip
        if kind == "float_type" and type(self.detail["input"]) is int:
            return f"{self.setting} is too large a number: {self.given}"
        if kind == "too_long":
            count = context["actual_length"] or len(self.detail["input"])
            return f"{self.setting} has {count:,} items; at most {context['max_length']:,} are allowed"
        expected = wanted(self.details)
        if not expected:
            return f"{self.setting}: {self.detail['msg'][:1].lower()}{self.detail['msg'][1:]}"
        if kind == "literal_error" and expected == _wanted(self.detail):
            return f"{self.setting} cannot be {self.given}"
        return f"{self.setting} must be {expected}, not {self.given}"

    def number(self, given: object) -> int | float | None:
        """The number that was meant by a text or a fraction, of the kind that the setting takes."""
        number = given if isinstance(given, float) and math.isfinite(given) else None
        number = meant(given) if isinstance(given, str) else number
        if number is None or self.detail["type"] == "float_type":
            return number
        return int(number) if number == number // 1 and number > 0 else None

    def help(self) -> str:  # noqa: PLR0911 - one answer per case
        """A suggestion, if there is one."""
        key, given = self.path[-1] if self.path else "", self.detail["input"]
        if choices := _choices(self.details):
            guess = suggest(str(given), choices)
            return f"did you mean `{guess}`?" + f" choices: {', '.join(choices)}" * (len(choices) > 1) if guess else (
                f"choices: {', '.join(choices)}")  # fmt: skip
        match self.detail["type"]:
            case "too_short":
                least = self.detail["ctx"]["min_length"]
                return f"write at least {'one' if least == 1 else least}"
            case "tuple_type" if isinstance(given, int | float | str):
                listed = sizes(given) if isinstance(given, str) else [given]
                return f"write `{key}: [{', '.join(map(str, listed or [given]))}]`"
            case "bool_type" if isinstance(given, str) and given.lower() in _SWITCHES:
                return f"write `{key}: {_SWITCHES[given.lower()]}`"
            case "int_type" | "float_type" | "int_from_float" if (number := self.number(given)) is not None:
                return f"write `{number}`" if isinstance(key, int) else f"write `{key}: {number}`"
            case "model_type" | "model_attributes_type":
                return f"its keys: {', '.join(sorted(_words(self.cls, (*self.path, ''))))}"
            case "string_type":
                if isinstance(key, int):
                    return "write only names in it"
                named = isinstance(given, int | float) and not isinstance(given, bool)
                return f'write it in quotes: `{key}: "{given}"`' if named else f"`{key}` takes a name"
            case "dict_type" if isinstance(given, list) and all(isinstance(item, str) for item in given):
                return f"write `{key}: {{{', '.join(f'{item}: ...' for item in given)}}}`"
        return ""


def wanted(details: Iterable[ErrorDetails]) -> str:
    """What a setting must be, such as "at least 1", from all errors at its place; empty if pydantic's words must do."""
    return " or ".join(dict.fromkeys(filter(None, map(_wanted, details))))


def _wanted(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        bound = context[key]
        return f"{words} {bound:,}" if isinstance(bound, int) else f"{words} {bound:g}"
    if kind == "literal_error":
        return " or ".join(f"`{choice}`" for choice in _choices([detail]))
    return _TYPES.get(kind, "")


def _choices(details: Iterable[ErrorDetails]) -> list[str]:
    texts = [
        str(d["ctx"]["expected"]).replace("'", "").replace(" or ", ", ")
        for d in details
        if d["type"] == "literal_error"
    ]
    return [choice for text in texts for choice in text.split(", ")]


def written_with(entry: Entry, node: Mapping) -> set[str]:
    """The other keys of a mapping in the same file: a key of an extended file may be written again."""
    return {other.key for other in node.entries if other.key_span.file == entry.key_span.file and other is not entry}


def keys_help(key: str, known: Collection[str], written: Container[str] = ()) -> str:
    """What to write instead of an unknown key: the nearest one, unless it is already written, and all known ones."""
    guess = suggest(key, [word for word in known if word not in written])
    return (f"did you mean `{guess}`? " if guess else "") + f"keys here: {', '.join(sorted(set(known)))}"


def _words(cls: type[Settings], path: _Path) -> tuple[str, ...]:
    """Keys of the nested settings class that a path leads into."""
    current: type[Settings] = cls
    for step in path[:-1]:
        info = next((i for n, i in current.model_fields.items() if step in (n, i.alias)), None)
        inner = [a for a in (info.annotation, *get_args(info.annotation)) if isinstance(a, type)] if info else []
        current = next((a for a in inner if issubclass(a, Settings)), current)
    return keys_of(current)


def shown(value: object) -> str:
    """A value for a message: in YAML, cut if it is long."""
    text = _yaml(value)
    return f"`{text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + '...'}`"


def _yaml(value: Any) -> str:  # noqa: ANN401 - YAML data
    """A value in flow form; for a long one, only as much as a message could show."""
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else f"{'-' * (value < 0)}.inf"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(item)}" for key, item in _some(value.items())) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(item if isinstance(item, str) else _yaml(item) for item in _some(value)) + "]"
    return json.dumps(value[:_LONGEST_VALUE] if isinstance(value, str) else value, ensure_ascii=False)


def _some(items: Iterable[Any]) -> Iterable[Any]:
    return islice(items, _LONGEST_VALUE)
