"""The Spec: the contents of a file, typed and complete. Immutable; `text()` prints its canonical form."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from archspec.spec.text import dump
from archspec.spec.tree import Mapping, Node, span_at

if TYPE_CHECKING:
    from collections.abc import Mapping as MappingType

    from archspec.contract import InputKind, Registry, Settings, Task, TaskKind
    from archspec.diagnostics import Diagnostic, Note, Span

VERSION = 1
"""The version of the language that this release reads and writes."""

LITERAL = ("archspec", "name", "about", "sets", "requires", "extends")
"""Sections in which `$` has no meaning."""


@dataclass(frozen=True, slots=True)
class Block:
    """One named block of a spec: the keys of its category, its kind and the kind's settings.

    `common` and `settings` are None if they are wrong, which was reported. `node` is the block's tree from the file,
    `place` the place of its name there.
    """

    category: str
    name: str
    kind: str
    common: Any
    settings: Any
    node: Node
    place: Span

    def span(self, *path: str | int, key: bool = False) -> Span:
        """The place of a setting, or of the deepest part of the path that is written."""
        return span_at(self.node, path, key=key)

    @property
    def provenance(self) -> tuple[Note, ...]:
        """Notes on the files and expansions that the block came from."""
        return self.node.provenance

    def brief(self) -> dict[str, Any]:
        """The canonical mapping without settings that have their defaults."""
        parts = (each for each in (self.common, self.settings) if each is not None)
        written = {key for each in parts for key in each.model_dump(by_alias=True, exclude_defaults=True)}
        return {key: value for key, value in self.data().items() if key == "kind" or key in written}

    def data(self) -> dict[str, Any]:
        """The canonical mapping."""
        common = _dumped(self.common)
        if "like" in common:  # the rest belongs to the other group
            return {key: value for key, value in common.items() if key != "count"}
        return {"kind": self.kind, **common, **(_dumped(self.settings) if self.settings else {})}


@dataclass(frozen=True, slots=True)
class Switch:
    """A tower in which each row uses the case of its domain."""

    name: str
    switch: str
    cases: MappingType[str, Block]
    output: Literal["binary", "regression"] | None
    node: Node
    place: Span

    def span(self, *path: str | int, key: bool = False) -> Span:
        """The place of a setting, or of the deepest part of the path that is written."""
        return span_at(self.node, path, key=key)

    @property
    def provenance(self) -> tuple[Note, ...]:
        """Notes on the files and expansions that the switch came from."""
        return self.node.provenance

    def data(self) -> dict[str, Any]:
        """The canonical mapping."""
        output = {"output": self.output} if self.output else {}
        return {"switch": self.switch, **output, "cases": {name: block.data() for name, block in self.cases.items()}}


@dataclass(frozen=True, slots=True)
class TaskBlock:
    """A task with its kind and its losses."""

    name: str
    kind: str
    task: Task
    settings: TaskKind
    losses: tuple[Block, ...]
    node: Node
    place: Span

    @property
    def provenance(self) -> tuple[Note, ...]:
        """Notes on the files and expansions that the task came from."""
        return self.node.provenance

    def data(self) -> dict[str, Any]:
        """The canonical mapping."""
        losses = [_short(loss) for loss in self.losses]
        data = {"kind": self.kind, **_dumped(self.settings), **_dumped(self.task)}
        data |= {"loss": losses[0] if len(losses) == 1 else losses}
        decay = data.get("decay")
        return data | ({"decay": decay["rate"]} if decay and decay["every"] == "step" else {})


@dataclass(frozen=True, slots=True)
class Level:
    """One extraction level."""

    experts: MappingType[str, Block]
    gates: MappingType[str, Block]
    node: Node

    def data(self) -> dict[str, Any]:
        """The canonical mapping."""
        return {"experts": _blocks(self.experts), "gates": _blocks(self.gates)}


@dataclass(frozen=True, slots=True)
class Spec:
    """A complete spec: defaults, variables and repeats are resolved. `diagnostics` are its warnings and notes."""

    name: str
    about: str
    requires: tuple[str, ...]
    inputs: MappingType[str, Block]
    groups: MappingType[str, tuple[str, ...]]
    feature_gates: MappingType[str, Block]
    blocks: MappingType[str, Block]
    tasks: MappingType[str, TaskBlock]
    levels: tuple[Level, ...]
    towers: MappingType[str, Block | Switch]
    fusion: MappingType[str, Block]
    balance: Block
    tree: Mapping = field(repr=False)
    registry: Registry = field(repr=False)
    diagnostics: tuple[Diagnostic, ...] = field(default=(), repr=False)

    def data(self) -> dict[str, Any]:
        """The canonical form as plain data: defaults, variables and repeats written out."""
        sections: dict[str, Any] = {
            "archspec": VERSION,
            "name": self.name,
            "about": self.about,
            "requires": list(self.requires),
            "inputs": _blocks(self.inputs),
            "groups": {name: list(inputs) for name, inputs in self.groups.items()},
            "feature_gates": _blocks(self.feature_gates),
            "blocks": _blocks(self.blocks),
            "tasks": {name: task.data() for name, task in self.tasks.items()},
            "levels": [level.data() for level in self.levels],
            "towers": {name: tower.data() for name, tower in self.towers.items()},
            "fusion": _blocks(self.fusion),
            "balance": _short(self.balance),
        }
        return {key: value for key, value in sections.items() if value not in ("", [], {})}

    def text(self) -> str:
        """The canonical form as YAML; reading it gives an equal spec."""
        return written(self.data())

    @property
    def digest(self) -> str:
        """SHA-256 of the meaning, 16 hexadecimal digits; comments and the order of keys but inputs do not count."""
        data = self.data()
        data["inputs"] = list(data.get("inputs", {}).items())
        data.pop("about", None)
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]

    def domain(self, name: str) -> tuple[str, ...] | None:
        """The values of a domain input; None for other inputs, and for a name that is not an input."""
        kind: InputKind | None = self.inputs[name].settings if name in self.inputs else None
        return kind.domain() if kind is not None else None

    def saying(self, diagnostics: tuple[Diagnostic, ...]) -> Spec:
        """The same spec with other warnings and notes."""
        return replace(self, diagnostics=diagnostics)


def written(data: dict[str, Any]) -> str:
    """The YAML text of a canonical form."""
    return dump({key: value if key in LITERAL else _escaped(value) for key, value in data.items()})


def _blocks(blocks: MappingType[str, Block]) -> dict[str, Any]:
    return {name: block.data() for name, block in blocks.items()}


def _short(block: Block) -> Any:  # noqa: ANN401 - YAML data
    """A block as the name of its kind, or as a mapping if it has settings."""
    data = block.data()
    return block.kind if data.keys() == {"kind"} else data


def _dumped(settings: Settings) -> dict[str, Any]:
    data: dict[str, Any] = settings.model_dump(mode="json", by_alias=True, exclude_none=True)
    return data


def _escaped(data: Any) -> Any:  # noqa: ANN401 - YAML data
    """Doubles `$` in strings, so that they read back unchanged."""
    if isinstance(data, dict):
        return {_escaped(key): _escaped(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_escaped(item) for item in data]
    return data.replace("$", "$$") if isinstance(data, str) else data
