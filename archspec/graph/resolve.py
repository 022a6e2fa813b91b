"""References become streams of canonical node names; a name that means nothing, or two things, is reported."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archspec.contract.limits import MOST_EDGES
from archspec.contract.reference import Name
from archspec.diagnostics import Diagnostics, Note, Span, suggest
from archspec.graph.graph import Stream
from archspec.graph.limits import too_many_edges
from archspec.spec.problems import provenance_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from archspec.contract import Reference
    from archspec.spec.spec import Spec

Path = tuple[str | int, ...]

_MOST_LISTED = 12
LEVEL = re.compile(r"level([1-9][0-9]*)\.(gates|experts)\.([a-z0-9_]+)(?:\.([0-9]+))?")
_WRITTEN = re.compile(r"[\w.-]+")
_SECTION = re.compile(r"(inputs|groups|feature_gates|towers)\.([a-z0-9_]+)")


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads: the block in words, the level it stands on, and its settings' places."""

    what: str
    level: int
    block: Any
    """A Block, or a Switch."""

    def span(self, *path: str | int, key: bool = False) -> Span:
        """The place of a setting of the block; of the block's name where the setting is not written."""
        span: Span = self.block.span(*path, key=key)
        return self.block.place if span == self.block.node.span else span

    def provenance(self, *path: str | int) -> tuple[Note, ...]:
        """Through which files and expansions a setting came."""
        return provenance_at(self.block.node, path)


