"""The differences between two specs: keys of their canonical forms, and nodes of their graphs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from archspec.graph.graph import Graph

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    `path` is a canonical path such as `levels.1.experts.ctr.count` (levels count from 1), or the name of a node.
    """

    what: Literal["key", "node", "width", "order"]
    how: Literal["added", "removed", "changed"]
    path: str
    old: Any = None
    new: Any = None

    def __str__(self) -> str:
        """The difference in words."""
        subject = {"key": "", "node": "node ", "width": "width of ", "order": "order of "}[self.what]
        match self.how:
            case "changed":
                return f"changed {subject}{self.path}: {_shown(self.old)} -> {_shown(self.new)}"
            case "added":
                return f"added   {subject}{self.path}{_after(self.new)}"
            case _:
                return f"removed {subject}{self.path}{_after(self.old)}"


def difference(old: Graph, new: Graph) -> tuple[Change, ...]:
    """All differences between two checked specs, keys first, then nodes; empty if they mean the same."""
    before, after = old.spec.data(), new.spec.data()
    order = _order(before.get("inputs", {}), after.get("inputs", {}))
    return (*_keys(before, after, ()), *order, *_nodes(old, new))


def _shown(value: Any) -> str:  # noqa: ANN401 - YAML data
    return json.dumps(value, ensure_ascii=False)


def _after(value: Any) -> str:  # noqa: ANN401 - YAML data
    return "" if value is None else f": {_shown(value)}"


def _keys(old: Any, new: Any, path: Path) -> Iterator[Change]:  # noqa: ANN401 - YAML data
    """Differences between two canonical values, at the deepest keys that differ."""
    if path == ("levels",):
        old, new = _numbered(old), _numbered(new)
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            here = (*path, key)
            if key not in new:
                yield Change("key", "removed", ".".join(here), old=old[key])
            elif key not in old:
                yield Change("key", "added", ".".join(here), new=new[key])
            else:
                yield from _keys(old[key], new[key], here)
    elif old != new:
        yield Change("key", "changed", ".".join(path), old, new)


def _numbered(levels: list[Any]) -> dict[str, Any]:
    return {str(number): level for number, level in enumerate(levels, 1)}


def _order(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """A changed order of the inputs, which is the order in which `inputs` concatenates them."""
    before, after = [name for name in old if name in new], [name for name in new if name in old]
    if before != after:
        yield Change("order", "changed", "inputs", before, after)


def _nodes(old: Graph, new: Graph) -> Iterator[Change]:
    for name in old.order:
        if name not in new.nodes:
            yield Change("node", "removed", name)
        elif old.widths[name] != new.widths[name]:
            yield Change("width", "changed", name, old.widths[name], new.widths[name])
    for name in new.order:
        if name not in old.nodes:
            yield Change("node", "added", name)
