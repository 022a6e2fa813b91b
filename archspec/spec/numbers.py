"""Guesses numbers from text that is not a YAML number: `5e3` for a count, `2*32`, `10k`, `1_000`, `50%`, `32, 16`."""

from __future__ import annotations

import re

_SUFFIXES = {"k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "%": 0.01}
_SUFFIXED = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmMbBgG%])")
_GROUPED = re.compile(r"\d{1,3}(?:[_,' ]\d{3})+|\d+(?:_\d+)+")
_FORMULA = re.compile(r"(\d+(?:\.\d+)?)\s*(\*\*|\^|\*|x|/)\s*(\d+(?:\.\d+)?)")
_LARGEST_EXPONENT = 64


def meant(text: str) -> int | float | None:
    """The number that a text was probably meant to be, or None if it does not look like one."""
    text = text.strip()
    if match := _SUFFIXED.fullmatch(text):
        return _whole(float(match[1]) * _SUFFIXES[match[2].lower()])
    if _GROUPED.fullmatch(text):
        return int(re.sub(r"\D", "", text))
    if match := _FORMULA.fullmatch(text):
        return _computed(float(match[1]), match[2], float(match[3]))
    if re.fullmatch(r"\d+,\d+", text):
        return float(text.replace(",", "."))
    try:
        return _whole(float(text)) if re.fullmatch(r"[-+]?[\d.]+(?:[eE][-+]?\d+)?", text) else None
    except ValueError:
        return None


def sizes(text: str) -> list[int]:
    """The whole numbers of a list that is written without brackets, `32, 16` or `64x32`; empty if it is not a list."""
    parts = re.split(r"\s*(?:,|;|x|->|-|/|\s)\s*", text.strip().strip("()[]<>"))
    return [int(part) for part in parts] if all(part.isdecimal() and len(part) < 10 for part in parts) else []  # noqa: PLR2004 - sizes are short


def _computed(left: float, sign: str, right: float) -> int | float | None:
    if sign in {"**", "^"}:
        return _whole(left**right) if right <= _LARGEST_EXPONENT and left <= _LARGEST_EXPONENT else None
    if sign == "/":
        return _whole(left / right) if right else None
    return _whole(left * right)


def _whole(value: float) -> int | float:
    """The value as a whole number, if it is one."""
    return int(value) if value == value // 1 and abs(value) < 2**53 else value