class Resolver:
    """Resolves the references of one spec."""

    def __init__(self, spec: Spec, diagnostics: Diagnostics) -> None:
        self.spec, self.diagnostics = spec, diagnostics
        self._inputs = {name: block.settings for name, block in spec.inputs.items() if block.settings is not None}
        self._has_width: dict[str, bool] = {}
        self.resolved = 0
        """How many nodes all names meant so far."""

    # -- streams ------------------------------------------------------------------------------------------------------

    def stream(self, reference: Reference, reader: Reader, path: Path) -> Stream:
        """The stream that a reference of the reader means; unknown names are left out, and reported."""
        items: list[Stream | str] = []
        for item in reference.items:
            if isinstance(item, Name):
                found = self.name(item, reader, path)
                self.resolved += len(found)
                if self.resolved > 2 * MOST_EDGES:  # a node that is named twice is one edge
                    too_many_edges(self.diagnostics, reader.what, reader.block)
                together = (
                    reference.combine == "sum" and len(found) > 1
                )  # a name of several is added as one, side by side
                items += [Stream("concat", tuple(found), reader.span(*path, *item.at))] if together else found
            else:
                items.append(self.stream(item, reader, path))
        return Stream(reference.combine, tuple(items), reader.span(*path))

    def name(self, name: Name, reader: Reader, path: Path) -> list[str]:  # noqa: PLR0911 - one answer per case
        """The nodes that one name means; several stand side by side."""
        at = (*path, *name.at)
        text = name.text
        spec = self.spec
        if "." in text and text not in self.diagnostics.blamed:
            return self.dotted(text, reader, at)
        if reader.level > 1 and reader.level - 1 <= len(spec.levels) and text in spec.levels[reader.level - 2].gates:
            return [f"level{reader.level - 1}.gates.{text}"]
        if text == "inputs":
            return [f"inputs.{name}" for name in spec.inputs if self.has_width(name)]
        if text in spec.inputs:
            return self.input(text, reader, at)
        if text in spec.groups:
            return self.group(text)
        if text in spec.feature_gates:
            return [f"feature_gates.{text}"]
        self.unknown(text, reader, at)
        return []

    def input(self, name: str, reader: Reader, at: Path) -> list[str]:
        """An input, which must have a width."""
        if not self.has_width(name):
            self.diagnostics.error(
                "AS216", f"{reader.what} reads the domain input `{name}`, which has no embedding", reader.span(*at),
                notes=[*reader.provenance(*at), Note(f"input `{name}`", self.spec.inputs[name].place)],
                help=f"give `{name}` a `dim`",
            )  # fmt: skip
            return []
        return [f"inputs.{name}"]

    def group(self, name: str) -> list[str]:
        """The inputs of a group that have a width."""
        members = self.spec.groups[name]
        return [f"inputs.{member}" for member in members if member in self.spec.inputs and self.has_width(member)]

    def has_width(self, name: str) -> bool:
        """Whether an input is a stream (a domain without `dim` is not)."""
        if name not in self._has_width:
            try:
                self._has_width[name] = name not in self._inputs or self._inputs[name].width(self._inputs) != 0
            except Exception:  # noqa: BLE001 - a plugin may raise anything; whoever checks inputs reports it
                self._has_width[name] = True
        return self._has_width[name]

    def dotted(self, text: str, reader: Reader, at: Path) -> list[str]:
        """`towers.ctr`, `level1.gates.ctr`, `level1.experts.shared`, `inputs.user` ..."""
        spec = self.spec
        if match := _SECTION.fullmatch(text):
            section, name = match.groups()
            if name in getattr(spec, section):
                if section == "groups":
                    return self.group(name)
                return self.input(name, reader, at) if section == "inputs" else [text]
        elif match := LEVEL.fullmatch(text):
            number, section, name, index = match.groups()
            if int(number) <= len(spec.levels):
                level = spec.levels[int(number) - 1]
                if section == "gates" and index is None and name in level.gates:
                    return [text]
                if section == "experts" and name in level.experts:
                    return self.experts(int(number), name, index, reader, at)
        self.unknown(text, reader, at)
        return []

    def experts(self, level: int, group: str, index: str | None, reader: Reader, at: Path) -> list[str]:
        """All experts of a group, or one."""
        block = self.spec.levels[level - 1].experts[group]
        count = block.common.count if block.common else 1
        if index is None:
            return [f"level{level}.experts.{group}.{i}" for i in range(count)]
        if int(index) < count:
            return [f"level{level}.experts.{group}.{int(index)}"]
        self.diagnostics.error(
            "AS204",
            f"{reader.what} names expert {index} of `{group}`, which has {count}",
            reader.span(*at),
            notes=reader.provenance(*at),
            help=f"experts count from 0: the last one is `{group}.{count - 1}`",
        )
        return []

    def unknown(self, text: str, reader: Reader, at: Path) -> None:
        """Reports a name that means nothing here, unless an earlier mistake explains it."""
        if self.diagnostics.incomplete or text in self.diagnostics.blamed:
            return
        self.diagnostics.error(
            "AS201",
            f"{reader.what} reads unknown `{text}`",
            reader.span(*at),
            label="nothing of this name can be read here",
            notes=reader.provenance(*at),
            help=self.elsewhere(text, reader) or self.nearby(text, reader.level),
        )

    def elsewhere(self, text: str, reader: Reader) -> str:
        """Where a bare name is declared that cannot be read as such: where reading it would form no cycle."""
        above = ""
        for number, level in reversed(list(enumerate(self.spec.levels, 1))):
            section = "gates" if text in level.gates else "experts" if text in level.experts else ""
            if not section:
                continue
            thing = f"{'gate' if section == 'gates' else 'expert group'} `{text}` of level {number}"
            if number < reader.level:
                return f"{thing} is `level{number}.{section}.{text}`"
            above = f"{thing} is computed later than what reads it here; {self.nearby('', reader.level)}"
        if text in self.spec.towers and reader.level > len(self.spec.levels) and reader.block.name != text:
            return f"the last hidden vector of tower `{text}` is `towers.{text}`"
        return above or (
            "" if _WRITTEN.fullmatch(text) else "a reference is a name; a list concatenates, `{sum: [...]}` adds"
        )

    def nearby(self, text: str, level: int) -> str:
        """The name that was meant, and those that can be read."""
        known = list(self.known(level))
        start = text.partition(".")[0].rstrip("0123456789")
        like = [name for name in known if "." in name and name.startswith(start)] if "." in text else []
        guess = suggest(text, known)
        return (
            f"did you mean `{guess}`? " if guess else ""
        ) + f"names here: {listed(like or [n for n in known if '.' not in n])}"

    def known(self, level: int) -> Iterator[str]:
        """Every name that a reader at a level may use."""
        spec = self.spec
        if 1 < level <= len(spec.levels) + 1:
            yield from spec.levels[level - 2].gates
        yield from ("inputs", *spec.inputs, *spec.groups, *spec.feature_gates)
        yield from (f"towers.{name}" for name in spec.towers)
        for number, inner in enumerate(spec.levels, 1):
            yield from (f"level{number}.gates.{name}" for name in inner.gates)
            yield from (f"level{number}.experts.{name}" for name in inner.experts)


def listed(names: Iterable[str]) -> str:
    """Names for a sentence: sorted, a line's worth of them."""
    found = sorted(names)
    more = f" and {len(found) - _MOST_LISTED} more" if len(found) > _MOST_LISTED else ""
    return ", ".join(found[:_MOST_LISTED]) + more or "none"
