"""pydantic's findings in archspec's words, at the setting's own place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from archspec.contract import Settings
from archspec.diagnostics import Diagnostics, suggest
from archspec.spec.tree import Mapping, Node, Sequence as ListNode, span_at, to_data

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_Settings = TypeVar("_Settings", bound=Settings)

_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
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
    "greater_than_equal": ("ge", "at least {}"),
    "greater_than": ("gt", "more than {}"),
    "less_than_equal": ("le", "at most {}"),
    "less_than": ("lt", "less than {}"),
}


def fields_of(cls: type[Settings]) -> tuple[str, ...]:
    """The keys that a settings class takes, as a spec writes them."""
    return tuple(info.alias or name for name, info in cls.model_fields.items())


def validated(  # noqa: PLR0913 - what to read, as what, and how to say what is wrong with it
    cls: type[_Settings], node: Node, what: str, diagnostics: Diagnostics, *, keys: Sequence[str] | None = None,
    known: Sequence[str] = (),
) -> _Settings | None:  # fmt: skip
    """The settings of a class from (some keys of) a node; None, and diagnostics, where they are wrong.

    Args:
        cls: the settings class.
        node: the tree to read.
        what: the block in words, such as "gate `ctr` at level 2".
        diagnostics: where to report.
        keys: read only these keys of the mapping.
        known: further keys that the block takes, for suggestions.
    """
    data: Any = to_data(node)
    if keys is not None and isinstance(data, dict):
        data = {key: value for key, value in data.items() if key in keys}
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        for detail in _merged(error.errors(include_url=False)):
            _report(detail, cls, node, what, diagnostics, known)
        return None


def _merged(details: list[ErrorDetails]) -> Iterator[ErrorDetails]:
    """One finding per setting: branches of a union are one finding."""
    seen: set[tuple[str | int, ...]] = set()
    for detail in details:
        place = tuple(step for step in detail["loc"] if not _branch(step))
        if place not in seen:
            seen.add(place)
            yield detail


def _branch(step: str | int) -> bool:
    return isinstance(step, str) and (step in {"float", "int", "str", "constrained-float"} or "[" in step)


def _report(  # noqa: PLR0913 - see validated
    detail: ErrorDetails, cls: type[Settings], node: Node, what: str, diagnostics: Diagnostics, known: Sequence[str]
) -> None:
    path = tuple(step for step in detail["loc"] if not _branch(step))
    place, trail = span_at(node, path), _trail(node, path)
    name = ".".join(str(step) for step in path)
    kind, given = detail["type"], _shown(detail["input"])
    if kind == "extra_forbidden":
        words = [*known, *_words(cls, path)]
        guess = suggest(str(path[-1]), words)
        helps = (f"did you mean `{guess}`? " if guess else "") + f"keys here: {', '.join(sorted(set(words)))}"
        diagnostics.error("AS108", f"unknown key `{path[-1]}` in {what}", span_at(node, path, key=True), notes=trail, help=helps)
    elif kind == "missing":
        diagnostics.error("AS110", f"{what} needs `{name}`", place, notes=trail, help=f"add `{path[-1]}: ...`")
    elif kind == "literal_error":
        expected = str(detail["ctx"]["expected"]).replace("'", "").replace(" or ", ", ")
        guess = suggest(str(detail["input"]), expected.split(", "))
        helps = f"did you mean `{guess}`?" if guess else ""
        diagnostics.error("AS109", f"`{name}` of {what} must be one of {expected}, not {given}", place, notes=trail, help=helps)
    else:
        sentence = _sentence(detail, name or "it", given)
        diagnostics.error("AS109", f"{sentence} ({what})", place, notes=trail, help=_help(detail, path))


def _sentence(detail: ErrorDetails, name: str, given: str) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _TYPES:
        return f"`{name}` must be {_TYPES[kind]}, not {given}"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"`{name}` must be {words.format(context[key])}, not {given}"
    if kind == "too_short":
        return f"`{name}` needs at least {context['min_length']} of them, not {context['actual_length']}"
    if kind == "value_error":
        message = str(context["error"])
        return message if "`" in message else f"`{name}`: {message}"
    return f"`{name}`: {detail['msg'][:1].lower()}{detail['msg'][1:]}"


def _help(detail: ErrorDetails, path: tuple[str | int, ...]) -> str:
    if detail["type"] == "tuple_type" and isinstance(detail["input"], int | float | str):
        return f"write `{path[-1]}: [{detail['input']}]`"
    return ""


def _words(cls: type[Settings], path: tuple[str | int, ...]) -> tuple[str, ...]:
    """Keys of the settings class, or of the nested one that the path leads into."""
    from typing import get_args

    current: type[Settings] = cls
    for step in path[:-1]:
        info = next((i for n, i in current.model_fields.items() if step in (n, i.alias)), None)
        inner = [a for a in (info.annotation, *get_args(info.annotation)) if isinstance(a, type)] if info else []
        current = next((a for a in inner if issubclass(a, Settings)), current)
    return fields_of(current)


def _trail(node: Node, path: tuple[str | int, ...]) -> Any:  # noqa: ANN401 - notes
    """The trail of the deepest node along the path."""
    for step in path:
        inner = node.get(step) if isinstance(node, Mapping) and isinstance(step, str) else None
        if isinstance(node, ListNode) and isinstance(step, int) and step < len(node.items):
            inner = node.items[step]
        if inner is None:
            break
        node = inner
    return node.trail


def _shown(value: object) -> str:
    text = repr(value) if not isinstance(value, str) else f'"{value}"'
    return f"`{text if len(text) <= 40 else text[:37] + '...'}`"  # noqa: PLR2004 - what fits a sentence
