"""The difference between two specs in words: each change is listed once, with all places where it occurs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from archspec.graph.difference import Change, Difference, How, Place

NAMED: Final = 3
"""At most this many places are named; if there are more and no shorter words for them, their number is given."""

WORDS: Final = {"experts": "expert group", "fusion": "fusion", "groups": "group of inputs", "levels": "level"}
"""The words for a block of a section, if they are not the section's singular."""

PLURALS: Final = {"groups": "groups of inputs", "fusion": "fusions"}


@dataclass(frozen=True, slots=True)
class Statement:
    """One change. `setting` is empty for added and removed blocks; `places` are canonical names of blocks."""

    how: How
    text: str
    setting: str
    places: tuple[str, ...]
    old: Any = None
    new: Any = None

    def __str__(self) -> str:
        """The change as a line."""
        return f"{self.how:<7}  {self.text}"


def statements(found: Difference) -> tuple[Statement, ...]:
    """All changes, each once, those of settings first."""
    whole = [change for change in found.changes if not change.setting]
    settings = _with_kind(change for change in found.changes if change.setting)
    return (*_of_settings(settings, found.places), *_of_blocks(whole))


@dataclass(frozen=True, slots=True)
class _Said:
    """A changed setting with its consequences, as text; equal ones are listed together."""

    change: Change
    more: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """Equal for changes that are listed together."""
        change = self.change
        return (change.place.section, change.setting, change.how, self.value, self.more)

    @property
    def value(self) -> str:
        """The values in words."""
        old, new = self.change.old, self.change.new
        match self.change.how:
            case "added":
                return shown(new)
            case "removed":
                return f"was {shown(old)}"
            case _ if _is_names(old) and _is_names(new) and not self.change.setting.startswith("order"):
                return _gained(old, new, self.change.place.name)
            case _:
                return f"{shown(old)} -> {shown(new)}"


def _with_kind(changes: Iterable[Change]) -> list[_Said]:
    """Changed settings; those that are added and removed with a block's `kind` are listed with the kind."""
    blocks: dict[Place, list[Change]] = {}
    for change in changes:
        blocks.setdefault(change.place, []).append(change)
    found = []
    for own in blocks.values():
        kind = next((change for change in own if change.setting == "kind"), None)
        follow = [change for change in own if kind is not None and change.how != "changed"]
        gone = [change.setting for change in follow if change.how == "removed"]
        come = [f"{change.setting}: {shown(change.new)}" for change in follow if change.how == "added"]
        more = [f"with {', '.join(come)}"] if come else []
        more += [f"without {', '.join(gone)}"] if gone else []
        found += [_Said(change, "; ".join(more) if change is kind else "") for change in own if change not in follow]
    return found


def _of_settings(said: Iterable[_Said], every: Iterable[Place]) -> list[Statement]:
    """One statement for each change, with all its places."""
    alike: dict[tuple[str, ...], list[_Said]] = {}
    for one in said:
        alike.setdefault(one.key, []).append(one)
    counts = Counter(place.section for place in every)
    found = []
    for same in alike.values():
        first = same[0].change
        places = [one.change.place for one in same]
        more = f" ({same[0].more})" if same[0].more else ""
        where = f" of {where_of(places, counts[first.place.section])}" if first.place.section else ""
        same_values = all((one.change.old, one.change.new) == (first.old, first.new) for one in same)
        statement = Statement(
            first.how, f"{_quoted(first.setting)}{where}: {same[0].value}{more}", first.setting,
            tuple(str(place) for place in places if place.section),
        )  # fmt: skip
        found.append(replace(statement, old=first.old, new=first.new) if same_values else statement)
    return found


def _of_blocks(changes: Iterable[Change]) -> list[Statement]:
    """One statement for each level that was added or removed, and one for each set of names with the same places."""
    levels: dict[tuple[How, int], list[Change]] = {}
    names: dict[tuple[How, str], list[Change]] = {}
    changes = list(changes)
    whole = {(change.how, change.place.level) for change in changes if change.place.section == "levels"}
    for change in changes:
        place = change.place
        if (change.how, place.level) in whole:
            levels.setdefault((change.how, place.level), []).append(change)
        else:
            names.setdefault((change.how, place.name), []).append(change)
    found = [_of_places(how, _level(level, own), own) for (how, level), own in levels.items()]
    alike: dict[tuple[How, str], dict[str, list[Change]]] = {}
    for (how, name), own in names.items():
        alike.setdefault((how, _name(own)), {})[name] = own
    for (how, text), same in alike.items():
        said = f"{listed([f'`{name}`' for name in same])}: {text}" if _is_several(same) else text
        found.append(_of_places(how, said, [change for own in same.values() for change in own]))
    return found


