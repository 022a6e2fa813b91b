"""`repeat`: a level that is written once and stands several times."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from archspec.diagnostics import Diagnostics, Note
from archspec.spec.tree import Entry, Mapping, Node, Scalar, Sequence

MOST_REPEATS = 1000
"""More levels than any network has."""
MOST_VALUES = 1_000_000
"""Values in all copies of a level."""


def repeated(tree: Mapping, diagnostics: Diagnostics) -> Mapping:
    """The tree with every level of `levels` written out as often as its `repeat` says."""
    entry = tree.entry("levels")
    if entry is None or not isinstance(entry.node, Sequence):
        return tree
    items = [level for item in entry.node.items for level in _copies(item, diagnostics)]
    return tree.with_entry(replace(entry, node=replace(entry.node, items=tuple(items))))


def _copies(level: Node, diagnostics: Diagnostics) -> list[Node]:
    """One level as often as it is repeated; each copy says which it is."""
    entry = level.entry("repeat") if isinstance(level, Mapping) else None
    if entry is None or not isinstance(level, Mapping):
        return [level]
    times = entry.node.value if isinstance(entry.node, Scalar) else None
    if type(times) is not int or not 1 <= times <= MOST_REPEATS:
        diagnostics.error(
            "AS135", f"`repeat` must be a whole number from 1 to {MOST_REPEATS}", entry.node.span,
            notes=entry.node.trail, help="leave `repeat` out for one level, or remove the level",
        )  # fmt: skip
        times = 1
    once = level.without("repeat")
    if times * _size(once) > MOST_VALUES:
        message = f"the repeated levels hold more than {MOST_VALUES:,} values"
        diagnostics.error(
            "AS133", message, entry.node.span, notes=entry.node.trail, help="repeat less, or a smaller level"
        )
        diagnostics.raise_errors()
    if times == 1:
        return [once]
    return [with_trail(once, (Note(f"repeat {i} of {times}", entry.key_span),)) for i in range(1, times + 1)]


def _size(node: Node) -> int:
    inner = [entry.node for entry in node.entries] if isinstance(node, Mapping) else getattr(node, "items", ())
    return 1 + sum(map(_size, inner))


def with_trail(node: Node, notes: tuple[Note, ...]) -> Any:  # noqa: ANN401 - a node of the same kind
    """A node that came a further way: an expansion, a repeat."""
    if not notes:
        return node
    trail = (*node.trail, *notes)
    if isinstance(node, Mapping):
        entries = (Entry(entry.key, entry.key_span, with_trail(entry.node, notes)) for entry in node.entries)
        return Mapping(tuple(entries), node.span, trail)
    if isinstance(node, Sequence):
        return Sequence(tuple(with_trail(item, notes) for item in node.items), node.span, trail)
    return Scalar(node.value, node.span, trail)
