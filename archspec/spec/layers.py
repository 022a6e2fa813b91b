"""Extraction levels, towers, and switches over domains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.contract.checks import SWITCH
from archspec.contract.limits import MOST_EXPERTS
from archspec.spec.entries import EntryReader
from archspec.spec.spec import Block, Level, Switch
from archspec.spec.tree import Entry, Mapping, Node, Sequence, as_mapping, is_empty, span_at, text_of

if TYPE_CHECKING:
    from archspec.diagnostics import Span


class LayerReader(EntryReader):
    """Reads levels and towers."""

    def levels(self) -> tuple[Level, ...]:
        """The extraction levels."""
        node = self.tree.get("levels")
        if node is None or is_empty(node):
            return ()
        if not isinstance(node, Sequence):
            self.error(
                "AS109",
                "`levels` must be a list",
                node.span,
                notes=node.provenance,
                help="write `- experts:`, with a dash",
            )
            self.diagnostics.incomplete = True
            return ()
        levels: list[Level] = []
        count = 0
        for number, item in enumerate(node.items, 1):
            levels.append(self.level(number, item))
            blocks = levels[-1].experts.values()
            count += sum(block.common.count for block in blocks if block.common)
            if count > MOST_EXPERTS:
                most = max(blocks, key=lambda block: block.common.count if block.common else 0)
                self.error(
                    "AS137", f"the levels up to {number} have {count:,} experts; at most {MOST_EXPERTS:,} are allowed",
                    most.span("count") if most.span("count") != most.node.span else most.place,
                    notes=most.provenance, help="lower `count` or `repeat`",
                )  # fmt: skip
                self.diagnostics.raise_errors()
        return tuple(levels)

    def level(self, number: int, node: Node) -> Level:
        """One level: its experts and gates."""
        mapping = as_mapping(node)
        if mapping is None:
            self.error(
                "AS109",
                f"level {number} must be a mapping",
                node.span,
                notes=node.provenance,
                help="write a mapping with `experts` and `gates`",
            )
            self.diagnostics.incomplete = True
            return Level({}, {}, node)
        mapping = self.blocks.known_keys(mapping, ("experts", "gates", "repeat"), f"level {number}")
        experts = self.entries(
            mapping.get("experts"), f"`experts` of level {number}", "expert group",
            lambda e: self.block("expert", e, f"expert group `{e.key}` at level {number}"),
        )  # fmt: skip
        gates = self.entries(
            mapping.get("gates"), f"`gates` of level {number}", "gate",
            lambda e: self.block("gate", e, f"gate `{e.key}` at level {number}"),
        )  # fmt: skip
        written = mapping.get("experts")
        if written is None or is_empty(written):
            self.error(
                "AS110",
                f"level {number} needs `experts`",
                span_at(mapping, ("experts",), key=True),
                notes=node.provenance,
                help="add `experts: {...}`",
            )
            self.diagnostics.incomplete = True
        return Level(experts, gates, mapping)

    def tower(self, entry: Entry) -> Block | Switch:
        """A tower, or a switch over domains."""
        node, what = entry.node, f"tower `{entry.key}`"
        if isinstance(node, Mapping) and "switch" in node:
            return self.switch(entry.key, node, entry.key_span, what)
        if isinstance(node, Mapping) and (cases := node.entry("cases")):
            self.error("AS110", f"the cases of {what} need a `switch`", cases.key_span, notes=node.provenance,
                       help="add `switch: NAME`, the name of the domain input that chooses a case")  # fmt: skip
            return self.switch(entry.key, node, entry.key_span, what)
        return self.block("tower", entry, what)

    def switch(self, name: str, node: Mapping, place: Span, what: str) -> Switch:
        """A tower in which each row uses the case of its domain."""
        for inner in node.entries:
            if inner.key not in SWITCH:
                self.error(
                    "AS108",
                    f"unknown key `{inner.key}` in the switch of {what}",
                    inner.key_span,
                    notes=inner.node.provenance,
                    help=f"keys here: {', '.join(SWITCH)}; the rest goes into the cases",
                )
        output = text_of(node.get("output"))
        if "output" in node and output not in {"binary", "regression"}:
            self.error("AS109", f"unknown `output` of {what}", span_at(node, ("output",)), notes=node.provenance,
                       help="choices: binary, regression")  # fmt: skip
        if "switch" in node and text_of(node.get("switch")) is None:
            self.error("AS109", f"`switch` of {what} must be the name of an input", span_at(node, ("switch",)),
                       notes=node.provenance, help="write the name of a domain input")  # fmt: skip
        cases = self.entries(
            node.get("cases"), f"`cases` of {what}", "case",
            lambda e: self.block("tower", e, f"case `{e.key}` of {what}"),
        )  # fmt: skip
        if self.lacks(node, "cases"):
            self.error(
                "AS110", f"{what} needs `cases`", place, notes=node.provenance, help="add `cases: {$domain: {...}}`"
            )
        return Switch(name, text_of(node.get("switch")) or "", cases, output, node, place)  # type: ignore[arg-type] # checked above
