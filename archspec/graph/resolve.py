"""References become streams of canonical node names; a name that means nothing, or two things, is reported."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from archspec.contract import Reference
from archspec.contract.reference import Name
from archspec.diagnostics import Diagnostics, Note, Span, suggest
from archspec.graph.graph import SeenExpert, Stream
from archspec.spec.sees import Sees
from archspec.spec.spec import Block, Spec

_LEVEL = re.compile(r"level([1-9][0-9]*)\.(gates|experts)\.([a-z0-9_]+)(?:\.([0-9]+))?")
_SECTION = re.compile(r"(inputs|groups|feature_gates|towers)\.([a-z0-9_]+)")


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads: the block in words, the level it stands on, and its settings' places."""

    what: str
    level: int
    block: Block

    def span(self, *path: str | int) -> Span:
        """The place of a setting of the block."""
        return self.block.span(*path)


class Resolver:
    """Resolves the references of one spec."""

    def __init__(self, spec: Spec, diagnostics: Diagnostics) -> None:
        self.spec, self.diagnostics = spec, diagnostics

    # -- streams ------------------------------------------------------------------------------------------------------

    def stream(self, reference: Reference, reader: Reader, path: tuple[str | int, ...]) -> Stream:
        """The stream that a reference of the reader means; unknown names are left out, and reported."""
        items: list[Stream | str] = []
        for item in reference.items:
            if isinstance(item, Name):
                items += self.name(item, reader, path)
            else:
                items.append(self.stream(item, reader, path))
        return Stream(reference.combine, tuple(items), reader.span(*path))

    def name(self, name: Name, reader: Reader, path: tuple[str | int, ...]) -> list[str]:
        """The nodes that one name means; several stand side by side."""
        span = reader.span(*path, *name.at)
        text = name.text
        if "." in text:
            return self.dotted(text, reader, span)
        spec = self.spec
        if reader.level > 1 and reader.level - 1 <= len(spec.levels) and text in spec.levels[reader.level - 2].gates:
            return [f"level{reader.level - 1}.gates.{text}"]
        if text == "inputs":
            return [f"inputs.{name}" for name in spec.inputs if self.has_width(name)]
        if text in spec.inputs:
            return self.input(text, reader, span)
        if text in spec.groups:
            return [f"inputs.{name}" for name in spec.groups[text] if name in spec.inputs and self.has_width(name)]
        if text in spec.feature_gates:
            return [f"feature_gates.{text}"]
        self.unknown(text, reader, span)
        return []

    def input(self, name: str, reader: Reader, span: Span) -> list[str]:
        """An input, which must have a width."""
        if not self.has_width(name):
            self.diagnostics.error(
                "AS216", f"{reader.what} reads the domain input `{name}`, which has no embedding", span,
                notes=[*reader.block.trail, Note("the input", self.spec.inputs[name].node.span)],
                help=f"give `{name}` a `dim`",
            )  # fmt: skip
            return []
        return [f"inputs.{name}"]

    def has_width(self, name: str) -> bool:
        """Whether an input is a stream (a domain without `dim` is not)."""
        settings = self.spec.inputs[name].settings
        return settings is None or getattr(settings, "dim", 1) is not None or getattr(settings, "table", None) is not None

    def dotted(self, text: str, reader: Reader, span: Span) -> list[str]:
        """`towers.ctr`, `level1.gates.ctr`, `level1.experts.shared`, `inputs.user` ..."""
        spec = self.spec
        if match := _SECTION.fullmatch(text):
            section, name = match.groups()
            if name in getattr(spec, section):
                if section == "groups":
                    return [f"inputs.{inner}" for inner in spec.groups[name] if inner in spec.inputs]
                return self.input(name, reader, span) if section == "inputs" else [text]
        elif match := _LEVEL.fullmatch(text):
            number, section, name, index = match.groups()
            if int(number) <= len(spec.levels):
                level = spec.levels[int(number) - 1]
                if section == "gates" and index is None and name in level.gates:
                    return [text]
                if section == "experts" and name in level.experts:
                    return self.experts(int(number), name, index, reader, span)
        self.unknown(text, reader, span)
        return []

    def experts(self, level: int, group: str, index: str | None, reader: Reader, span: Span) -> list[str]:
        """All experts of a group, or one."""
        block = self.spec.levels[level - 1].experts[group]
        count = block.common.count if block.common else 1
        if index is None:
            return [f"level{level}.experts.{group}.{i}" for i in range(count)]
        if int(index) < count:
            return [f"level{level}.experts.{group}.{int(index)}"]
        self.diagnostics.error(
            "AS204", f"{reader.what} names expert {index} of `{group}`, which has {count}", span, notes=reader.block.trail,
            help=f"experts count from 0: the last one is `{group}.{count - 1}`",
        )  # fmt: skip
        return []

    def unknown(self, text: str, reader: Reader, span: Span) -> None:
        """Reports a name that means nothing here."""
        known = list(self.known(reader.level))
        guess = suggest(text, known)
        elsewhere = next((n for n, level in enumerate(self.spec.levels, 1) if text in level.gates), None)
        if elsewhere is not None:
            helps = f"the gate `{text}` of level {elsewhere} is `level{elsewhere}.gates.{text}`"
        else:
            helps = f"did you mean `{guess}`? " if guess else ""
            helps += f"names here: {_listed(n for n in known if '.' not in n)}"
        self.diagnostics.error(
            "AS201", f"{reader.what} reads unknown `{text}`", span, label="nothing of this name can be read here",
            notes=reader.block.trail, help=helps,
        )  # fmt: skip

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

    # -- experts seen -------------------------------------------------------------------------------------------------

    def sees(self, sees: Sees, reader: Reader) -> tuple[SeenExpert, ...]:
        """The experts that a gate sees, in order."""
        seen: dict[str, SeenExpert] = {}

        def add(found: list[str], at: tuple[str | int, ...], *, detached: bool) -> None:
            for node in found:
                group = node.rpartition(".")[0].rpartition(".")[2]
                if node in seen:
                    self.diagnostics.error(
                        "AS205", f"{reader.what} sees `{group}` twice", reader.span("sees", *at), notes=reader.block.trail,
                        help="name each expert once",
                    )  # fmt: skip
                    return
                seen[node] = SeenExpert(node, group, detached)

        self._see(sees, reader, add, detached=False)
        return tuple(seen.values())

    def _see(self, sees: Sees, reader: Reader, add: Callable[..., None], *, detached: bool) -> None:
        groups = self.spec.levels[reader.level - 1].experts
        span = reader.span("sees", *sees.at)
        match sees.form:
            case "list" | "detach":
                for item in sees.items:
                    self._see(item, reader, add, detached=detached or sees.form == "detach")
            case "name":
                add(self.seen_name(sees.names[0], reader, span), sees.at, detached=detached)
            case "all" | "except":
                for name in (name for name in sees.names if name not in groups):
                    self.unknown_group(name, reader, span)
                for name in (name for name in groups if name not in sees.names):
                    add(self.experts(reader.level, name, None, reader, span), sees.at, detached=detached)

    def seen_name(self, text: str, reader: Reader, span: Span) -> list[str]:
        """`ctr`, `ctr.0` or `level1.experts.shared`."""
        groups = self.spec.levels[reader.level - 1].experts
        name, _, index = text.partition(".")
        if name in groups and (not index or index.isdecimal()):
            return self.experts(reader.level, name, index or None, reader, span)
        match = _LEVEL.fullmatch(text)
        if match and match[2] == "experts" and int(match[1]) <= len(self.spec.levels):
            level = int(match[1])
            if match[3] in self.spec.levels[level - 1].experts:
                return self.experts(level, match[3], match[4], reader, span)
        self.unknown_group(text, reader, span)
        return []

    def unknown_group(self, text: str, reader: Reader, span: Span) -> None:
        """Reports an expert group that does not exist."""
        groups = self.spec.levels[reader.level - 1].experts
        guess = suggest(text, groups)
        helps = (f"did you mean `{guess}`? " if guess else "") + f"groups here: {_listed(groups)}"
        self.diagnostics.error(
            "AS204", f"{reader.what} sees unknown expert group `{text}`", span,
            label=f"no expert group of this name at level {reader.level}", notes=reader.block.trail, help=helps,
        )  # fmt: skip


def _listed(names: Iterator[str] | object) -> str:
    found = sorted(names)  # type: ignore[call-overload]
    return ", ".join(found[:12]) + (f" and {len(found) - 12} more" if len(found) > 12 else "") or "none"  # noqa: PLR2004 - a line's worth
