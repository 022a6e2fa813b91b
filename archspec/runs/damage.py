"""What is wrong with a JSON file of a run, in words, from pydantic's errors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from archspec.spec.problems import by_setting, shown, wanted

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


def damage(error: ValidationError, within: str = "") -> str:
    """The first problem in a file, as a predicate: "is damaged: `asked.batch` must be at least 1, not `0`".

    Args:
        error: what validation of the file's content raised.
        within: the key whose value was validated; empty: the whole file.
    """
    path, details = next(iter(by_setting(error.errors(include_url=False)).items()))
    key = ".".join(map(str, (within, *path) if within else path))
    if details[0]["type"] == "json_invalid":
        return _not_json(details[0])
    if details[0]["type"] == "missing":
        return f"is damaged: it has no `{key}`"
    return f"is damaged: {f'`{key}`' if key else 'its content'} {must(details)}"


def must(details: list[ErrorDetails]) -> str:
    """What one value must be, and what it is, from all errors at its place: "must be at least 1, not `0`"."""
    expected, given = wanted(details), _given(details[0]["input"])
    return f"must be {expected}, not {given}" if expected else f"cannot be {given}"


def _not_json(detail: ErrorDetails) -> str:
    if not detail["input"]:
        return "is empty"
    if "EOF" in detail["msg"]:
        return "is cut short: its JSON ends too early"
    place = re.search(r"line (\d+) column (\d+)", detail["msg"])
    return "is damaged: it is not valid JSON" + (f" (line {place[1]}, column {place[2]})" if place else "")


def _given(value: object) -> str:
    """A value for a message; of one that JSON cannot express, which only a checkpoint can contain, the type."""
    try:
        return shown(value)
    except TypeError:
        return f"a value of type `{type(value).__name__}`"
