"""The tree of a YAML file: values with their places, and the aliases that they came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence as Path

    from archspec.diagnostics import Note, Span

Value: TypeAlias = "str | int | float | bool | None"
Node: TypeAlias = "Scalar | Sequence | Mapping"
Data: TypeAlias = "Value | list[Data] | dict[str, Data]"


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value, typed by the rules of YAML 1.2. `provenance` lists its aliases, innermost first."""

    value: Value
    span: Span
    provenance: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    span: Span
    provenance: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One `key: value` of a mapping."""

    key: str
    key_span: Span
    node: Node


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping in the order of the file; its keys are different strings."""

    entries: tuple[Entry, ...]
    span: Span
    provenance: tuple[Note, ...] = ()
    _by_key: dict[str, Entry] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_key", {entry.key: entry for entry in self.entries})

    def __contains__(self, key: object) -> bool:
        return key in self._by_key

    def keys(self) -> tuple[str, ...]:
        """Return the keys in the order of the file."""
        return tuple(self._by_key)

    def entry(self, key: str) -> Entry | None:
        """Return the entry of a key, if there is one."""
        return self._by_key.get(key)

    def get(self, key: str) -> Node | None:
        """Return the value of a key, if there is one."""
        entry = self._by_key.get(key)
        return entry.node if entry else None

    def without(self, key: str) -> Mapping:
        """Return this mapping without a key."""
        return Mapping(tuple(entry for entry in self.entries if entry.key != key), self.span, self.provenance)

    def only(self, *keys: str) -> Mapping:
        """Return this mapping with only these keys."""
        return Mapping(tuple(entry for entry in self.entries if entry.key in keys), self.span, self.provenance)

    def with_entry(self, entry: Entry) -> Mapping:
        """Return this mapping with an entry that replaces the one with its key, or is added at the end."""
        if entry.key not in self:
            return Mapping((*self.entries, entry), self.span, self.provenance)
        return Mapping(
            tuple(entry if old.key == entry.key else old for old in self.entries), self.span, self.provenance
        )


def is_empty(node: Node | None) -> bool:
    """Whether a key was written without a value, or with `null`."""
    return isinstance(node, Scalar) and node.value is None


def is_null(node: Node | None) -> bool:
    """Whether the value of a key is a written `null`."""
    return node is not None and is_empty(node) and node.span.column < node.span.end_column


def as_mapping(node: Node) -> Mapping | None:
    """The node as a mapping, or None; a key without a value is an empty mapping."""
    if is_empty(node):
        return Mapping((), node.span, node.provenance)
    return node if isinstance(node, Mapping) else None


def text_of(node: Node | None) -> str | None:
    """The text of a node that is text."""
    return node.value if isinstance(node, Scalar) and isinstance(node.value, str) else None


def size(node: Node) -> int:
    """The number of values in a tree, including itself."""
    inner = [entry.node for entry in node.entries] if isinstance(node, Mapping) else getattr(node, "items", ())
    return 1 + sum(map(size, inner))


def to_data(node: Node) -> Data:
    """Return the plain dicts, lists and values of a tree."""
    if isinstance(node, Mapping):
        return {entry.key: to_data(entry.node) for entry in node.entries}
    if isinstance(node, Sequence):
        return [to_data(item) for item in node.items]
    return node.value


def with_provenance(node: Node, notes: tuple[Note, ...]) -> Any:  # noqa: ANN401 - a node of the same kind
    """The tree with additional provenance of each of its values: an extended file, an expansion, a repeat."""
    provenance = (*node.provenance, *notes)
    if isinstance(node, Mapping):
        entries = (Entry(entry.key, entry.key_span, with_provenance(entry.node, notes)) for entry in node.entries)
        return Mapping(tuple(entries), node.span, provenance)
    if isinstance(node, Sequence):
        return Sequence(tuple(with_provenance(item, notes) for item in node.items), node.span, provenance)
    return Scalar(node.value, node.span, provenance)


def _inside(node: Node, step: str | int) -> Node | None:
    """Return the value of a key or of an item, counted from 0, or None if nothing is written there."""
    if isinstance(node, Mapping) and isinstance(step, str):
        return node.get(step)
    if isinstance(node, Sequence) and isinstance(step, int) and 0 <= step < len(node.items):
        return node.items[step]
    return None


def node_at(node: Node, path: Path[str | int]) -> Node | None:
    """Return the value at `path`, or None if nothing is written there."""
    found: Node | None = node
    for step in path:
        found = _inside(found, step) if found else None
    return found


def provenance_at(node: Node, path: Path[str | int]) -> tuple[Note, ...]:
    """Return the provenance of the value at `path`, or of the deepest part of the path that exists."""
    for step in path:
        inner = _inside(node, step)
        if inner is None:
            break
        node = inner
    return node.provenance


def span_at(node: Node, path: Path[str | int], *, key: bool = False) -> Span:
    """Return the place of the value at `path`, or of the deepest part of the path that exists.

    With `key`, return the place of the key that leads there (of the value itself if it is an item of a list).
    """
    span = node.span
    for step in path:
        if isinstance(node, Mapping) and isinstance(step, str) and (entry := node.entry(step)):
            node, span = entry.node, entry.key_span if key else entry.node.span
        elif isinstance(node, Sequence) and isinstance(step, int) and 0 <= step < len(node.items):
            node = node.items[step]
            span = node.span
        else:
            break
    return span
