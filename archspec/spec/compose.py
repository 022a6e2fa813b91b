"""Builds the tree from the events of the YAML parser, with archspec's own rules for types, keys, aliases and limits.

PyYAML's composer is not used: it recurses on the depth of the text, accepts cyclic aliases and duplicate keys,
and types scalars by YAML 1.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import yaml

from archspec.contract.limits import DEEPEST, MOST_CHARACTERS, MOST_VALUES
from archspec.diagnostics import Diagnostics, Note, Span, SpecError, suggest
from archspec.spec.scalars import resolve
from archspec.spec.syntax import explain
from archspec.spec.tree import Entry, Mapping, Node, Scalar, Sequence, is_empty

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yaml.error import Mark

_MAX_PROVENANCE = 8  # how many nested aliases a value remembers
_MAX_LISTED = 5  # how many keys the note about a merge lists
_MAX_SUGGESTED = 200  # how many of the last anchors an unknown alias is compared with

_LOADER = yaml.CLoader if yaml.__with_libyaml__ else yaml.Loader


def compose(text: str, file: str, found: Diagnostics) -> Node:
    """Return the root of the text's tree, and add all errors and notes to `found`.

    Raises SpecError with everything in `found` if the tree cannot be completed.
    """
    try:
        return _Composer(yaml.parse(text, Loader=_LOADER), file, found).document()
    except yaml.MarkedYAMLError as error:
        found.items.append(explain(error, text, file))
        raise SpecError(found.items) from None


class _Composer:
    """One walk over the events of a text."""

    def __init__(self, events: Iterator[yaml.Event], file: str, found: Diagnostics) -> None:
        self.events = events
        self.file = file
        self.found = found
        self.merges = Diagnostics()  # notes, which are not shown next to errors
        self.nodes = self.characters = 0
        self.anchors: dict[str, tuple[Span, Node | None]] = {}  # the node is None until its end is reached

    def document(self) -> Node:
        """Compose the only document; an empty text becomes a null."""
        next(self.events)  # the stream starts
        start = next(self.events)
        if isinstance(start, yaml.StreamEndEvent):
            return Scalar(None, Span(self.file, 1, 1, 1, 1))
        root = self.node(next(self.events), 1)
        next(self.events)  # the document ends
        second = next(self.events)
        if isinstance(second, yaml.DocumentStartEvent):
            self.found.error(
                "AS032",
                "a second document begins here",
                self.span(second),
                notes=[Note("the first document begins here", self.span(start))],
                help="write one file for each spec",
            )
        if not self.found.items:
            self.found.items += self.merges.items
        return root

    def node(self, event: yaml.Event, depth: int) -> Node:
        """Compose the node that begins with `event`, `depth` collections deep (the top level is 1)."""
        span = self.span(event)
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event.anchor or "", span, depth)
        event = cast("yaml.ScalarEvent | yaml.CollectionStartEvent", event)
        if event.tag is not None:
            self.found.error(
                "AS035", "a spec cannot contain tags", span, help="remove the tag: the `!` and the word after it"
            )
        if event.anchor is not None:
            self.open_anchor(event.anchor, span)
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            self.count(span)
            node = Scalar(self.value(event, span), span)
        else:
            self.count(span, depth)
            node = (
                self.sequence(span, depth) if isinstance(event, yaml.SequenceStartEvent) else self.mapping(span, depth)
            )
        if event.anchor is not None:
            self.anchors[event.anchor] = (self.anchors[event.anchor][0], node)
        return node

    def value(self, event: yaml.ScalarEvent, span: Span) -> str | int | float | bool | None:
        if not event.implicit[0]:  # quoted, or a block of text
            return event.value
        try:
            return resolve(event.value)
        except ValueError as error:
            self.found.error(
                "AS043", str(error), span, label="too long for a number", help="if it is text, put it in quotes"
            )
            return event.value

    def sequence(self, start: Span, depth: int) -> Sequence:
        items: list[Node] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.node(event, depth + 1))
        return Sequence(tuple(items), self.closed(start, event, items[-1].span if items else start))

    def mapping(self, start: Span, depth: int) -> Mapping:
        own: dict[str, Entry] = {}
        merge: Entry | None = None
        last = start
        numbers = _Numbers(self.found)
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            entry = self.entry(event, depth, numbers)
            last = entry.node.span
            if entry.key in own:
                self.found.error(
                    "AS033",
                    f"duplicate key `{entry.key}`",
                    entry.key_span,
                    label="given again",
                    notes=[Note("first given here", own[entry.key].key_span)],
                )
                continue
            own[entry.key] = entry
            if entry.key == "<<" and isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
                merge = entry
        own |= numbers.report()
        entries: list[Entry] = []
        for entry in own.values():
            entries += self.merged(entry, own) if entry is merge else [entry]
        return Mapping(tuple(entries), self.closed(start, event, last))

    def entry(self, event: yaml.Event, depth: int, numbers: _Numbers) -> Entry:
        """Compose a key and its value. A key that is not a string is an error, and gets a unique name."""
        key = self.node(event, depth + 1)
        node = self.node(next(self.events), depth + 1)
        if isinstance(event, yaml.ScalarEvent) and isinstance(key, Scalar):
            if isinstance(key.value, str):
                return numbers.follows(Entry(key.value, key.span, node))
            if numbers.takes(key, node):
                return Entry(f"\0{self.nodes}", key.span, node)
            if event.value:
                message, help_ = f"key `{event.value}` is not a string", f'write it in quotes: `"{event.value}"`'
            else:
                message, help_ = "a key is missing before `:`", "write `key: value`"
            self.found.error("AS034", message, key.span, help=help_)
        else:
            what = "an alias" if isinstance(event, yaml.AliasEvent) else "a list or mapping"
            self.found.error("AS034", f"a key is {what}, not a string", key.span, help="write the key out")
        return Entry(f"\0{self.nodes}", key.span, node)

    def merged(self, merge: Entry, own: dict[str, Entry]) -> list[Entry]:
        """Return the entries that `<<` adds. The mapping's own keys win, then the first source."""
        sources = merge.node.items if isinstance(merge.node, Sequence) else (merge.node,)
        added: dict[str, Entry] = {}
        for source in sources:
            if not isinstance(source, Mapping):
                self.found.error(
                    "AS039",
                    "a merge key `<<` takes a mapping or a list of mappings",
                    source.span,
                    label="not a mapping",
                    notes=source.provenance,
                )
                continue
            for entry in source.entries:
                if entry.key not in own:
                    added.setdefault(entry.key, entry)
        listed = ", ".join(f"`{key}`" for key in list(added)[:_MAX_LISTED]) or "nothing"
        more = f" and {len(added) - _MAX_LISTED} more" if len(added) > _MAX_LISTED else ""
        self.merges.note("AS040", f"merge key `<<` adds {listed}{more}", merge.key_span)
        return list(added.values())

    def open_anchor(self, name: str, span: Span) -> None:
        if name in self.anchors:
            first = self.anchors[name][0]
            self.found.error(
                "AS038",
                f"duplicate anchor `&{name}`",
                span,
                notes=[Note("first given here", first)],
                help="rename one of them",
            )
        self.anchors[name] = (span, None)

    def alias(self, name: str, span: Span, depth: int) -> Node:
        if name not in self.anchors:
            meant = suggest(name, list(self.anchors)[-_MAX_SUGGESTED:])
            help_ = f"did you mean `*{meant}`?" if meant else "put the value in double quotes if the `*` belongs to it"
            self.found.error(
                "AS036", f"unknown alias `*{name}`", span, label="no anchor of this name above", help=help_
            )
            return Scalar(None, span)
        place, node = self.anchors[name]
        if node is None:
            self.found.error(
                "AS037",
                f"alias `*{name}` is used inside the value that it repeats",
                span,
                notes=[Note(f"`&{name}` begins here", place)],
            )
            return Scalar(None, span)
        return self.copy(node, Note(f"used through the alias `*{name}`", span), span, depth)

    def copy(self, node: Node, note: Note, alias: Span, depth: int) -> Node:
        """Return a copy of an aliased node whose values remember the alias; each copy counts towards the limits."""
        provenance = (*node.provenance, note)[:_MAX_PROVENANCE]
        if isinstance(node, Scalar):
            self.count(alias)
            self.characters += len(node.value) if isinstance(node.value, str) else 0
            if self.characters > MOST_CHARACTERS:
                self.found.error("AS042", f"more than {MOST_CHARACTERS:,} characters after aliases are expanded", alias)
                raise SpecError(self.found.items)
            return Scalar(node.value, node.span, provenance)
        self.count(alias, depth)
        if isinstance(node, Sequence):
            return Sequence(
                tuple(self.copy(item, note, alias, depth + 1) for item in node.items), node.span, provenance
            )
        entries = []
        for entry in node.entries:
            self.count(alias)
            entries.append(Entry(entry.key, entry.key_span, self.copy(entry.node, note, alias, depth + 1)))
        return Mapping(tuple(entries), node.span, provenance)

    def count(self, span: Span, depth: int = 0) -> None:
        """Count one value (keys are values too), and stop where there are too many or they are nested too deep."""
        self.nodes += 1
        if self.nodes > MOST_VALUES:
            self.found.error(
                "AS042", f"more than {MOST_VALUES:,} values, aliases included", span, label="this is one too many"
            )
        if depth > DEEPEST:
            self.found.error("AS041", f"lists and mappings are nested more than {DEEPEST} deep", span)
        if self.nodes > MOST_VALUES or depth > DEEPEST:
            raise SpecError(self.found.items)

    def span(self, event: yaml.Event) -> Span:
        start, end = cast("Mark", event.start_mark), cast("Mark", event.end_mark)
        return Span(self.file, start.line + 1, start.column + 1, end.line + 1, end.column + 1)

    def closed(self, start: Span, end: yaml.Event, last: Span) -> Span:
        """Return the span of a whole collection. In block style the parser sees its end only at the next token."""
        close = self.span(end)
        in_flow = (close.line, close.column) < (close.end_line, close.end_column)
        stop = close if in_flow else last
        return Span(self.file, start.line, start.column, stop.end_line, stop.end_column)


