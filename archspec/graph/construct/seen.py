"""Resolves the experts that a gate sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.diagnostics import suggest
from archspec.graph.construct.resolve import Path, Reader, Resolver, listed
from archspec.graph.graph import SeenExpert
from archspec.program.nodes import NodeName

if TYPE_CHECKING:
    from collections.abc import Callable

    from archspec.contract.sees import Sees


_DIGITS = 10
"""Numbers of experts have fewer digits than this, since groups are small."""


class SeesResolver(Resolver):
    """Resolves `sees` of gates, in addition to references."""

    def sees(self, sees: Sees, reader: Reader) -> tuple[SeenExpert, ...]:
        """The experts that a gate sees, in order."""
        seen: dict[str, SeenExpert] = {}

        def add(found: list[NodeName], at: Path, *, detached: bool) -> None:
            for node in found:
                if node in seen:
                    self.twice(node.name, reader, at)
                    return
                seen[node] = SeenExpert(node, detached)

        self._see(sees, reader, add, detached=False)
        return tuple(seen.values())

    def twice(self, group: str, reader: Reader, at: Path) -> None:
        """Reports an expert that is listed twice."""
        if group not in self.diagnostics.blamed:
            self.diagnostics.error(
                "AS205",
                f"{reader.what} sees `{group}` twice",
                reader.span(*at),
                notes=reader.provenance(*at),
                help="list each expert once",
            )

    def _see(self, sees: Sees, reader: Reader, add: Callable[..., None], *, detached: bool) -> None:
        groups = self.spec.levels[reader.level - 1].experts
        at = ("sees", *sees.at)
        match sees.form:
            case "list" | "detach":
                for item in sees.items:
                    self._see(item, reader, add, detached=detached or sees.form == "detach")
            case "name":
                add(self.seen_name(sees.names[0], reader, at), at, detached=detached)
            case "all" | "except":
                for name in (name for name in sees.names if name not in groups):
                    self.unknown_group(name, reader, at)
                left_out = set(sees.names)
                for name in (name for name in groups if name not in left_out):
                    add(self.experts(NodeName("experts", name, level=reader.level), reader, at), at, detached=detached)

    def seen_name(self, text: str, reader: Reader, at: Path) -> list[NodeName]:
        """`ctr`, `ctr.0` or `level1.experts.shared`."""
        groups = self.spec.levels[reader.level - 1].experts
        name, dot, number = text.partition(".") if text not in groups else (text, "", "")
        group = NodeName("experts", name, level=reader.level)
        found = (
            group.member(int(number))
            if number.isdecimal() and len(number) < _DIGITS
            else NodeName.parse(text)
            if dot
            else group
        )
        if found is not None and found.section == "experts" and self.declares(found):
            return self.experts(found, reader, at)
        self.unknown_group(text, reader, at)
        return []

    def unknown_group(self, text: str, reader: Reader, at: Path) -> None:
        """Reports an expert group that does not exist, unless an earlier mistake explains it."""
        if self.diagnostics.incomplete or text in self.diagnostics.blamed:
            return
        groups = self.spec.levels[reader.level - 1].experts
        guess = suggest(text, (*groups, "all"))
        helps = (f"did you mean `{guess}`? " if guess else "") + f"groups here: {listed(groups)}"
        self.diagnostics.error(
            "AS204", f"{reader.what} sees unknown expert group `{text}`", reader.span(*at),
            label=f"no expert group with this name at level {reader.level}", notes=reader.provenance(*at), help=helps,
        )  # fmt: skip
