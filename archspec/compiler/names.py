"""Names of variables and attributes in emitted Python."""

from __future__ import annotations

import keyword
import re
from typing import TYPE_CHECKING

from archspec.compiler.runtime import reserved

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from archspec.program import Op, Program, Weight
    from archspec.program.nodes import NodeName

LOCAL = frozenset({"self", "batch", "gates", "logits"})
"""Variables that the methods of an emitted class bind before their first operation."""


def class_name(spec_name: str) -> str:
    """`ple_video` -> `PleVideo`; `true`, which would be a keyword, -> `TrueModel`."""
    name = "".join(part.capitalize() for part in spec_name.split("_") if part) or "Model"
    return f"{name}Model" if keyword.iskeyword(name) else name


def identifier(text: str, taken: frozenset[str] = frozenset()) -> str:
    """The nearest Python identifier to any text, with a trailing `_` if the word is taken."""
    name = re.sub(r"\W+", "_", text).strip("_") or "value"
    name = name if not name[0].isdigit() else f"_{name}"
    return f"{name}_" if keyword.iskeyword(name) or name in taken else name


def heading(name: NodeName) -> str:
    """The heading of a node's part of the network, such as `level 1` or `towers`; empty if there is none."""
    if name.level:
        return f"level {name.level}"
    return "" if name.section == "scores" else name.section.replace("_", " ")


def plural(name: NodeName) -> str:
    """A readable name for the values of several nodes like this one."""
    return {"experts": "experts", "gates": "weights", "towers": "hidden"}.get(name.section, "h")


def node_attribute(name: NodeName) -> str:
    """A readable attribute name for a node: `ctr_tower`, `level1_ctr_gate`, `level1_shared_0`."""
    match name.section:
        case "towers":
            pieces = [name.name, name.case or "", "tower"]
        case "feature_gates":
            pieces = [name.name, "factors"]
        case "blocks":
            pieces = [name.name, "block"]
        case "gates":
            pieces = [f"level{name.level}", name.name, "gate"]
        case "experts":
            pieces = [f"level{name.level}", name.name, str(name.number)]
        case _:
            pieces = [name.section, name.name]
    return "_".join(piece for piece in (*pieces, name.part) if piece)


def weight_attribute(weight: Weight) -> str:
    """A readable attribute name for a weight: `level1_ctr_0_weight0` for an expert's first layer, `user_table`."""
    if weight.role == "table" and weight.path == ("weight",):
        return f"{weight.owner.name}_table"
    match weight.path:
        case (*outer, "layers" | "norms", number, last) if number.isdecimal():
            path = (*outer, f"{last}{number}")
        case (*outer, "head", "weight"):
            path = (*outer, "weight")
        case path:
            pass
    return "_".join(piece for piece in (node_attribute(weight.owner), *path) if piece)


def storage_attribute(first: Weight, *, several: bool) -> str:
    """A readable attribute name for a tensor of one or several weights: `tables`, `level1_weight`, `tower_bias`."""
    if not several:
        return weight_attribute(first)
    if first.role == "table":
        return "tables"
    owner = first.owner
    holder = f"level{owner.level}" if owner.level else owner.section.removesuffix("s")
    return f"{holder}_{first.path[-1]}"


class Attributes:
    """Attributes of the module: one per storage, constant and plugin module of its programs, all different.

    They never clash with those of nn.Module: each contains the name of a section (`level1_...`, `..._tower`, ...).
    """

    def __init__(self, programs: Sequence[Program]) -> None:
        self.names: dict[str, str] = {}
        self.taken: set[str] = set()
        for program in programs:
            for storage in program.storages.values():
                first = program.weights[storage.slots[0].weight]
                self.add(storage.name, storage_attribute(first, several=len(storage.slots) > 1))
        for program in programs:
            for module in program.modules:
                self.add(module, node_attribute(program.modules[module].name))
        for program in programs:
            for op in program.ops:
                if op.kind == "constant":
                    self.add(op.output.name, _constant(op, program.hints))

    def add(self, name: str, attribute: str) -> None:
        """Adds an attribute, with a number if the name is taken."""
        self.names[name] = numbered(identifier(attribute), self.taken)
        self.taken.add(self.names[name])

    def name(self, name: str) -> str:
        """The attribute of a storage, a plugin's module or a constant, by its name in the program."""
        return self.names[name]


def _constant(op: Op, hints: Mapping[str, str]) -> str:
    hint = hints.get(op.output.name, "constant")
    return f"{node_attribute(op.node)}_{hint}" if op.node.name else hint


class Variables:
    """Variables of a function body: a name can be used again after the last read of its value."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.reserved = reserved() | LOCAL | frozenset(taken)
        self.bound: dict[str, str] = {}
        self.used = set(self.reserved)

    def bind(self, value: str, hint: str) -> str:
        """A name for a new value."""
        name = numbered(identifier(hint, self.reserved), self.used)
        self.used.add(name)
        self.bound[value] = name
        return name

    def release(self, value: str) -> None:
        """Frees the name of a value that nothing reads any more."""
        self.used.discard(self.bound[value])


def numbered(base: str, taken: Collection[str]) -> str:
    """The name, with a number appended if it is taken."""
    name, count = base, 1
    while name in taken:
        count += 1
        name = f"{base}_{count}"
    return name
