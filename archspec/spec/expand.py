"""Variables and `repeat`: the tree with every `$name` replaced and every level written out."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, NoReturn

from archspec.contract.limits import MOST_CHARACTERS, MOST_VALUES
from archspec.diagnostics import Diagnostics, Note, Span, SpecError, suggest
from archspec.spec.repeat import repeated
from archspec.spec.sets import Sets, names_of, read_sets
from archspec.spec.spec import LITERAL
from archspec.spec.tree import Entry, Mapping, Node, Scalar, Sequence, is_empty

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping as MappingType

VARIABLE = re.compile(r"\$(?:(\$)|([A-Za-z_][A-Za-z0-9_]*)|\{([^}]*)\}|\{[^}]*$)")


def expand(tree: Mapping, diagnostics: Diagnostics) -> Mapping:
    """The tree without variables, repeats and `x-` keys. Mistakes go to the diagnostics, at the place to edit."""
    tree = _without_notes(tree)
    sets = read_sets(tree, diagnostics)
    expansion = _Expansion(sets, diagnostics)
    expansion.add_domains(tree)
    if (tasks := tree.get("tasks")) is not None:
        tree = tree.with_entry(replace(_entry(tree, "tasks"), node=expansion.node(tasks, {})))
        sets["task"] = tuple(key for key, _ in _entries(tree.get("tasks")))
        diagnostics.incomplete |= not (isinstance(tasks, Mapping) or is_empty(tasks))
    entries = [
        entry if entry.key in (*LITERAL, "tasks") else replace(entry, node=expansion.node(entry.node, {}))
        for entry in tree.entries
    ]
    return repeated(Mapping(tuple(entries), tree.span, tree.provenance), diagnostics)


class _Expansion:
    def __init__(self, sets: Sets, diagnostics: Diagnostics) -> None:
        self.sets, self.diagnostics, self.count, self.characters = sets, diagnostics, 0, 0
        self.meant: dict[str, str] = {}  # a misspelt variable, and the one that it is read as
        self.missing: set[str] = set()  # built-in variables that were reported to have no values
        self.domains: tuple[str, ...] = ()

    def add_domains(self, tree: Mapping) -> None:
        """Gives `$domain` its values, if there is exactly one domain input."""
        default = _value(tree.get("defaults"), "inputs", "kind")
        domains = {
            name: names_of(entry.node.get("values"))
            for name, entry in _entries(tree.get("inputs"))
            if isinstance(entry.node, Mapping) and (_value(entry.node, "kind") or default) == "domain"
        }
        if len(domains) == 1:
            self.sets["domain"] = next(iter(domains.values()))
        self.domains = tuple(domains)

    def node(self, node: Node, env: MappingType[str, str], notes: tuple[Note, ...] = ()) -> Any:  # noqa: ANN401 - a node of the same kind
        """The node with the variables of `env` replaced and those in keys expanded; `notes` name them."""
        self.count += 1
        provenance = (*node.provenance, *notes) if notes else node.provenance
        if isinstance(node, Mapping):
            return self.mapping(node, env, notes, provenance)
        if isinstance(node, Sequence):
            return Sequence(tuple(self.node(item, env, notes) for item in node.items), node.span, provenance)
        if isinstance(node.value, str) and "$" in node.value:
            return Scalar(self.text(node.value, env, replace(node, provenance=provenance)), node.span, provenance)
        return Scalar(node.value, node.span, provenance) if notes else node

    def mapping(
        self, node: Mapping, env: MappingType[str, str], outer: tuple[Note, ...], provenance: tuple[Note, ...]
    ) -> Mapping:
        """Expands the keys; a key that is written out overrides one that a variable produces."""
        explicit = {self.text(e.key, env, e) for e in node.entries if not self.free(e.key, env)}
        made: dict[str, Entry] = {}
        for entry in node.entries:
            for key, inner, notes in self.keys(entry, env):
                if notes and key in explicit:
                    continue
                if key in made:
                    self.diagnostics.error(
                        "AS132", f"two keys expand to `{key}`", entry.key_span,
                        notes=[Note("the other one is here", made[key].key_span), *notes],
                        help="write one of them out, or use different names",
                    )  # fmt: skip
                    continue
                if self.count > MOST_VALUES:
                    self.too_large(entry.key_span)
                made[key] = Entry(key, entry.key_span, self.node(entry.node, {**env, **inner}, (*notes, *outer)))
        return Mapping(tuple(made.values()), node.span, provenance)

    def keys(self, entry: Entry, env: MappingType[str, str]) -> Iterator[tuple[str, dict[str, str], tuple[Note, ...]]]:
        """Each key that an entry expands to, the variables that it binds, and notes about them."""
        names = self.free(entry.key, env)
        if not all(self.known(name, entry) for name in names):  # every name, to report each
            self.diagnostics.incomplete = True
            return
        if prod(len(self.sets[self.meant.get(name, name)]) for name in names) > MOST_VALUES:
            self.too_large(entry.key_span)
        for values in product(*(self.sets[self.meant.get(name, name)] for name in names)):
            inner = dict(zip(names, values, strict=True))
            notes = tuple(
                Note(f"expanded from `{entry.key}` with `{n}` = `{v}`", entry.key_span) for n, v in inner.items()
            )
            inner |= {self.meant[name]: value for name, value in inner.items() if name in self.meant}
            yield self.text(entry.key, {**env, **inner}, entry), inner, notes

    def free(self, text: str, env: MappingType[str, str]) -> list[str]:
        """Variables of a text that have no value yet, each once."""
        found = (match[2] or match[3] for match in VARIABLE.finditer(text) if not match[1])
        return list(dict.fromkeys(name for name in found if name and name not in env))

    def known(self, name: str, entry: Entry) -> bool:
        """Whether a variable has values; reports it if not. A misspelt one is read as the one probably meant."""
        if name in self.sets or name in self.meant:
            return True
        guess = suggest(name, self.sets)
        if name == "domain":
            count = len(self.domains)
            why = (
                f": there are {count} domain inputs ({', '.join(self.domains)})"
                if count
                else ": there is no domain input"
            )
            helps = (
                "write the names as a list in `sets`, and use its variable"
                if count
                else "add an input of `kind: domain`"
            )
        elif name == "task":
            why, helps = (
                " in `tasks`: it ranges over the tasks defined here",
                "write the tasks out, or use a variable of `sets`",
            )
        else:
            listed = ", ".join(f"${known}" for known in sorted(self.sets))
            why, helps = "", (f"did you mean `${guess}`? " if guess else "") + f"variables: {listed or 'none'}"
        if name not in self.missing:
            self.diagnostics.error(
                "AS130", f"unknown variable `${name}`{why}", entry.key_span, notes=entry.node.provenance, help=helps
            )
        if name in {"domain", "task"}:
            self.missing.add(name)
        elif guess:
            self.meant[name] = guess
        return name in self.meant

    def text(self, text: str, env: MappingType[str, str], place: Entry | Scalar) -> str:
        """The text with variables replaced; `$$` is a dollar sign."""
        if "$" not in text:
            return text
        used = (match[2] or match[3] for match in VARIABLE.finditer(text))
        self.characters += len(text) + sum(len(env.get(name, "")) for name in used if name)
        if self.characters > MOST_CHARACTERS:
            span = place.key_span if isinstance(place, Entry) else place.span
            self.too_large(span, f"{MOST_CHARACTERS:,} characters")
        return VARIABLE.sub(lambda match: "$" if match[1] else self.value(match, env, place), text)

    def value(self, match: re.Match[str], env: MappingType[str, str], place: Entry | Scalar) -> str:
        """The value of a variable; if it has none, reports it and continues with the one probably meant."""
        name = match[2] or match[3]
        if name in env:
            return env[name]
        span, notes = (
            (place.key_span, place.node.provenance) if isinstance(place, Entry) else (place.span, place.provenance)
        )
        guess = suggest(name, env) if name else None
        if name is None:
            message, helps = f"`{match[0]}` is never closed", f"write `{match[0]}}}`"
        elif guess:
            message, helps = f"unknown variable `${name}`", f"did you mean `${guess}`?"
        else:
            message = f"variable `${name}` has no value here"
            helps = f"it has one only below a key that contains `${name}`; for a dollar sign, write `$$`"
        self.diagnostics.error("AS131", message, span, notes=notes, help=helps)
        self.diagnostics.blamed.add(match.string)
        self.diagnostics.incomplete |= isinstance(place, Entry)
        return env[guess] if guess else match[0]

    def too_large(self, span: Span, most: str = f"{MOST_VALUES:,} values") -> NoReturn:
        """Stops an expansion that would take too long.

        Raises:
            SpecError: AS133, always.
        """
        self.diagnostics.error("AS133", f"the spec expands to more than {most}", span, help="shorten the sets")
        raise SpecError(self.diagnostics.items)


def _without_notes(node: Any) -> Any:  # noqa: ANN401 - a node of the same kind
    """The tree without `x-` keys, which are the author's notes."""
    if isinstance(node, Mapping):
        entries = (Entry(e.key, e.key_span, _without_notes(e.node)) for e in node.entries if not e.key.startswith("x-"))
        return Mapping(tuple(entries), node.span, node.provenance)
    if isinstance(node, Sequence):
        return Sequence(tuple(map(_without_notes, node.items)), node.span, node.provenance)
    return node


def _entries(node: Node | None) -> list[tuple[str, Entry]]:
    return [(entry.key, entry) for entry in node.entries] if isinstance(node, Mapping) else []


def _entry(tree: Mapping, key: str) -> Entry:
    entry = tree.entry(key)
    assert entry is not None
    return entry


def _value(node: Node | None, *path: str) -> object:
    for step in path:
        node = node.get(step) if isinstance(node, Mapping) else None
    return node.value if isinstance(node, Scalar) else None
