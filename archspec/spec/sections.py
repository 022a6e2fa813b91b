"""From the expanded tree to the typed Spec, section by section; every mistake is reported at its place."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable
from typing import Any, TypeVar

from archspec.contract import Registry
from archspec.contract.settings import Settings
from archspec.diagnostics import Diagnostics, Note, suggest
from archspec.spec.problems import fields_of, validated
from archspec.spec.spec import (
    VERSION,
    Block,
    ExpertCommon,
    FeatureGateCommon,
    GateCommon,
    InputCommon,
    Level,
    NoCommon,
    Spec,
    Switch,
    Task,
    TaskBlock,
    TowerCommon,
)
from archspec.spec.tree import Entry, Mapping, Node, Scalar, Sequence

SECTIONS = (
    "archspec", "name", "about", "extends", "requires", "defaults", "sets", "inputs", "groups", "feature_gates",
    "tasks", "levels", "towers", "fusion", "balance",
)  # fmt: skip
IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")
RESERVED = {"all": "`sees: all`", "inputs": "`from: inputs`", "none": "`selector: none`"}
COMMON: dict[str, type[Settings]] = {
    "input": InputCommon, "expert": ExpertCommon, "gate": GateCommon, "feature_gate": FeatureGateCommon,
    "tower": TowerCommon, "fusion": NoCommon, "loss": NoCommon, "balance": NoCommon,
}  # fmt: skip
DEFAULT_KIND = {"expert": "mlp", "gate": "softmax", "feature_gate": "softmax", "tower": "mlp"}
DEFAULTS = {
    "input": "inputs", "expert": "experts", "gate": "gates", "feature_gate": "feature_gates", "tower": "towers",
    "fusion": "fusion",
}  # fmt: skip
LOSS = {"binary": "logistic", "regression": "mse", "multiclass": "cross_entropy"}

_Made = TypeVar("_Made")


class Reader:
    """Reads sections of one tree."""

    def __init__(self, tree: Mapping, registry: Registry, diagnostics: Diagnostics) -> None:
        self.tree, self.registry, self.diagnostics = tree, registry, diagnostics
        self.error = diagnostics.error

    def spec(self) -> Spec:
        """The Spec. Raises SpecError where nothing sensible can be made of the file."""
        self.version()
        self.top_keys()
        spec = Spec(
            name=self.spec_name(),
            about=self.text("about"),
            requires=self.requires(),
            inputs=self.section("inputs", lambda e: self.block("input", e.key, e.node, f"input `{e.key}`")),
            groups=self.section("groups", self.group),
            feature_gates=self.section(
                "feature_gates", lambda e: self.block("feature_gate", e.key, e.node, f"feature gate `{e.key}`")
            ),
            tasks=self.section("tasks", self.task),
            levels=self.levels(),
            towers=self.section("towers", self.tower),
            fusion=self.section("fusion", lambda e: self.block("fusion", e.key, e.node, f"fusion `{e.key}`")),
            balance=self.named("balance", "balance", self.tree.get("balance") or Scalar("sum", self.tree.span), "balance"),
            tree=self.tree,
            registry=self.registry,
        )
        for section in ("inputs", "tasks", "towers"):
            if section not in self.tree:
                self.error("AS104", f"the spec has no `{section}`", self.tree.span, help=f"add a section `{section}:`")
        return spec

    # -- the top ------------------------------------------------------------------------------------------------------

    def version(self) -> None:
        """Checks the language version."""
        node = self.tree.get("archspec")
        if node is None:
            self.error("AS101", "the language version is missing", self.tree.span, help=f"add the line `archspec: {VERSION}`")
        elif not (isinstance(node, Scalar) and type(node.value) is int and node.value >= 1):
            self.error("AS101", "`archspec` takes the language version", node.span, help=f"write `archspec: {VERSION}`")
        elif node.value > VERSION:
            self.error(
                "AS102", f"the spec is written in version {node.value} of the language, this release reads {VERSION}",
                node.span, help=f"install the release of archspec that reads version {node.value}: {node.value}.0 or newer",
            )  # fmt: skip

    def top_keys(self) -> None:
        """Refuses sections that do not exist."""
        for entry in self.tree.entries:
            if entry.key not in SECTIONS:
                guess = suggest(entry.key, SECTIONS)
                helps = f"did you mean `{guess}`?" if guess else f"sections: {', '.join(SECTIONS)}; `x-{entry.key}` for a note"
                self.error("AS103", f"unknown section `{entry.key}`", entry.key_span, help=helps)
        defaults = self.tree.get("defaults")
        for entry in defaults.entries if isinstance(defaults, Mapping) else ():
            if entry.key not in DEFAULTS.values():
                guess = suggest(entry.key, DEFAULTS.values())
                helps = f"did you mean `{guess}`?" if guess else f"categories: {', '.join(DEFAULTS.values())}"
                self.error("AS103", f"`defaults` has no category `{entry.key}`", entry.key_span, help=helps)
        for name in ("defaults", "sets"):
            node = self.tree.get(name)
            if node is not None and not isinstance(node, Mapping):
                self.error("AS109", f"`{name}` must be a mapping", node.span)

    def spec_name(self) -> str:
        """The spec's name."""
        node = self.tree.get("name")
        if node is None:
            self.error("AS104", "the spec has no `name`", self.tree.span, help="add a line such as `name: my_model`")
        elif isinstance(node, Scalar) and isinstance(node.value, str):
            self.check_name(node.value, "spec name", node)
            return node.value
        else:
            self.error("AS109", "`name` must be text", node.span)
        return "unnamed"

    def text(self, key: str) -> str:
        """A section that is text."""
        node = self.tree.get(key)
        if node is None or (isinstance(node, Scalar) and isinstance(node.value, str)):
            return str(node.value) if isinstance(node, Scalar) else ""
        self.error("AS109", f"`{key}` must be text", node.span)
        return ""

    def requires(self) -> tuple[str, ...]:
        """The plugins that the spec asks for; refuses if the caller did not enable one."""
        names = self.strings(self.tree.get("requires"), "`requires`")
        for name, span in names:
            if name not in self.registry.plugins:
                self.error(
                    "AS111", f"the spec needs the plugin `{name}`, which is not enabled", span,
                    help=f"if you trust it, allow archspec to import it: `--plugin {name}` (or the path of {name}.py), "
                    f"in Python `plugins=[...]`",
                )  # fmt: skip
        return tuple(name for name, _ in names)

    # -- sections of named things -------------------------------------------------------------------------------------

    def section(self, name: str, read: Callable[[Entry], _Made]) -> dict[str, _Made]:
        """The entries of a section, each read by `read`."""
        node = self.tree.get(name)
        if node is None or (isinstance(node, Scalar) and node.value is None):
            return {}
        return self.entries(node, f"`{name}`", name.removesuffix("s").replace("_", " "), read)

    def entries(self, node: Node, what: str, thing: str, read: Callable[[Entry], _Made]) -> dict[str, _Made]:
        """The entries of a mapping of names."""
        if not isinstance(node, Mapping):
            self.error("AS109", f"{what} must be a mapping from names", node.span, notes=node.trail)
            return {}
        for entry in node.entries:
            self.check_name(entry.key, f"{thing} name", entry)
        return {entry.key: read(entry) for entry in node.entries}

    def check_name(self, name: str, what: str, place: Entry | Scalar) -> None:
        """Names are identifiers of the language, and neither Python's nor archspec's own words."""
        span = place.key_span if isinstance(place, Entry) else place.span
        notes = place.node.trail if isinstance(place, Entry) else place.trail
        if not IDENTIFIER.fullmatch(name):
            better = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_") or "name"
            better = better if better[0].isalpha() else f"n{better}"
            helps = f"write `{better}`" + (f" with `column: {name}`" if what == "input name" else "")
            self.error("AS105", f"{what} `{name}` is not of the form [a-z][a-z0-9_]*", span, notes=notes, help=helps)
        elif keyword.iskeyword(name):
            self.error("AS106", f"{what} `{name}` is a Python keyword", span, notes=notes, help=f"write `{name}_`")
        elif name in RESERVED:
            self.error("AS106", f"{what} `{name}` has a meaning of its own: {RESERVED[name]}", span, notes=notes,
                       help="choose another name")  # fmt: skip
        elif name == "shared" and what in {"task name", "domain name"}:
            self.error("AS106", f"{what} `shared`: `shared` names the experts of all tasks", span, notes=notes,
                       help="choose another name")  # fmt: skip

    def strings(self, node: Node | None, what: str) -> list[tuple[str, Any]]:
        """A list of texts with their places."""
        if node is None:
            return []
        if not isinstance(node, Sequence):
            self.error("AS109", f"{what} must be a list of names", node.span, notes=node.trail)
            return []
        found = []
        for item in node.items:
            if isinstance(item, Scalar) and isinstance(item.value, str):
                found.append((item.value, item.span))
            else:
                self.error("AS109", f"{what} must be a list of names", item.span, notes=item.trail)
        return found

    def group(self, entry: Entry) -> tuple[str, ...]:
        """A named list of inputs."""
        names = self.strings(entry.node, f"group `{entry.key}`")
        if not names and isinstance(entry.node, Sequence):
            self.error("AS109", f"group `{entry.key}` is empty", entry.node.span, notes=entry.node.trail)
        return tuple(name for name, _ in names)

    # -- blocks -------------------------------------------------------------------------------------------------------

    def block(self, category: str, name: str, node: Node, what: str) -> Block:
        """One block: the keys of its category, its kind, the kind's settings."""
        node = self.with_defaults(category, _mapping(node), node)
        if not isinstance(node, Mapping):
            self.error("AS109", f"{what} must be a mapping", node.span, notes=node.trail)
            return Block(category, name, "", None, None, node)
        common_class, kind = COMMON[category], self.kind(category, node, what)
        cls = self.registry.find(category, kind)
        common_keys = fields_of(common_class)
        rest = [key for key in node.keys() if key not in common_keys and key != "kind"]
        known = ("kind", *common_keys)
        common = validated(common_class, node, what, self.diagnostics, keys=common_keys)
        settings = validated(cls, node, what, self.diagnostics, keys=rest, known=known) if cls else None
        return Block(category, name, kind, common, settings, node)

    def kind(self, category: str, node: Mapping, what: str) -> str:
        """The kind that a block names, or its category's default; says so where there is no such kind."""
        kind = node.get("kind")
        if kind is None and category in DEFAULT_KIND:
            return DEFAULT_KIND[category]
        known = self.registry.names(category)
        choices = f"kinds: {', '.join(known)}; a plugin may define more (`--plugin`)"
        if kind is None:
            self.error("AS110", f"{what} needs a `kind`", node.span, notes=node.trail, help=choices)
        elif not (isinstance(kind, Scalar) and isinstance(kind.value, str)):
            self.error("AS109", f"`kind` of {what} must be text", kind.span, notes=kind.trail, help=choices)
        elif kind.value not in known:
            guess = suggest(kind.value, known)
            helps = f"did you mean `{guess}`? {choices}" if guess else choices
            self.error("AS107", f"unknown {category.replace('_', ' ')} kind `{kind.value}` in {what}", kind.span,
                       notes=kind.trail, help=helps)  # fmt: skip
        else:
            return kind.value
        return ""

    def with_defaults(self, category: str, node: Mapping | None, given: Node) -> Node:
        """The block with the settings of `defaults` that it does not write; those of another kind do not apply."""
        section = self.tree.get("defaults")
        defaults = section.get(DEFAULTS.get(category, "")) if isinstance(section, Mapping) else None
        if node is None or not isinstance(defaults, Mapping):
            return node or given
        fallback = DEFAULT_KIND.get(category)
        default_kind = _text(defaults.get("kind")) or fallback
        own_kind = _text(node.get("kind")) or default_kind
        common = (*fields_of(COMMON[category]), "switch", "cases")
        for entry in defaults.entries:
            if entry.key not in node and (own_kind == default_kind or entry.key in common):
                node = node.with_entry(entry)
        return node

    def named(self, category: str, name: str, node: Node, what: str) -> Block:
        """A block that may be written as its kind's name alone: a loss, the balance."""
        if isinstance(node, Scalar) and isinstance(node.value, str):
            kind = Entry("kind", node.span, node)
            node = Mapping((kind,), node.span, node.trail)
        return self.block(category, name, node, what)

    # -- tasks, levels, towers ----------------------------------------------------------------------------------------

    def task(self, entry: Entry) -> TaskBlock:
        """One task with its losses."""
        what, node = f"task `{entry.key}`", _mapping(entry.node) or entry.node
        keys = [key for key in node.keys() if key != "loss"] if isinstance(node, Mapping) else None
        task = validated(Task, node, what, self.diagnostics, keys=keys, known=("loss",)) or Task()
        if task.kind == "multiclass" and task.classes is None:
            self.error("AS110", f"{what} needs `classes`", node.span, notes=node.trail, help="add `classes: N`")
        if task.kind != "multiclass" and task.classes is not None:
            self.error("AS109", f"{what}: `classes` is for `kind: multiclass`", node.span, notes=node.trail,
                       help="drop `classes`, or write `kind: multiclass`")  # fmt: skip
        given = node.get("loss") if isinstance(node, Mapping) else None
        given = given or Scalar(LOSS[task.kind], node.span)
        nodes = given.items if isinstance(given, Sequence) else (given,)
        losses = tuple(self.loss(entry.key, task.kind, item) for item in nodes)
        return TaskBlock(entry.key, task.model_copy(update={"label": task.label or entry.key}), losses, node)

    def loss(self, task: str, kind: str, node: Node) -> Block:
        """One loss of a task, fit for the task's kind."""
        block = self.named("loss", task, node, f"a loss of task `{task}`")
        fits = getattr(block.settings, "tasks", (kind,))
        if kind not in fits:
            self.error("AS109", f"loss `{block.kind}` is for {', '.join(fits)} tasks; `{task}` is {kind}", node.span,
                       notes=node.trail, help=f"write `loss: {LOSS[kind]}`")  # fmt: skip
        return block

    def levels(self) -> tuple[Level, ...]:
        """The extraction levels."""
        node = self.tree.get("levels")
        if node is None:
            return ()
        if not isinstance(node, Sequence):
            self.error("AS109", "`levels` must be a list", node.span, help="write `- experts: ...` under it")
            return ()
        return tuple(self.level(number, item) for number, item in enumerate(node.items, 1))

    def level(self, number: int, node: Node) -> Level:
        """One level: its experts and gates."""
        if not isinstance(node, Mapping):
            self.error("AS109", f"level {number} must be a mapping", node.span, help="it holds `experts` and `gates`")
            return Level({}, {}, node)
        for entry in node.entries:
            if entry.key not in {"experts", "gates"}:
                guess = suggest(entry.key, ("experts", "gates", "repeat"))
                helps = f"did you mean `{guess}`?" if guess else "keys here: experts, gates, repeat"
                self.error("AS108", f"unknown key `{entry.key}` in level {number}", entry.key_span, notes=node.trail, help=helps)
        experts, gates = node.get("experts"), node.get("gates")
        if experts is None:
            self.error("AS110", f"level {number} needs `experts`", node.span, notes=node.trail, help="add `experts: {...}`")
        return Level(
            self.entries(experts, f"`experts` of level {number}", "expert group",
                         lambda e: self.block("expert", e.key, e.node, f"expert group `{e.key}` at level {number}"))
            if experts else {},
            self.entries(gates, f"`gates` of level {number}", "gate",
                         lambda e: self.block("gate", e.key, e.node, f"gate `{e.key}` at level {number}"))
            if gates else {},
            node,
        )  # fmt: skip

    def tower(self, entry: Entry) -> Block | Switch:
        """A tower, or a switch over domains."""
        node = entry.node
        if not (isinstance(node, Mapping) and "switch" in node):
            return self.block("tower", entry.key, node, f"tower `{entry.key}`")
        for inner in node.entries:
            if inner.key not in {"switch", "cases", "output"}:
                self.error("AS108", f"unknown key `{inner.key}` in the switch of tower `{entry.key}`", inner.key_span,
                           notes=node.trail, help="keys here: switch, cases, output; the rest goes into the cases")  # fmt: skip
        cases, output = node.get("cases"), _text(node.get("output"))
        if cases is None:
            self.error("AS110", f"tower `{entry.key}` needs `cases`", node.span, notes=node.trail, help="add `cases: {...}`")
        if "output" in node and output not in {"binary", "regression"}:
            self.error("AS109", f"`output` of tower `{entry.key}` must be one of binary, regression", node.span)
        blocks = self.entries(
            cases, f"`cases` of tower `{entry.key}`", "case",
            lambda e: self.block("tower", e.key, e.node, f"case `{e.key}` of tower `{entry.key}`"),
        ) if cases else {}  # fmt: skip
        return Switch(entry.key, _text(node.get("switch")) or "", blocks, output, node)  # type: ignore[arg-type] # checked above


def conflict(place: Any) -> Note:  # noqa: ANN401 - a span
    """The note that shows the other declaration."""
    return Note("the other one is here", place)


def _mapping(node: Node) -> Mapping | None:
    """The node as a mapping; a key without a value is an empty one."""
    if isinstance(node, Scalar) and node.value is None:
        return Mapping((), node.span, node.trail)
    return node if isinstance(node, Mapping) else None


def _text(node: Node | None) -> str | None:
    return node.value if isinstance(node, Scalar) and isinstance(node.value, str) else None
