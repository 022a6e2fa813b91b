"""Names of variables and attributes in emitted Python."""

from __future__ import annotations

import keyword
import re
from typing import TYPE_CHECKING

from archspec.compiler.runtime import reserved

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

LOCAL = frozenset({"self", "batch", "gates", "logits"})
"""What the methods of an emitted class bind before their first operation."""


def class_name(spec_name: str) -> str:
    """`ple_video` -> `PleVideo`; `true`, which would be a keyword, -> `TrueModel`."""
    name = "".join(part.capitalize() for part in spec_name.split("_") if part) or "Model"
    return f"{name}Model" if keyword.iskeyword(name) else name


def identifier(text: str, taken: frozenset[str] = frozenset()) -> str:
    """The nearest Python identifier to any text, with `_` behind it where the word is taken."""
    name = re.sub(r"\W+", "_", text).strip("_") or "value"
    name = name if not name[0].isdigit() else f"_{name}"
    return f"{name}_" if keyword.iskeyword(name) or name in taken else name


_SHORT = (
    (re.compile(r"^inputs\.\w+\.weight~tables$"), "tables"),
    (re.compile(r"^inputs\.\w+\.\w+~offsets$"), "offsets"),
    (re.compile(r"^(level[0-9]+)\..*(weight|bias|running_mean|running_var)(?:~\w+)+$"), r"\1_\2"),
    (re.compile(r"^(tower|feature_gate)s\..*(weight|bias|running_mean|running_var)(?:~\w+)+$"), r"\1_\2"),
    (re.compile(r"^inputs\.(\w+)\.weight$"), r"\1_table"),
    (re.compile(r"^towers\.(\w+)\.cases\.(\w+)"), r"\1_\2_tower"),
    (re.compile(r"^towers\.(\w+)"), r"\1_tower"),
    (re.compile(r"^feature_gates\.(\w+)"), r"\1_factors"),
    (re.compile(r"\.gates\.(\w+)"), r".\1_gate"),
    (re.compile(r"\.experts\."), "."),
    (re.compile(r"\.(?:layers|norms)\.([0-9]+)\.(\w+)$"), r".\2\1"),
    (re.compile(r"\.(?:head\.)?weight$"), ".weight"),
)


def attribute_name(canonical: str) -> str:
    """What a person would call a weight: `level1.experts.ctr.0.layers.0.weight` is `level1_ctr_0_weight0`."""
    for pattern, short in _SHORT:
        canonical = pattern.sub(short, canonical)
    return identifier(canonical)


class Attributes:
    """Attributes of the module: one per storage, constant and plugin module, all different.

    None is one of nn.Module's own: each holds the name of a section (`level1_...`, `..._tower`, `..._table`, ...).
    """

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def name(self, canonical: str) -> str:
        """The attribute of a thing: a short form of its canonical name, numbered where two things would collide."""
        if canonical not in self.names:
            self.names[canonical] = numbered(attribute_name(canonical), self.names.values())
        return self.names[canonical]


class Variables:
    """Variables of a function body: a name is free again when the value it held is read no more."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.reserved = reserved() | LOCAL | frozenset(taken)
        self.bound: dict[str, str] = {}
        self.used: set[str] = set()

    def bind(self, value: str, hint: str) -> str:
        """A name for a new value."""
        name = numbered(identifier(hint, self.reserved), self.used | self.reserved)
        self.used.add(name)
        self.bound[value] = name
        return name

    def release(self, value: str) -> None:
        """Frees the name of a value that nothing reads any more."""
        self.used.discard(self.bound[value])


def numbered(base: str, taken: Collection[str]) -> str:
    """The name, with a number behind it where it is taken."""
    name, count = base, 1
    while name in taken:
        count += 1
        name = f"{base}_{count}"
    return name
