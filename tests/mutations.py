"""Specs that are almost right: published specs with changes to their text or tree."""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

SPECS = Path(__file__).parents[1] / "specs"
NAMES = tuple(sorted(path.stem for path in SPECS.glob("*.yaml")))

LETTERS = "[]{}:,&*#!|>'\"%@`-?\t\n\0\x1b\\$ \ufeff\u2028\u202e\ud7ff\ue000é漢0aA._~=<"
PIECES = (
    "&a ", "*a", "<<: *a", "!!python/object:os.system ", "- ", "? ", "---\n", "...\n", "%TAG ! x\n", "|\n", ">-\n",
    "${", "$task", "$domain", "${task}_x", "$$", "null", "~", "true", ".nan", "-.inf", "1e999", "0x", "0o9", "-1", "0",
    "1e3", "2**31", "1000000000000", "all", "none", "inputs", "shared", "towers.ctr", "level1.gates.ctr",
    "level99.experts.a.0", "{detach: inputs}", "{sum: [inputs, inputs]}", "{except: ctr}", "[[[[]]]]", "{}", "[]",
    "kind: topk", "x-note: 1", "repeat: 1000", "count: 9999", "like: shared", "extends: ple.yaml", "exclude: scene",
    "9" * 401, "modulate: {at: input}", "a" * 300,
)  # fmt: skip
"""What a change of text puts in."""
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 3, 1.5, 1e308, 10**12, 10**30, float("inf"), "", "x", "ctr", "all", "none", "inputs", "$task",
    "${", "level1.gates.ctr", "towers.ctr", "softmax", "\x1b[31m", "é", "a" * 300, [], {}, [[]], [1, "a", None],
    ["ctr", "ctr"], {"detach": "inputs"}, {"sum": []}, {"except": "ctr"}, {"kind": "nothing"}, {"kind": "topk", "k": 2},
    {"like": "shared"}, [{"repeat": 1000, "experts": {"e": {"units": [2], "count": 1000}}}], list(range(200)),
    {str(i): {} for i in range(50)},
)  # fmt: skip
"""What a change of a tree puts in."""


@cache
def text_of(name: str) -> str:
    """The text of a published spec."""
    return (SPECS / f"{name}.yaml").read_text(encoding="utf-8")


@cache
def words() -> tuple[str, ...]:
    """Every word of every published spec."""
    return tuple(sorted({word for name in NAMES for word in re.findall(r"[\w.$]+", text_of(name))}))


def mutated(random: Random) -> str:
    """A published spec with one to five changes of its text or tree."""
    text = text_of(random.choice(NAMES))
    if random.random() < 0.5:
        return _text_changed(random, text)
    data = yaml.safe_load(text)
    for _ in range(random.choice((1, 1, 1, 3))):
        _tree_changed(random, data)
    return json.dumps(data, indent=1)


def _text_changed(random: Random, text: str) -> str:
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        change: Callable[[Random, str], str] = random.choice((_cut, _doubled, _letter, _piece, _word, _line, _indented))
        text = change(random, text)
    return text


def _span(random: Random, text: str, longest: int) -> tuple[int, int]:
    start = random.randint(0, len(text))
    return start, min(len(text), start + random.randint(0, longest))


def _cut(random: Random, text: str) -> str:
    start, stop = _span(random, text, random.choice((1, 3, 40, 2000)))
    return text[:start] + text[stop:]


def _doubled(random: Random, text: str) -> str:
    start, stop = _span(random, text, 200)
    place = random.randint(0, len(text))
    return text[:place] + text[start:stop] + text[place:]


def _letter(random: Random, text: str) -> str:
    place = random.randint(0, len(text))
    return text[:place] + random.choice(LETTERS) + text[place + random.randint(0, 1) :]


def _piece(random: Random, text: str) -> str:
    start, stop = _span(random, text, 6)
    return text[:start] + random.choice(PIECES) + text[stop:]


def _word(random: Random, text: str) -> str:
    found = list(re.finditer(r"[\w.$]+", text))
    if not found:
        return text
    match = random.choice(found)
    new = random.choice((random.choice(words()), random.choice(PIECES)))
    return text[: match.start()] + new + text[match.end() :]


def _line(random: Random, text: str) -> str:
    lines = text.split("\n")
    one, other = random.randrange(len(lines)), random.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return "\n".join(lines)


def _indented(random: Random, text: str) -> str:
    lines = text.split("\n")
    index = random.randrange(len(lines))
    lines[index] = random.choice((f"  {lines[index]}", lines[index].removeprefix("  "), f"\t{lines[index]}"))
    return "\n".join(lines)


def _places(data: Any) -> list[tuple[Any, Any]]:  # noqa: ANN401 - YAML data
    """Every collection, with each of its keys."""
    keys = list(data) if isinstance(data, dict) else list(range(len(data))) if isinstance(data, list) else []
    return [place for key in keys for place in ((data, key), *_places(data[key]))]


def _tree_changed(random: Random, data: Any) -> None:  # noqa: ANN401 - YAML data
    """One value replaced, removed, renamed, or copied over another."""
    places = _places(data)
    if not places:
        return
    holder, key = random.choice(places)
    other, name = random.choice(places)
    match random.randrange(4):
        case 0:
            holder[key] = copy.deepcopy(random.choice(VALUES))
        case 1:
            del holder[key]
        case 2 if isinstance(holder, dict):
            holder[str(random.choice((name, random.choice(words()), random.choice(PIECES))))] = holder.pop(key)
        case _:
            holder[key] = json.loads(json.dumps(other[name]))
