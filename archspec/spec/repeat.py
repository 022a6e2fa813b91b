"""`repeat`: expands a level that is written once into several."""

from __future__ import annotations

from dataclasses import replace

from archspec.contract.limits import MOST_REPEATS, MOST_VALUES
from archspec.diagnostics import Diagnostics, Note, Span
from archspec.spec.tree import Mapping, Node, Scalar, Sequence, size, span_at, with_provenance


def repeated(tree: Mapping, diagnostics: Diagnostics) -> Mapping:
    """The tree with every level of `levels` written out as often as its `repeat` says."""
    entry = tree.entry("levels")
    if entry is None or not isinstance(entry.node, Sequence):
        return tree
    copies = [(item, *_times(item, diagnostics)) for item in entry.node.items]
    if sum(times * size(item) for item, times, _ in copies) > MOST_VALUES:
        most = max(copies, key=lambda copy: copy[1] * size(copy[0]))[0]
        diagnostics.error(
            "AS133", f"with every repeat written out, the levels have more than {MOST_VALUES:,} values",
            span_at(most, ("repeat",)), notes=most.provenance, help="repeat less often, or repeat a smaller level",
        )  # fmt: skip
        diagnostics.raise_errors()
    items = [level for item, times, place in copies for level in _copies(item, times, place)]
    return tree.with_entry(replace(entry, node=replace(entry.node, items=tuple(items))))


def _times(level: Node, diagnostics: Diagnostics) -> tuple[int, Span]:
    """How often a level is repeated, and where that is written."""
    entry = level.entry("repeat") if isinstance(level, Mapping) else None
    if entry is None:
        return 1, level.span
    times = entry.node.value if isinstance(entry.node, Scalar) else None
    if type(times) is not int or not 1 <= times <= MOST_REPEATS:
        diagnostics.error(
            "AS135", f"`repeat` must be a whole number from 1 to {MOST_REPEATS}", entry.node.span,
            notes=entry.node.provenance, help="leave `repeat` out for one level, or remove the level",
        )  # fmt: skip
        return 1, entry.key_span
    return times, entry.key_span


def _copies(level: Node, times: int, place: Span) -> list[Node]:
    """One level as often as it is repeated; each copy remembers its number."""
    once = level.without("repeat") if isinstance(level, Mapping) else level
    if times == 1:
        return [once]
    return [with_provenance(once, (Note(f"repeat {i} of {times}", place),)) for i in range(1, times + 1)]
