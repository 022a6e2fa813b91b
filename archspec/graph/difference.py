"""The differences between two specs: keys of their canonical forms that differ, and renamed blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from archspec.program.nodes import NodeName
from archspec.spec.categories import ABOUT
from archspec.spec.spec import Block, Switch

if TYPE_CHECKING:
    from archspec.graph.graph import Graph
    from archspec.program.nodes import Section
    from archspec.spec.spec import Spec

How = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True)
class Place:
    """A block of a spec; `section` is empty for keys of the top level."""

    section: str = ""
    name: str = ""
    level: int = 0
    case: str = ""

    def __str__(self) -> str:
        """Its canonical name: `level1.experts.ctr`, `towers.ctr.cases.home`; `level3` for a whole level."""
        if self.section == "levels":
            return f"level{self.level}"
        inner = f"cases.{self.case}" if self.case else ""
        return NodeName(_section(self.section), self.name, level=self.level, part=inner)


@dataclass(frozen=True, slots=True)
class Change:
    """A key whose value differs; without a `setting`, the whole block was added or removed."""

    how: How
    place: Place
    setting: str = ""
    old: Any = None
    new: Any = None
    brief: Any = None
    """Of a whole block: its mapping without settings that have their defaults."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Two specs compared; the changes are those that remain after renaming the renamed blocks."""

    renamed: Mapping[str, str]
    changes: tuple[Change, ...]
    places: frozenset[Place]
    """The blocks that both specs have."""


def difference(old: Graph, new: Graph) -> Difference:
    """Compares the canonical forms of two checked specs."""
    before, after = _blocks(old.spec.data()), _blocks(new.spec.data())
    renamed = _renamed(before, after)
    moved = {_moved(place, renamed): block for place, block in before.items()}
    before = {place: _replaced(block, after.get(place, {}), renamed) for place, block in moved.items()}
    changes = (_with_brief(change, old.spec, new.spec) for change in _changes(before, after))
    return Difference(renamed, (*changes, *_order(before, after)), frozenset(before.keys() & after.keys()))


def _with_brief(change: Change, old: Spec, new: Spec) -> Change:
    """A change of a whole block with its brief form."""
    if change.setting:
        return change
    place, spec = change.place, old if change.how == "removed" else new
    holder: Any = spec.levels[place.level - 1] if place.level else spec
    block = getattr(holder, place.section, {}).get(place.name) if place.name else None
    block = block.cases[place.case] if place.case and isinstance(block, Switch) else block
    whole = change.old if change.how == "removed" else change.new
    return replace(change, brief=block.brief() if isinstance(block, Block) else whole)


Blocks = dict[Place, Any]


def _section(text: str) -> Section:
    section: Any = text
    found: Section = section
    return found


def _blocks(data: Mapping[str, Any]) -> Blocks:
    """The blocks of a canonical form; the top level's own keys are a block without a name."""
    found: Blocks = {Place(): {key: value for key, value in data.items() if not _holds_blocks(key, value)}}
    for section, value in data.items():
        if section == "levels":
            for number, level in enumerate(value, 1):
                found[Place("levels", level=number)] = {}
                for inner, blocks in level.items():
                    found |= {Place(inner, name, number): block for name, block in blocks.items()}
        elif _holds_blocks(section, value):
            for name, block in value.items():
                found |= _block(Place(section, name), block)
    return found


def _holds_blocks(key: str, value: object) -> bool:
    return key == "levels" or (key in ABOUT and key != "balance" and isinstance(value, Mapping))


def _block(place: Place, block: Any) -> Blocks:  # noqa: ANN401 - YAML data
    """A block; the cases of a switch are blocks of their own. A group of inputs is a list."""
    if not isinstance(block, Mapping):
        return {place: {"inputs": block}}
    cases = block.get("cases", {})
    own = {key: value for key, value in block.items() if key != "cases"}
    return {place: own} | {Place(place.section, place.name, case=case): inner for case, inner in cases.items()}