def _of_places(how: How, text: str, own: Sequence[Change]) -> Statement:
    values = (own[0].old, own[0].new) if len(own) == 1 else (None, None)
    return Statement(how, text, "", tuple(str(change.place) for change in own), *values)


def _is_several(same: Mapping[str, Sequence[Change]]) -> bool:
    """Whether a statement is about more than one block."""
    return len(same) > 1 or any(len(own) > 1 for own in same.values())


def _level(level: int, own: Iterable[Change]) -> str:
    """`level 3: expert groups ctr, cvr and shared; gates ctr and cvr`."""
    sections: dict[str, list[str]] = {}
    for change in own:
        if change.place.section != "levels":
            sections.setdefault(change.place.section, []).append(change.place.name)
    parts = [f"{_counted(section, len(names))} {listed(names)}" for section, names in sections.items()]
    return f"level {level}: {'; '.join(parts)}"


def _name(own: Sequence[Change]) -> str:
    """`task and tower; expert groups and gates at levels 1 and 2`; a single block is given with its settings."""
    if len(own) == 1:
        return f"{own[0].place}: {shown(own[0].brief)}"
    places: dict[str, list[int]] = {}
    for change in own:
        places.setdefault("cases" if change.place.case else change.place.section, []).append(change.place.level)
    words: dict[tuple[int, ...], list[str]] = {}
    for section, levels in places.items():
        words.setdefault(tuple(levels) if any(levels) else (), []).append(_counted(section, len(levels)))
    parts = [listed(sections) + (f" at {_levels(levels)}" if levels else "") for levels, sections in words.items()]
    return "; ".join(parts)


def where_of(places: Sequence[Place], count: int) -> str:
    """The places in words, for a section of which both specs have `count` blocks."""
    section, names = places[0].section, [str(place) for place in places]
    if len(places) <= NAMED:
        return listed(names)
    if len(places) == count:
        return f"all {count} {_counted(section, count)}"
    levels: dict[int, list[str]] = {}
    for place in places:
        levels.setdefault(place.level, []).append(place.name)
    alike = len({tuple(own) for own in levels.values()}) == 1
    if alike and len(levels) > 1:
        own = next(iter(levels.values()))
        return f"{_counted(section, len(own))} {listed(own)} at {_levels(levels)}"
    return f"{len(places)} {_counted(section, len(places))} ({_some(names)})"


def _counted(section: str, count: int) -> str:
    """`gate` or `gates`."""
    one = WORDS.get(section, section.removesuffix("s").replace("_", " "))
    return one if count == 1 else PLURALS.get(section, f"{one}s")


def _levels(levels: Iterable[int]) -> str:
    found = list(dict.fromkeys(levels))
    return f"level {found[0]}" if len(found) == 1 else f"levels {listed(list(map(str, found)))}"


def _some(names: Sequence[str]) -> str:
    return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _quoted(setting: str) -> str:
    return setting if " " in setting else f"`{setting}`"


def _is_names(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


def _gained(old: list[str], new: list[str], own: str) -> str:
    """The names that a list gained and lost, if the others kept their order; `own` is the block's name."""
    more, less = [name for name in new if name not in old], [name for name in old if name not in new]
    if [name for name in old if name in new] != [name for name in new if name in old] or not (more or less):
        return f"{shown(old)} -> {shown(new)}"
    parts = (("also", more), ("no longer", less))
    spoken = [(word, ["its own group" if name == own else name for name in names]) for word, names in parts if names]
    return ", ".join(f"{word} {listed(names)}" for word, names in spoken)


def shown(value: Any) -> str:  # noqa: ANN401 - YAML data
    """A value as a spec writes it, on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {shown(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    if isinstance(value, str) and value and all(part.isidentifier() or part.isdecimal() for part in value.split(".")):
        return value
    return json.dumps(value, ensure_ascii=False)
