"""`defaults`: settings for blocks that do not have them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from archspec.contract.limits import MOST_GIVEN
from archspec.contract.settings import keys_of
from archspec.diagnostics import Note
from archspec.spec.categories import COMMON, DEFAULT_KIND, DEFAULTS, kinds_of
from archspec.spec.tree import Mapping, Node, as_mapping, is_null, size, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence as Words

    from archspec.contract.settings import Settings
    from archspec.spec.blocks import BlockReader


class Defaults:
    """The defaults of a spec by category, and which blocks they reach."""

    def __init__(self, reader: BlockReader, section: Node | None) -> None:
        self.reader, self.diagnostics = reader, reader.diagnostics
        self.sections = self._read(section)
        self.reach: dict[tuple[str, str], dict[tuple[str, bool], str]] = {}
        """(category, default) -> (kind of a block, whether it takes the default) -> the first such block, in words."""
        self.sizes, self.given = {category: size(node) for category, node in self.sections.items()}, 0
        """The number of values in a category's defaults, and the number given to blocks so far."""

    def given_to(self, category: str, node: Mapping, what: str) -> Mapping:
        """The block with the settings of `defaults` that it does not set itself and that its kind has.

        If `defaults` also set a `kind`, they are only for blocks of that kind, except for keys that all kinds take.
        """
        defaults = self.sections.get(category)
        if defaults is None:
            return node
        meant = text_of(defaults.get("kind"))
        kind = text_of(node.get("kind")) or meant or DEFAULT_KIND.get(category, "")
        cls = self.reader.registry.find(kinds_of(category), kind)
        shared = ("kind", *keys_of(COMMON[category]))
        replaced = _replaced(cls, node)
        self.given += self.sizes[category]
        if self.given > MOST_GIVEN:
            message = f"`defaults` give more than {MOST_GIVEN:,} values to the blocks"
            self.diagnostics.error("AS133", message, defaults.span, help="shorten the defaults")
            self.diagnostics.raise_errors()
        for entry in defaults.entries:
            reached = entry.key in shared or cls is None or (takes(cls, entry.key) and meant in {None, kind})
            if entry.key != "kind":
                self.reach.setdefault((category, entry.key), {}).setdefault((kind, reached), what)
            if entry.key in node:
                node = node.without(entry.key) if is_null(node.get(entry.key)) else node
            elif reached and entry.key not in replaced:
                note = Note(f"{what} gets it from `defaults`", entry.key_span)
                node = node.with_entry(
                    replace(entry, node=replace(entry.node, provenance=(*entry.node.provenance, note)))
                )
        return node

    def report(self) -> None:
        """Adds a note about a default that some blocks cannot take, and a warning if no block takes it."""
        for (category, key), blocks in self.reach.items():
            section = self.sections[category]
            entry = section.entry(key)
            without = {kind: what for (kind, takes), what in blocks.items() if not takes}
            if entry is None or not without:
                continue
            meant = text_of(section.get("kind"))
            kinds = " and ".join(f"`{kind}`" for kind in sorted(without))
            first = next(iter(without.values()))
            why = f"these defaults are for `kind: {meant}`" if meant else "they have no such setting"
            message = f"the default `{key}` does not reach blocks of kind {kinds}, such as {first}: {why}"
            if any(takes for _, takes in blocks):
                self.diagnostics.note("AS308", message, entry.key_span, notes=entry.node.provenance)
            else:
                self.diagnostics.warning(
                    "AS309", f"the default `{key}` of {DEFAULTS[category]} reaches no block", entry.key_span,
                    notes=entry.node.provenance, help=self.reader.other_kinds(category, key) or f"remove `{key}`",
                )  # fmt: skip

    def _read(self, section: Node | None) -> dict[str, Mapping]:
        """Category -> its defaults; reports keys that no kind takes."""
        mapping = as_mapping(section) if section else None
        if section and mapping is None:
            self.diagnostics.error(
                "AS109", "`defaults` must be a mapping", section.span, help="write `defaults: {towers: {...}}`"
            )
        found: dict[str, Mapping] = {}
        if mapping is None:
            return found
        mapping = self.reader.known_keys(mapping, tuple(DEFAULTS.values()), "`defaults`")
        for category, key in DEFAULTS.items():
            entry = mapping.entry(key)
            defaults = as_mapping(entry.node) if entry else None
            if entry and defaults is None:
                self.diagnostics.error(
                    "AS109", f"`defaults` of {key} must be a mapping", entry.node.span, notes=entry.node.provenance
                )
            if entry and defaults is not None:
                what = f"`defaults` of {key}"
                found[category] = self.reader.without_nulls(
                    self.reader.known_keys(defaults, _shareable(self.reader.words(category)), what), what
                )
        return found


def takes(cls: type[Settings] | None, key: str) -> bool:
    """Whether a kind has a setting with this key."""
    return cls is not None and key in keys_of(cls)


def _shareable(words: Words[str]) -> tuple[str, ...]:
    """Keys that `defaults` may set: all except `like`."""
    return tuple(word for word in words if word != "like")


def _replaced(cls: type[Settings] | None, node: Mapping) -> set[str]:
    """The settings that mean nothing next to those that a block sets: defaults do not add them."""
    instead = cls.instead if cls is not None else {}
    return {other for entry in node.entries for other in instead.get(entry.key, ())}
