"""Variables and `repeat`: the tree with every `$name` replaced and every level written out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping as MappingType
from dataclasses import replace
from itertools import product
from typing import Any

from archspec.diagnostics import Diagnostics, Note, suggest
from archspec.spec.tree import Entry, Mapping, Node, Scalar, Sequence

VARIABLE = re.compile(r"\$(?:(\$)|([A-Za-z_][A-Za-z0-9_]*)|\{([^}]*)\})")
MOST_NODES = 1_000_000
LITERAL = ("archspec", "name", "about", "sets", "requires", "extends")
"""Sections in which `$` means nothing."""

Sets = dict[str, tuple[str, ...]]


def expand(tree: Mapping, diagnostics: Diagnostics) -> Mapping:
    """The tree without variables, repeats and `x-` keys. Mistakes go to the diagnostics, at the place to edit."""
    tree = _without_notes(tree)
    sets: Sets = {name: _names(entry.node) for name, entry in _entries(tree.get("sets"))}
    if reserved := sets.keys() & {"task", "domain"}:
        name = min(reserved)
        diagnostics.error("AS134", f"`${name}` is built in; a set cannot have its name", _span(tree, "sets", name))
    expansion = _Expansion(sets, diagnostics)
    expansion.add_domains(tree)
    if (tasks := tree.get("tasks")) is not None:
        tree = tree.with_entry(replace(_entry(tree, "tasks"), node=expansion.node(tasks, {})))
        sets["task"] = tuple(key for key, _ in _entries(tree.get("tasks")))
    entries = [
        entry if entry.key in (*LITERAL, "tasks") else replace(entry, node=expansion.node(entry.node, {}))
        for entry in tree.entries
    ]
    return _repeated(Mapping(tuple(entries), tree.span, tree.trail), diagnostics)


class _Expansion:
    def __init__(self, sets: Sets, diagnostics: Diagnostics) -> None:
        self.sets, self.diagnostics, self.count = sets, diagnostics, 0

    def add_domains(self, tree: Mapping) -> None:
        """Gives `$domain` its values, if exactly one domain input is there to give them."""
        default = _value(tree.get("defaults"), "inputs", "kind")
        domains = {
            name: _names(entry.node.get("values"))
            for name, entry in _entries(tree.get("inputs"))
            if isinstance(entry.node, Mapping) and (_value(entry.node, "kind") or default) == "domain"
        }
        if len(domains) == 1:
            self.sets["domain"] = next(iter(domains.values()))
        self.domains = tuple(domains)

    def node(self, node: Node, env: MappingType[str, str]) -> Any:  # noqa: ANN401 - a node of the same kind
        """The node with the variables of `env` replaced and those in keys expanded."""
        self.count += 1
        if isinstance(node, Mapping):
            return self.mapping(node, env)
        if isinstance(node, Sequence):
            return replace(node, items=tuple(self.node(item, env) for item in node.items))
        if isinstance(node.value, str) and "$" in node.value:
            return replace(node, value=self.text(node.value, env, node))
        return node

    def mapping(self, node: Mapping, env: MappingType[str, str]) -> Mapping:
        """Expands the keys; a key that is written out wins over one that a variable makes."""
        explicit = {self.text(e.key, env, e) for e in node.entries if not self.free(e.key, env)}
        made: dict[str, Entry] = {}
        for entry in node.entries:
            for key, inner, notes in self.keys(entry, env):
                if notes and key in explicit:
                    continue
                if key in made:
                    self.diagnostics.error(
                        "AS132", f"two keys give `{key}`", entry.key_span,
                        notes=[Note("the other one is here", made[key].key_span), *notes],
                        help="write one of them out, or use different names",
                    )  # fmt: skip
                    continue
                if self.count > MOST_NODES:
                    return self.too_large(entry)
                made[key] = Entry(key, entry.key_span, _with_trail(self.node(entry.node, {**env, **inner}), notes))
        return Mapping(tuple(made.values()), node.span, node.trail)

    def keys(self, entry: Entry, env: MappingType[str, str]) -> Iterator[tuple[str, dict[str, str], tuple[Note, ...]]]:
        """Each key that an entry stands for, the variables bound by it, and notes that say so."""
        names = [name for name in self.free(entry.key, env) if self.known(name, entry)]
        for values in product(*(self.sets[name] for name in names)):
            inner = dict(zip(names, values, strict=True))
            notes = tuple(
                Note(f"expanded from `{entry.key}` with `{n}` = `{v}`", entry.key_span) for n, v in inner.items()
            )
            yield self.text(entry.key, {**env, **inner}, entry), inner, notes

    def free(self, text: str, env: MappingType[str, str]) -> list[str]:
        """Variables of a text that have no value yet, each once."""
        found = (match[2] or match[3] for match in VARIABLE.finditer(text) if not match[1])
        return list(dict.fromkeys(name for name in found if name not in env))

    def known(self, name: str, entry: Entry) -> bool:
        """Whether a variable has values; if not, says so."""
        if name in self.sets:
            return True
        helps = f"known variables: {', '.join(f'${known}' for known in sorted(self.sets))}" if self.sets else ""
        if guess := suggest(name, self.sets):
            helps = f"did you mean `${guess}`? {helps}"
        if name == "domain":
            helps = "write the names as a list in `sets` and use its variable"
            why = f": there are {len(self.domains)} domain inputs ({', '.join(self.domains) or 'none'})"
        else:
            why = ""
        self.diagnostics.error("AS130", f"unknown variable `${name}`{why}", entry.key_span, help=helps)
        self.sets[name] = ()
        return False

    def text(self, text: str, env: MappingType[str, str], place: Entry | Scalar) -> str:
        """The text with variables replaced; `$$` is a dollar sign."""

        def replaced(match: re.Match[str]) -> str:
            if match[1]:
                return "$"
            name = match[2] or match[3]
            if name not in env and isinstance(place, Scalar):
                self.diagnostics.error(
                    "AS131", f"variable `${name}` has no value here", place.span, notes=place.trail,
                    help=f"it has one below a key that holds `${name}`; `$$` writes a dollar sign",
                )  # fmt: skip
            return env.get(name, match[0])

        return VARIABLE.sub(replaced, text) if "$" in text else text

    def too_large(self, entry: Entry) -> Mapping:
        """Stops an expansion that never ends in practice."""
        self.diagnostics.error("AS133", f"the spec expands to more than {MOST_NODES:,} values", entry.key_span)
        self.diagnostics.raise_errors()
        raise AssertionError("unreachable")


def _repeated(tree: Mapping, diagnostics: Diagnostics) -> Mapping:
    levels = tree.get("levels")
    if not isinstance(levels, Sequence):
        return tree
    items: list[Node] = []
    for item in levels.items:
        entry = item.entry("repeat") if isinstance(item, Mapping) else None
        if entry is None or not isinstance(item, Mapping):
            items.append(item)
            continue
        times = entry.node.value if isinstance(entry.node, Scalar) else None
        if type(times) is not int or not 1 <= times <= 1000:  # noqa: PLR2004 - more levels than any network has
            diagnostics.error(
                "AS135", "`repeat` must be a whole number from 1 to 1000", entry.node.span,
                notes=entry.node.trail, help="leave `repeat` out for one level, or remove the level",
            )  # fmt: skip
            times = 1
        once = item.without("repeat")
        items += [once] if times == 1 else [
            _with_trail(once, (Note(f"repeat {i} of {times}", entry.key_span),)) for i in range(1, times + 1)
        ]  # fmt: skip
    return tree.with_entry(replace(_entry(tree, "levels"), node=replace(levels, items=tuple(items))))


def _with_trail(node: Node, notes: tuple[Note, ...]) -> Any:  # noqa: ANN401 - a node of the same kind
    if not notes:
        return node
    if isinstance(node, Mapping):
        entries = tuple(replace(entry, node=_with_trail(entry.node, notes)) for entry in node.entries)
        return Mapping(entries, node.span, (*node.trail, *notes))
    if isinstance(node, Sequence):
        return replace(node, items=tuple(_with_trail(item, notes) for item in node.items), trail=(*node.trail, *notes))
    return replace(node, trail=(*node.trail, *notes))


def _without_notes(node: Any) -> Any:  # noqa: ANN401 - a node of the same kind
    """The tree without `x-` keys, which are the writer's own."""
    if isinstance(node, Mapping):
        entries = (replace(e, node=_without_notes(e.node)) for e in node.entries if not e.key.startswith("x-"))
        return Mapping(tuple(entries), node.span, node.trail)
    if isinstance(node, Sequence):
        return replace(node, items=tuple(map(_without_notes, node.items)))
    return node


def _entries(node: Node | None) -> list[tuple[str, Entry]]:
    return [(entry.key, entry) for entry in node.entries] if isinstance(node, Mapping) else []


def _entry(tree: Mapping, key: str) -> Entry:
    entry = tree.entry(key)
    assert entry is not None
    return entry


def _span(tree: Mapping, *path: str) -> Any:  # noqa: ANN401 - a span
    from archspec.spec.tree import span_at

    return span_at(tree, path, key=True)


def _names(node: Node | None) -> tuple[str, ...]:
    items = node.items if isinstance(node, Sequence) else ()
    return tuple(item.value for item in items if isinstance(item, Scalar) and isinstance(item.value, str))


def _value(node: Node | None, *path: str) -> object:
    for step in path:
        node = node.get(step) if isinstance(node, Mapping) else None
    return node.value if isinstance(node, Scalar) else None
