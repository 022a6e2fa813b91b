"""Prints plain data as YAML that reads like a spec written by hand, and reads back as exactly the same data."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from archspec.spec.scalars import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 110  # columns of a line that holds a list or mapping in flow form
FLOW_DEPTH = 2  # how many nested collections are printed in flow form
_LONGEST_KEY = 1000  # after 1024 characters YAML no longer looks for the colon of a key

# A first character that begins nothing else in YAML; no `: ` and no ` #` inside; no space or colon at the end.
_PLAIN = re.compile(r"(?!\.\.\.)[\w$./(\x80-\U0010ffff](?:[^:#]|:(?=\S)|(?<=\S)#)*(?<! )")
_FLOW_INDICATOR = re.compile(r"[][{},:]")
_ESCAPES = {'"': r"\"", "\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"}


def dump(data: Mapping[str, object]) -> str:
    """Return `data` (dicts with string keys, lists, strings, numbers, booleans, None) as YAML.

    A list or mapping is printed in flow form if that fits in WIDTH and FLOW_DEPTH. Top-level sections are in block
    form, and in a top-level list so are the mappings and the mappings inside them (`levels`: `- experts:`).
    Raises TypeError for data of another kind, ValueError for a string with half a surrogate pair.
    """
    lines: list[str] = []
    after_section = False
    for key, value in data.items():
        is_section = bool(_is_collection(value) and value)
        if lines and (is_section or after_section):
            lines.append("")
        lines += _entry(key, value, 0, 0) if not is_section else _section(key, value)
        after_section = is_section
    return "\n".join(lines or ["{}"]) + "\n"


def _section(key: str, value: object) -> Iterator[str]:
    yield _key(key, "")
    yield from _block(value, 2, 2 if isinstance(value, list | tuple) else 0)


def _block(value: object, indent: int, blocks: int) -> Iterator[str]:
    """Print a collection in block form; mappings on the next `blocks` levels are in block form too."""
    pad = " " * indent
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _entry(key, item, indent, blocks)
    elif isinstance(value, list | tuple):
        for item in value:
            inline = _inline(item, WIDTH - indent - 2, blocks)
            if inline is not None:
                yield f"{pad}- {inline}"
                continue
            first, *rest = _block(item, indent + 2, blocks - 1)
            yield f"{pad}- {first[indent + 2 :]}"
            yield from rest


def _entry(key: str, value: object, indent: int, blocks: int) -> Iterator[str]:
    head = _key(key, " " * indent)
    inline = _inline(value, WIDTH - len(head) - 1, blocks)
    if inline is not None:
        yield f"{head} {inline}"
    else:
        yield head
        yield from _block(value, indent + 2, blocks - 1)


def _key(key: object, pad: str) -> str:
    text = _name(key, in_flow=False)
    return f"{pad}{text}:" if len(text) <= _LONGEST_KEY else f"{pad}? {text}\n{pad}:"


def _name(key: object, *, in_flow: bool) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a key must be a string, not {key!r}")
    return _string(key, in_flow=in_flow)


def _inline(value: object, room: int, blocks: int) -> str | None:
    """Print a value on one line, or return None if it must be in block form."""
    if not _is_collection(value):
        return _scalar(value, in_flow=False)
    if not value:
        return _flow(value)
    if _nesting(value) > FLOW_DEPTH or (blocks > 0 and isinstance(value, Mapping)):
        return None
    text = _flow(value)
    return text if len(text) <= room else None


def _flow(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_name(key, in_flow=True)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value, in_flow=True)


def _is_collection(value: object) -> bool:
    return isinstance(value, Mapping | list | tuple)


def _nesting(value: object) -> int:
    """Return how deep the collections are nested."""
    if isinstance(value, Mapping):
        value = list(value.values())
    return 1 + max(map(_nesting, value), default=0) if isinstance(value, list | tuple) else 0


def _scalar(value: object, *, in_flow: bool) -> str:
    if isinstance(value, str):
        return _string(value, in_flow=in_flow)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float(value)
    raise TypeError(f"only plain data can be written as YAML, not {type(value).__name__}: {value!r}")


def _float(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    return repr(value)


def _string(text: str, *, in_flow: bool) -> str:
    """Print a string without quotes if it reads back as itself, else in double quotes."""
    plain = text.isprintable() and _PLAIN.fullmatch(text) and not (in_flow and _FLOW_INDICATOR.search(text))
    return text if plain and _reads_as_string(text) else '"' + "".join(map(_escape, text)) + '"'


def _reads_as_string(text: str) -> bool:
    try:
        return isinstance(resolve(text), str)
    except ValueError:  # a number too long to read
        return False


def _escape(character: str) -> str:
    if character in _ESCAPES or character.isprintable():
        return _ESCAPES.get(character, character)
    code = ord(character)
    if 0xD800 <= code < 0xE000:  # noqa: PLR2004 (surrogates)
        raise ValueError("a string with half a surrogate pair cannot be written as UTF-8")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004 (the basic plane)
