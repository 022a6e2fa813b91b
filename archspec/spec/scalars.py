"""The meaning of plain scalars: the core schema of YAML 1.2 (section 10.3.2), for reading and for printing."""

from __future__ import annotations

import re

LONGEST_NUMBER = 400  # digits; Python itself refuses to convert more than 4300

_WORDS: dict[str, float | bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **{f"{sign}{word}": float(f"{sign}inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")},
}
_INTEGERS = {10: re.compile(r"[-+]?[0-9]+"), 8: re.compile(r"0o[0-7]+"), 16: re.compile(r"0x[0-9a-fA-F]+")}
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


def resolve(text: str) -> str | int | float | bool | None:
    """Return the value of a plain scalar: `1e-3` is a number; `no`, `12:30` and `2024-01-01` are strings.

    Raises ValueError if a number has more than LONGEST_NUMBER characters.
    """
    if text in _WORDS:
        return _WORDS[text]
    base = next((base for base, pattern in _INTEGERS.items() if pattern.fullmatch(text)), None)
    if base is None and not _FLOAT.fullmatch(text):
        return text
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"a number of {len(text)} characters")
    return float(text) if base is None else int(text, base)