def _changes(before: Blocks, after: Blocks) -> Iterator[Change]:
    for place in dict.fromkeys((*before, *after)):
        if place not in after:
            yield Change("removed", place, old=before[place])
        elif place not in before:
            yield Change("added", place, new=after[place])
        else:
            yield from _keys(place, before[place], after[place])


def _keys(place: Place, old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> Iterator[Change]:
    """Differences between two canonical mappings, at the deepest keys that differ."""
    for key in dict.fromkeys((*old, *new)):
        setting = f"{path}{key}"
        if key not in new:
            yield Change("removed", place, setting, old=old[key])
        elif key not in old:
            yield Change("added", place, setting, new=new[key])
        elif isinstance(old[key], Mapping) and isinstance(new[key], Mapping):
            yield from _keys(place, old[key], new[key], f"{setting}.")
        elif old[key] != new[key]:
            yield Change("changed", place, setting, old[key], new[key])


def _order(old: Blocks, new: Blocks) -> Iterator[Change]:
    """A changed order of the inputs, which is the order in which `inputs` concatenates them."""
    before = [place.name for place in old if place.section == "inputs" and place in new]
    after = [place.name for place in new if place.section == "inputs" and place in old]
    if before != after:
        yield Change("changed", Place(), "order of the inputs", before, after)


def _renamed(before: Blocks, after: Blocks) -> dict[str, str]:
    """Old name -> new name of blocks that were replaced in all their places by blocks with the same settings."""
    gone, come = _only_in(before, after), _only_in(after, before)
    found: dict[str, str] = {}
    for old, places in gone.items():
        for new in (name for name in come if name not in found.values()):
            if {_named(place, new) for place in places} == set(come[new]) and all(
                _alike(before[place], after[_named(place, new)], {old: new}) for place in places
            ):
                found[old] = new
                break
    return found


def _only_in(one: Blocks, other: Blocks) -> dict[str, list[Place]]:
    """The names that only one spec has, with their places."""
    names = {place.name for place in other}
    found: dict[str, list[Place]] = {}
    for place in one:
        if place.name not in names:
            found.setdefault(place.name, []).append(place)
    return found


def _named(place: Place, name: str) -> Place:
    return Place(place.section, name, place.level, place.case)


def _alike(old: Mapping[str, Any], new: Mapping[str, Any], renamed: Mapping[str, str]) -> bool:
    """Whether two blocks may be one that was renamed: equal, or of one kind with a single different setting."""
    same = sum(old[key] == new.get(key) for key in old)
    differing = len(list(_keys(Place(), _replaced(old, new, renamed), new)))
    kinds = all(old.get(key) == new.get(key) for key in ("kind", "switch"))
    return differing == 0 or (kinds and differing == 1 and same > 1)


def _moved(place: Place, renamed: Mapping[str, str]) -> Place:
    return _named(place, renamed.get(place.name, place.name)) if place.section else place


_COLUMNS = ("label", "when", "column", "weight_column", "weights")
"""Settings that name columns of the data, which a renamed block leaves as they are."""


def _replaced(value: Any, new: Any, renamed: Mapping[str, str]) -> Any:  # noqa: ANN401 - YAML data
    """A block with renamed blocks in its references: `ctr`, `ctr.0`, `level1.experts.ctr`.

    A value that equals its counterpart in the new block is left alone: it may be the name of a kind.
    """
    if not renamed or value == new:
        return value
    if isinstance(value, Mapping):
        others = new if isinstance(new, Mapping) else {}
        return {
            key: inner if key in _COLUMNS else _replaced(inner, others.get(key), renamed)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        kept = new if isinstance(new, list) else []
        return [item if item in kept else _replaced(item, None, renamed) for item in value]
    return new_name(value, renamed) if isinstance(value, str) else value


def new_name(name: str, renamed: Mapping[str, str]) -> str:
    """A canonical name, or another dotted one, with its parts renamed."""
    return ".".join(renamed.get(part, part) for part in name.split("."))
