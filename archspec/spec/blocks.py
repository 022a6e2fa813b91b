"""Reads a mapping of the file as a typed block: keys, kind, defaults and settings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from archspec.contract.calls import defect, first_failure
from archspec.contract.settings import keys_of
from archspec.diagnostics import Diagnostics, Span, suggest
from archspec.spec.categories import COMMON, DEFAULT_KIND, kinds_of
from archspec.spec.defaults import Defaults, takes
from archspec.spec.problems import keys_help, validated, written_with
from archspec.spec.scalars import resolve
from archspec.spec.spec import Block
from archspec.spec.tree import Entry, Mapping, Node, Scalar, Sequence, as_mapping, is_empty, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence as Words

    from archspec.contract import Registry

_MOST_KEYS = 50
"""At most this many keys of a block are compared with `kind`, to find a misspelt one."""


class BlockReader:
    """Reads blocks with the kinds of a registry and the `defaults` of a spec."""

    def __init__(self, defaults: Node | None, registry: Registry, diagnostics: Diagnostics) -> None:
        self.registry, self.diagnostics = registry, diagnostics
        self.error = diagnostics.error
        self.lacks_plugins = False
        """Whether the spec requires a plugin that is not enabled, which may define an unknown kind."""
        self._words: dict[str, tuple[str, ...]] = {}
        self.defaults = Defaults(self, defaults)

    def block(self, category: str, name: str, node: Node, what: str, place: Span) -> Block:
        """One block: the keys of its category, its kind, the kind's settings. `place` is its name in the file."""
        mapping = as_mapping(node)
        if mapping is None:
            self.error(
                "AS109",
                f"{what} must be a mapping",
                node.span,
                notes=node.provenance,
                help=self._mapping_help(category, name, node),
            )
            return Block(category, name, "", None, None, node, place)
        return self._block(category, name, mapping, what, place)

    def _block(self, category: str, name: str, node: Mapping, what: str, place: Span) -> Block:
        common_class = COMMON[category]
        common_keys = keys_of(common_class)
        node = self.near("kind", category, self.split_colons(node, what), what)
        if "like" in common_keys and "like" in (node := self.near("like", category, node, what)):
            return self.like(category, name, self.without_nulls(node, what), what, place)
        node = self.defaults.given_to(category, node, what)
        kind, known = self.kind(category, node, what, place), ("kind", *common_keys)
        cls = self.registry.find(kinds_of(category), kind)
        if cls:
            node = self.known_keys(node, (*known, *keys_of(cls)), what, category)
        node = self.without_nulls(node, what)
        common = validated(common_class, node.only(*common_keys), what, place, self.diagnostics)
        rest = [entry.key for entry in node.entries if entry.key not in known]
        settings = validated(cls, node.only(*rest), what, place, self.diagnostics) if cls else None
        block = Block(category, name, kind, common, settings, node, place)
        return block if settings is None or self.answers(block, what) else replace(block, settings=None)

    def answers(self, block: Block, what: str) -> bool:
        """Whether every method of the kind that needs only its settings works; reports one that does not."""
        failed = first_failure(block.settings)
        if failed is None:
            return True
        method, error = failed
        self.diagnostics.items.append(
            defect(
                error, method, what=what, kind=block.kind, cls=type(block.settings), notes=block.provenance,
                span=lambda *path: block.span(*path) if path else block.place,
            )
        )  # fmt: skip
        return False

    def like(self, category: str, name: str, node: Mapping, what: str, place: Span) -> Block:
        """An expert group or block that uses the weights of another; `spec.like` later adds its kind and settings."""
        others = [entry for entry in node.entries if entry.key not in {"from", "like"}]
        if others and "like" in node:
            keys, owner = " and ".join(f"`{entry.key}`" for entry in others), text_of(node.get("like"))
            self.error(
                "AS231",
                f"{keys} of {what} belong{'s' * (len(others) == 1)} to `{owner or '...'}`, whose weights it uses",
                others[0].key_span,
                notes=others[0].node.provenance,
                help=f"drop {keys}, or write all its settings instead of `like`",
            )
        common = validated(COMMON[category], node.only("from", "like"), what, place, self.diagnostics)
        return Block(category, name, "", common, None, node, place)

    def named(self, category: str, name: str, node: Node, what: str, place: Span) -> Block:
        """A block that may be written as just the name of its kind: a loss, the balance."""
        if isinstance(node, Scalar) and isinstance(node.value, str):
            node = Mapping((Entry("kind", node.span, node),), node.span, node.provenance)
        return self.block(category, name, node, what, place)

    # -- the kind -----------------------------------------------------------------------------------------------------

    def kind(self, category: str, node: Mapping, what: str, place: Span) -> str:
        """The kind of a block, or its category's default; an unknown kind is reported, and the result is empty."""
        kind = node.get("kind")
        if kind is None and category in DEFAULT_KIND:
            return DEFAULT_KIND[category]
        known = self.registry.names(kinds_of(category))
        choices = f"kinds: {', '.join(known)}; a plugin may define more (`--plugin`)"
        if kind is None:
            self.error("AS110", f"{what} needs a `kind`", place, notes=node.provenance, help=choices)
        elif not (isinstance(kind, Scalar) and isinstance(kind.value, str)):
            self.error("AS109", f"`kind` of {what} must be text", kind.span, notes=kind.provenance, help=choices)
        elif kind.value not in known and self.lacks_plugins:
            return ""
        elif kind.value not in known:
            guess = suggest(kind.value, known)
            helps = f"did you mean `{guess}`?" + f" kinds: {', '.join(known)}" * (len(known) > 1) if guess else choices
            self.error("AS107", f"unknown {category.replace('_', ' ')} kind `{kind.value}` in {what}", kind.span,
                       notes=kind.provenance, help=helps)  # fmt: skip
        else:
            return kind.value
        return ""

    def near(self, word: str, category: str, node: Mapping, what: str) -> Mapping:
        """The block with a misspelt key corrected, and reported, if that key decides how the others are read."""
        if word in node:
            return node
        known = self.usual(category, node)
        odd = [entry for entry in node.entries[:_MOST_KEYS] if entry.key not in known]
        words = self.words(category) if odd else ()
        for entry in odd:
            if entry.key not in words and suggest(entry.key, words) == word:
                return self.known_keys(node, [key for key in (word, *node.keys()) if key != entry.key], what)
        return node

    def usual(self, category: str, node: Mapping) -> tuple[str, ...]:
        """The keys that a block's own kind takes."""
        cls = self.registry.find(kinds_of(category), text_of(node.get("kind")) or DEFAULT_KIND.get(category, ""))
        return ("kind", *keys_of(COMMON[category]), *(keys_of(cls) if cls else ()))

    def words(self, category: str) -> tuple[str, ...]:
        """Every key that some kind of a category takes."""
        if category not in self._words:
            kinds = kinds_of(category)
            classes = [self.registry.find(kinds, name) for name in self.registry.names(kinds)]
            own = (key for cls in classes if cls for key in keys_of(cls))
            self._words[category] = tuple(dict.fromkeys(("kind", *keys_of(COMMON[category]), *own)))
        return self._words[category]

    # -- keys ---------------------------------------------------------------------------------------------------------

    def known_keys(self, node: Mapping, known: Words[str], what: str, category: str = "") -> Mapping:
        """The mapping without unknown keys; those are reported, and a misspelt key is read as the one likely meant."""
        entries: list[Entry] = []
        for entry in node.entries:
            if entry.key in known:
                entries.append(entry)
                continue
            helps = self.other_kinds(category, entry.key) or keys_help(entry.key, known, written_with(entry, node))
            self.error(
                "AS108", f"unknown key `{entry.key}` in {what}", entry.key_span, notes=entry.node.provenance, help=helps
            )
            guess = suggest(entry.key, known)
            if guess and guess not in node:
                entries.append(replace(entry, key=guess))
        return Mapping(tuple({entry.key: entry for entry in entries}.values()), node.span, node.provenance)

    def other_kinds(self, category: str, key: str) -> str:
        """Which other kinds of the category take a key."""
        kinds = kinds_of(category)
        names = [name for name in self.registry.names(kinds) if takes(self.registry.find(kinds, name), key)]
        return f"`{key}` is a key of `kind: {' | '.join(names)}`" if names else ""

    def split_colons(self, node: Mapping, what: str) -> Mapping:
        """Reports `{kind:dense}`, which is one key without a value, and reads it as `{kind: dense}`."""
        for entry in node.entries:
            key, colon, value = entry.key.partition(":")
            if colon and value and is_empty(entry.node) and key.isidentifier():
                self.error("AS108", f"unknown key `{entry.key}` in {what}", entry.key_span, notes=entry.node.provenance,
                           help=f"write `{key}: {value}`, with a space after the colon")  # fmt: skip
                meant = Entry(key, entry.key_span, Scalar(resolve(value), entry.key_span, entry.node.provenance))
                node = node.without(entry.key)
                node = node if key in node else node.with_entry(meant)
        return node

    def without_nulls(self, node: Mapping, what: str) -> Mapping:
        """The mapping without the keys that have no value; those are reported."""
        for entry in node.entries:
            if is_empty(entry.node):
                helps = f"write a value, or leave `{entry.key}` out"
                if entry.key == "selector":
                    helps = "write `selector: none` for a static gate, or leave `selector` out"
                self.error(
                    "AS109",
                    f"`{entry.key}` of {what} has no value",
                    entry.key_span,
                    notes=entry.node.provenance,
                    help=helps,
                )
                node = node.without(entry.key)
        return node

    def _mapping_help(self, category: str, name: str, node: Node) -> str:
        """How to write a block that is not a mapping."""
        if isinstance(node, Scalar) and node.value in self.registry.names(kinds_of(category)):
            return f"write `{name}: {{kind: {node.value}}}`, with its settings next to `kind`"
        if isinstance(node, Sequence) and "units" in self.words(category):
            sizes = [item.value for item in node.items if isinstance(item, Scalar) and isinstance(item.value, int)]
            if sizes and len(sizes) == len(node.items):
                return f"write `{name}: {{units: {sizes}}}`"
        return f"write `{name}: {{...}}`"
