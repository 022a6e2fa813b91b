"""Reads the expanded tree as a typed Spec, section by section; reports every mistake at its place."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from archspec.contract.limits import MOST_TASKS
from archspec.diagnostics import Diagnostics, Span, suggest
from archspec.spec.categories import ABOUT, BOTTOM
from archspec.spec.layers import LayerReader
from archspec.spec.names import check_name
from archspec.spec.problems import written_with
from archspec.spec.spec import VERSION, Block, Spec
from archspec.spec.tasks import TaskReader
from archspec.spec.tree import Entry, Mapping, Node, Scalar, Sequence, as_mapping, is_empty, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from archspec.contract import InputKind


SECTIONS = tuple(ABOUT)
NEEDED = ("inputs", "tasks", "towers")
EXAMPLES = {"inputs": "x: {kind: dense, dim: 8}", "tasks": "ctr: {kind: binary}", "towers": "ctr: {units: [8]}"}

_Made = TypeVar("_Made")


def known_sections(tree: Mapping, diagnostics: Diagnostics) -> Mapping:
    """The tree without unknown sections; those are reported, and a misspelt one is read as the one probably meant."""
    for entry in tree.entries:
        if entry.key in SECTIONS or entry.key.startswith("x-"):
            continue
        guess = suggest(entry.key, SECTIONS)
        helps = f"did you mean `{guess}`?"
        if guess in written_with(entry, tree):
            helps = f"the spec already has `{guess}`: move the entries into it, or remove this section"
        elif guess is None:
            helps = f"sections: {', '.join(SECTIONS)}; `x-{entry.key}` for a note"
        diagnostics.error(
            "AS103", f"unknown section `{entry.key}`", entry.key_span, notes=entry.node.provenance, help=helps
        )
        tree = tree.without(entry.key)
        if guess and guess not in tree:
            tree = tree.with_entry(replace(entry, key=guess))
    return tree


class Reader(TaskReader, LayerReader):
    """Reads the sections of one tree."""

    def spec(self) -> Spec:
        """The Spec; mistakes are added to the diagnostics."""
        self.version()
        self.needed()
        self.few_tasks()
        spec = Spec(
            name=self.spec_name(),
            about=self.text("about"),
            requires=self.requires(),
            inputs=self.section("inputs", self.input),
            groups=self.section("groups", self.group),
            **self.bottom(),
            tasks=self.section("tasks", self.task),
            levels=self.levels(),
            towers=self.section("towers", self.tower),
            fusion=self.section("fusion", self.named("fusion")),
            balance=self.balance(),
            tree=self.tree,
            registry=self.registry,
        )
        self.blocks.defaults.report()
        return spec

    def bottom(self) -> dict[str, Any]:
        """The sections of blocks below the first level."""
        return {section: self.section(section, self.named(category)) for section, category in BOTTOM.items()}

    def named(self, category: str) -> Callable[[Entry], Block]:
        """A function that reads a block of a category; messages call the block by its category and its name."""
        return lambda entry: self.block(category, entry, f"{category.replace('_', ' ')} `{entry.key}`")

    # -- the top ------------------------------------------------------------------------------------------------------

    def version(self) -> None:
        """Checks the language version."""
        node = self.tree.get("archspec")
        if node is None:
            self.error(
                "AS101", "the language version is missing", self.tree.span, help=f"add the line `archspec: {VERSION}`"
            )
        elif not (isinstance(node, Scalar) and type(node.value) is int and node.value >= 1):
            self.error("AS101", "`archspec` takes the language version", node.span, help=f"write `archspec: {VERSION}`")
        elif node.value > VERSION:
            self.error(
                "AS102",
                f"the spec is written in version {node.value} of the language, "
                f"but this release reads version {VERSION}",
                node.span,
                help=f"install the release of archspec that reads version {node.value}: {node.value}.0 or newer",
            )

    def needed(self) -> None:
        """Reports required sections that are missing or empty."""
        missing = [section for section in NEEDED if self.is_missing(section)]
        if "tasks" in missing and "towers" in self.tree:
            missing = [section for section in missing if section != "towers"]  # `$task` towers vanish with the tasks
        for section in missing if not self.diagnostics.incomplete else ():
            entry = self.tree.entry(section)
            span = entry.key_span if entry else self.tree.span
            self.error(
                "AS104",
                f"the spec has no {section}",
                span,
                help=f"write `{section}:` and, indented below it, `{EXAMPLES[section]}`",
            )
        self.diagnostics.incomplete |= bool(missing)

    def few_tasks(self) -> None:
        """Checks that there are not too many tasks.

        Raises:
            SpecError: AS137: there are more than MOST_TASKS.
        """
        tasks = self.tree.entry("tasks")
        count = len(tasks.node.entries) if tasks and isinstance(tasks.node, Mapping) else 0
        if tasks and count > MOST_TASKS:
            self.error(
                "AS137", f"the spec has {count:,} tasks; at most {MOST_TASKS:,} are allowed", tasks.key_span,
                notes=tasks.node.provenance, help="remove some",
            )  # fmt: skip
            self.diagnostics.raise_errors()

    def is_missing(self, section: str) -> bool:
        """Whether a section is absent or empty."""
        mapping = as_mapping(self.tree.get(section) or Scalar(None, self.tree.span))
        return mapping is not None and not mapping.entries

    def spec_name(self) -> str:
        """The spec's name."""
        node = self.tree.get("name")
        if node is None:
            self.error("AS104", "the spec has no `name`", self.tree.span, help="add a line such as `name: my_model`")
        elif (name := text_of(node)) is not None:
            check_name(name, "spec name", node.span, node.provenance, self.diagnostics)
            return name
        else:
            self.error(
                "AS109", "`name` must be text", node.span, notes=node.provenance, help="write a name such as `my_model`"
            )
        return "unnamed"

    def text(self, key: str) -> str:
        """A section that is text."""
        node = self.tree.get(key)
        if node is None or is_empty(node):
            return ""
        if (text := text_of(node)) is None:
            self.error(
                "AS109", f"`{key}` must be text", node.span, notes=node.provenance, help="put it in double quotes"
            )
        return text or ""

    def requires(self) -> tuple[str, ...]:
        """The plugins that the spec requires; reports those that the caller did not enable."""
        names = self.strings(self.tree.get("requires"), "`requires`", "requires")
        for name, span in names:
            if not name.replace(".", "_").isidentifier():
                self.error("AS109", f"`requires` takes names of plugins, not `{name}`", span,
                           help="write only the plugin's name; its path is passed with `--plugin`")  # fmt: skip
            elif name not in self.registry.plugins:
                self.blocks.lacks_plugins = True
                self.error(
                    "AS111", f"the spec needs the plugin `{name}`, which is not enabled", span,
                    help=f"if you trust it, allow archspec to import it: `--plugin {name}` (or the path of {name}.py), "
                    f"in Python `plugins=[...]`",
                )  # fmt: skip
        return tuple(name for name, _ in names)

    def balance(self) -> Block:
        """How task losses are combined."""
        entry = self.tree.entry("balance")
        if entry is None or is_empty(entry.node):
            entry = Entry("balance", self.tree.span, Scalar("sum", self.tree.span))
        return self.blocks.named("balance", "balance", entry.node, "balance", entry.key_span)

    # -- sections of named things -------------------------------------------------------------------------------------

    def section(self, name: str, read: Callable[[Entry], _Made]) -> dict[str, _Made]:
        """The entries of a section, each read by `read`."""
        thing = name.removesuffix("s").replace("_", " ")
        return self.entries(self.tree.get(name), f"`{name}`", thing, read)

    def strings(self, node: Node | None, what: str, key: str) -> list[tuple[str, Span]]:
        """A list of texts with their places."""
        if node is None or is_empty(node):
            return []
        if not isinstance(node, Sequence):
            names = [text_of(node)] if isinstance(node, Scalar) else list(node.keys())
            helps = f"write `{key}: [{', '.join(map(str, names))}]`" if all(names) else "write a list in brackets"
            self.error("AS109", f"{what} must be a list of names", node.span, notes=node.provenance, help=helps)
            return []
        found = []
        for item in node.items:
            if (text := text_of(item)) is not None:
                found.append((text, item.span))
            else:
                self.error(
                    "AS109",
                    f"{what} must be a list of names",
                    item.span,
                    notes=item.provenance,
                    help="write names only",
                )
        return found

    def input(self, entry: Entry) -> Block:
        """One input; the values of a domain are names."""
        block = self.block("input", entry, f"input `{entry.key}`")
        kind: InputKind | None = block.settings
        for index, value in enumerate((kind.domain() or ()) if kind is not None else ()):
            check_name(value, "domain value", block.span("values", index), block.provenance, self.diagnostics)
        return block

    def group(self, entry: Entry) -> tuple[str, ...]:
        """A named list of inputs."""
        names = self.strings(entry.node, f"group `{entry.key}`", entry.key)
        if (
            not names
            and not getattr(entry.node, "items", ())
            and not isinstance(entry.node, Mapping)
            and (isinstance(entry.node, Sequence) or as_mapping(entry.node))
        ):
            self.error("AS109", f"group `{entry.key}` is empty", entry.node.span, notes=entry.node.provenance,
                       help="list inputs in it, or remove it")  # fmt: skip
        return tuple(name for name, _ in names)
