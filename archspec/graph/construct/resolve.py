"""Resolves references to streams of canonical node names; reports names with no meaning or two meanings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archspec.contract.limits import MOST_EDGES
from archspec.contract.reference import Name
from archspec.diagnostics import Diagnostics, Note, Span, suggest
from archspec.graph.checks.limits import too_many_edges
from archspec.graph.graph import Stream
from archspec.program.nodes import NodeName
from archspec.spec.categories import BOTTOM, bottom_blocks
from archspec.spec.tree import provenance_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from archspec.contract import Reference
    from archspec.program.nodes import Section
    from archspec.spec.spec import Spec

Path = tuple[str | int, ...]

_MOST_LISTED = 12
_WRITTEN = re.compile(r"[\w.-]+")


@dataclass(frozen=True, slots=True)
class Reader:
    """The reading block: its name in words, its level, and its settings' places."""

    what: str
    level: int
    block: Any
    """A Block, or a Switch."""

    def span(self, *path: str | int, key: bool = False) -> Span:
        """The place of a setting of the block; that of the block's name if the setting is not written."""
        span: Span = self.block.span(*path, key=key)
        return self.block.place if span == self.block.node.span else span

    def provenance(self, *path: str | int) -> tuple[Note, ...]:
        """Notes on the files and expansions that a setting came from."""
        return provenance_at(self.block.node, path)