class _Numbers:
    """`{units: 32, 16}`: to YAML the 16 is another key, but it was meant as part of the list before it."""

    def __init__(self, found: Diagnostics) -> None:
        self.found = found
        self.before: Entry | None = None
        self.loose: dict[str, tuple[Entry, list[Scalar]]] = {}
        """Key of an entry -> the entry, and the numbers after it."""

    def follows(self, entry: Entry) -> Entry:
        """Remembers the entry that numbers may follow."""
        self.before = entry
        return entry

    def takes(self, key: Scalar, node: Node) -> bool:
        """Whether a key without a value is a number that follows another number."""
        empty = is_empty(node) and node.span.column == node.span.end_column
        before = self.before
        if not (empty and before and _is_number(before.node) and _is_number(key)):
            return False
        self.loose.setdefault(before.key, (before, []))[1].append(key)
        return True

    def report(self) -> dict[str, Entry]:
        """Report each list once, and return the entries as they were meant."""
        meant: dict[str, Entry] = {}
        for name, (entry, numbers) in self.loose.items():
            items = (entry.node, *numbers)
            shown = ", ".join(str(item.value) for item in items if isinstance(item, Scalar))
            first, last = entry.node.span, numbers[-1].span
            span = Span(first.file, first.line, first.column, last.end_line, last.end_column)
            self.found.error("AS046", f"`{name}` is a list without brackets", span, help=f"write `{name}: [{shown}]`")
            meant[name] = Entry(name, entry.key_span, Sequence(items, span))
        return meant


def _is_number(node: Node) -> bool:
    return isinstance(node, Scalar) and isinstance(node.value, int | float) and not isinstance(node.value, bool)
