"""Texts that are numbers, and the canonical text of each number.

Whether a column contains numbers or texts is decided once, and stored with its vocabulary: among numbers `1.50` is 1.5
and `007` is 7, among texts both stay unchanged.
"""

from __future__ import annotations

import re
from typing import Final

_WHOLE: Final = re.compile(r"([+-]?)0*(\d+)(?:\.0*)?")
_NUMERAL: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?|true|false", re.IGNORECASE)
_PADDED: Final = re.compile(r"[+-]?0\d.*")
_HUGE: Final = 2.0**64


def numeral(value: str | float) -> str:
    """The canonical text of a number or its text: `12` for 12.0, `+12` and `012`. Other texts stay unchanged."""
    if isinstance(value, str):
        whole = _WHOLE.fullmatch(value)
        if whole:
            return "-" * (whole[1] == "-" and whole[2] != "0") + whole[2]
        if not _NUMERAL.fullmatch(value):
            return value
        truth = {"true": 1.0, "false": 0.0}.get(value.lower())
        value = float(value) if truth is None else truth
    # All digits of a whole number, as integers have them.
    return str(int(value)) if abs(value) < _HUGE and value == int(value) else repr(value)


def padded(text: str) -> bool:
    """Whether a text is a number with leading zeros, like codes of a fixed length: `007`."""
    return _PADDED.fullmatch(text) is not None and _NUMERAL.fullmatch(text) is not None


def spelled(text: str) -> str:
    """The canonical form of a text: `12.0` (pandas writes it for integers with gaps) is 12; booleans are lower case."""
    if text.lower() in {"true", "false"}:
        return text.lower()
    whole, point, rest = text.partition(".")
    return whole if point and not rest.strip("0") and whole.removeprefix("-").isdecimal() else text
