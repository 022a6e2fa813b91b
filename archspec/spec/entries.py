"""Reads mappings from names to anything: checks the names, and reads the values one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from archspec.spec.blocks import BlockReader
from archspec.spec.names import check_name
from archspec.spec.tree import as_mapping

if TYPE_CHECKING:
    from collections.abc import Callable

    from archspec.contract import Registry
    from archspec.diagnostics import Diagnostics
    from archspec.spec.spec import Block
    from archspec.spec.tree import Entry, Mapping, Node

_Made = TypeVar("_Made")


class EntryReader:
    """Base of the readers of all sections."""

    def __init__(self, tree: Mapping, registry: Registry, diagnostics: Diagnostics) -> None:
        self.tree, self.registry, self.diagnostics = tree, registry, diagnostics
        self.error = diagnostics.error
        self.blocks = BlockReader(tree.get("defaults"), registry, diagnostics)

    def entries(self, node: Node | None, what: str, thing: str, read: Callable[[Entry], _Made]) -> dict[str, _Made]:
        """The entries of a mapping, each read by `read`; empty if it is absent or has none."""
        mapping = as_mapping(node) if node else None
        if node and mapping is None:
            self.error("AS109", f"{what} must be a mapping", node.span, notes=node.provenance,
                       help=f"write `NAME: {'[...]' if thing == 'group' else '{...}'}` for each {thing}")  # fmt: skip
            self.diagnostics.incomplete = True
        if mapping is None:
            return {}
        for entry in mapping.entries:
            check_name(entry.key, f"{thing} name", entry.key_span, entry.node.provenance, self.diagnostics)
        return {entry.key: read(entry) for entry in mapping.entries}

    def lacks(self, node: Mapping, key: str) -> bool:
        """Whether a mapping is missing or empty, and not just because its variable has no values."""
        entry = node.entry(key)
        mapping = as_mapping(entry.node) if entry else None
        return entry is None or (mapping is not None and not mapping.entries and not self.diagnostics.incomplete)

    def block(self, category: str, entry: Entry, what: str) -> Block:
        """One block of a section."""
        return self.blocks.block(category, entry.key, entry.node, what, entry.key_span)