class Resolver:
    """Resolves the references of one spec."""

    def __init__(self, spec: Spec, diagnostics: Diagnostics) -> None:
        self.spec, self.diagnostics = spec, diagnostics
        self._inputs = {name: block.settings for name, block in spec.inputs.items() if block.settings is not None}
        self._has_width: dict[str, bool] = {}
        self.resolved = 0
        """The number of nodes that names have been resolved to so far."""

    # -- streams ------------------------------------------------------------------------------------------------------

    def stream(self, reference: Reference, reader: Reader, path: Path) -> Stream:
        """The stream of a reference; unknown names are omitted and reported."""
        items: list[Stream | NodeName] = []
        for item in reference.items:
            if isinstance(item, Name):
                found = self.name(item, reader, path)
                self.resolved += len(found)
                if self.resolved > 2 * MOST_EDGES:  # a node that is read twice is one edge
                    too_many_edges(self.diagnostics, reader.what, reader.block)
                together = (
                    reference.combine == "sum" and len(found) > 1
                )  # a name that stands for several nodes is one summand: their concatenation
                items += [Stream("concat", tuple(found), reader.span(*path, *item.at))] if together else found
            else:
                items.append(self.stream(item, reader, path))
        return Stream(reference.combine, tuple(items), reader.span(*path))

    def name(self, name: Name, reader: Reader, path: Path) -> list[NodeName]:  # noqa: PLR0911 - one answer per case
        """The nodes of a name; several are concatenated."""
        at = (*path, *name.at)
        text = name.text
        spec = self.spec
        if "." in text and text not in self.diagnostics.blamed:
            return self.dotted(text, reader, at)
        if reader.level > 1 and reader.level - 1 <= len(spec.levels) and text in spec.levels[reader.level - 2].gates:
            return [NodeName("gates", text, level=reader.level - 1)]
        if text == "inputs":
            return [NodeName("inputs", name) for name in spec.inputs if self.has_width(name) and not self.is_list(name)]
        if text in spec.inputs:
            return self.input(text, reader, at)
        if text in spec.groups:
            return self.group(text)
        for section in BOTTOM:
            if text in getattr(spec, section):
                return [NodeName(section, text)]
        self.unknown(text, reader, at)
        return []

    def input(self, name: str, reader: Reader, at: Path) -> list[NodeName]:
        """An input, which must have a width."""
        if not self.has_width(name):
            self.diagnostics.error(
                "AS216", f"{reader.what} reads the domain input `{name}`, which has no embedding", reader.span(*at),
                notes=[*reader.provenance(*at), Note(f"input `{name}`", self.spec.inputs[name].place)],
                help=f"give `{name}` a `dim`",
            )  # fmt: skip
            return []
        return [NodeName("inputs", name)]

    def group(self, name: str) -> list[NodeName]:
        """The inputs of a group that have a width."""
        members = self.spec.groups[name]
        return [
            NodeName("inputs", member) for member in members if member in self.spec.inputs and self.has_width(member)
        ]

    def has_width(self, name: str) -> bool:
        """Whether an input is a stream (a domain without `dim` is not)."""
        if name not in self._has_width:
            try:
                self._has_width[name] = name not in self._inputs or self._inputs[name].width(self._inputs) != 0
            except Exception:  # noqa: BLE001 - a plugin may raise anything; whoever checks inputs reports it
                self._has_width[name] = True
        return self._has_width[name]

    def is_list(self, name: str) -> bool:
        """Whether an input is a stream of tokens, which `inputs` leaves out."""
        settings = self._inputs.get(name)
        try:
            return settings is not None and settings.tokens(self._inputs) is not None
        except Exception:  # noqa: BLE001 - as above
            return False

    def dotted(self, text: str, reader: Reader, at: Path) -> list[NodeName]:
        """`towers.ctr`, `level1.gates.ctr`, `level1.experts.shared`, `inputs.user` ..."""
        found = NodeName.parse(text)
        if found is None or found.case is not None or not self.declares(found):
            self.unknown(text, reader, at)
            return []
        match found.section:
            case "inputs":
                return self.input(found.name, reader, at)
            case "groups":
                return self.group(found.name)
            case "experts":
                return self.experts(found, reader, at)
            case _:
                return [found]

    def declares(self, found: NodeName) -> bool:
        """Whether the spec has the node, group or tower that a full name refers to."""
        spec = self.spec
        match found.section:
            case section if section in {"inputs", "groups", "towers", *BOTTOM}:
                return found.name in getattr(spec, section)
            case "experts" | "gates" if found.level <= len(spec.levels):
                return found.name in getattr(spec.levels[found.level - 1], found.section)
            case _:
                return False

    def experts(self, found: NodeName, reader: Reader, at: Path) -> list[NodeName]:
        """All experts of a group, or one."""
        block = self.spec.levels[found.level - 1].experts[found.name]
        count = block.common.count if block.common else 1
        if found.number is None:
            return [found.member(index) for index in range(count)]
        if found.number < count:
            return [found]
        self.diagnostics.error(
            "AS204",
            f"{reader.what} names expert {found.number} of `{found.name}`, which has only {count}",
            reader.span(*at),
            notes=reader.provenance(*at),
            help=f"experts count from 0: the last one is `{found.name}.{count - 1}`",
        )
        return []

    def unknown(self, text: str, reader: Reader, at: Path) -> None:
        """Reports a name without a meaning here, unless an earlier mistake explains it."""
        if self.diagnostics.incomplete or text in self.diagnostics.blamed:
            return
        self.diagnostics.error(
            "AS201",
            f"{reader.what} reads unknown `{text}`",
            reader.span(*at),
            label="nothing with this name can be read here",
            notes=reader.provenance(*at),
            help=self.elsewhere(text, reader) or self.nearby(text, reader.level),
        )

    def elsewhere(self, text: str, reader: Reader) -> str:
        """A hint for a bare name that is declared elsewhere: how to write it, if reading it would not form a cycle."""
        above = ""
        for number, level in reversed(list(enumerate(self.spec.levels, 1))):
            section: Section = "gates" if text in level.gates else "experts" if text in level.experts else ""
            if not section:
                continue
            thing = f"{'gate' if section == 'gates' else 'expert group'} `{text}` of level {number}"
            if number < reader.level:
                return f"{thing} is `{NodeName(section, text, level=number)}`"
            above = f"{thing} is computed after what reads it here; {self.nearby('', reader.level)}"
        if text in self.spec.towers and reader.level > len(self.spec.levels) and reader.block.name != text:
            return f"the last hidden vector of tower `{text}` is `{NodeName('towers', text)}`"
        return above or (
            "" if _WRITTEN.fullmatch(text) else "a reference is a name; a list concatenates, `{sum: [...]}` adds"
        )

    def nearby(self, text: str, level: int) -> str:
        """The name that was probably meant, and all names that can be read."""
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
        yield from ("inputs", *spec.inputs, *spec.groups, *(node.name for node, _ in bottom_blocks(spec)))
        yield from (NodeName("towers", name) for name in spec.towers)
        for number, inner in enumerate(spec.levels, 1):
            yield from (NodeName("gates", name, level=number) for name in inner.gates)
            yield from (NodeName("experts", name, level=number) for name in inner.experts)


def listed(names: Iterable[str]) -> str:
    """Names for a message: sorted, as many as fit on a line."""
    return first_of(sorted(names)) or "none"


def first_of(names: Sequence[str]) -> str:
    """The first few names, in order, and the number of the others."""
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return ", ".join(names[:_MOST_LISTED]) + more
