"""Checks of names: `[a-z][a-z0-9_]*`, except keywords of Python and reserved words of archspec."""

from __future__ import annotations

import json
import keyword
import re
from typing import TYPE_CHECKING
from unicodedata import combining, normalize

from archspec.contract.limits import LONGEST_NAME
from archspec.contract.registry import IDENTIFIER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archspec.diagnostics import Diagnostics, Note, Span

RESERVED = {"all": "`sees: all`", "inputs": "`from: inputs`", "none": "`selector: none`"}
_OF_SHARED = frozenset({"task name", "domain value"})


def check_name(name: str, what: str, span: Span, notes: Iterable[Note], diagnostics: Diagnostics) -> None:
    """Reports an invalid name once: a tower of a task with an invalid name is not a second mistake."""
    if name in diagnostics.blamed:
        return
    if len(name) > LONGEST_NAME:
        diagnostics.blamed.add(name)
        message = f"{what} of {len(name):,} characters; a name may have at most {LONGEST_NAME}"
        diagnostics.error("AS105", message, span, notes=notes, help="choose a shorter name")
        return
    if not IDENTIFIER.fullmatch(name):
        message = (
            f"{what} `{name}` may contain only a-z, 0-9 and _, and must begin with a letter"
            if name
            else f"the {what} is empty"
        )
        code, helps = "AS105", _better(name, what)
    elif keyword.iskeyword(name):
        code, message, helps = "AS106", f"{what} `{name}` is a Python keyword", f"write `{name}_`"
    elif name in RESERVED:
        code, message = "AS106", f"{what} `{name}` is reserved, for {RESERVED[name]}"
        helps = "choose another name"
    elif name == "shared" and what in _OF_SHARED:
        code, message = "AS106", f"{what} `shared` is reserved: experts named `shared` belong to all tasks"
        helps = "choose another name"
    else:
        return
    diagnostics.blamed.add(name)
    diagnostics.error(code, message, span, notes=notes, help=helps)


def _better(name: str, what: str) -> str:
    """A valid name similar to an invalid one; an input keeps its column."""
    plain = "".join(c for c in normalize("NFKD", name.casefold() if name.islower() else name) if not combining(c))
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain).lower()
    better = re.sub(r"[^a-z0-9]+", "_", snake).strip("_")
    if not better:
        return "give it a name such as `x`"
    better = better if better[0].isalpha() else f"n{better}"
    if what != "input name":
        return f"write `{better}`"
    column = name if re.fullmatch(r"[\w-]*[^\W\d][\w.-]*", name) else json.dumps(name)
    return f"write `{better}` with `column: {column}`"
