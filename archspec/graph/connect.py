"""From a Spec to its Graph: one node per input, expert, gate, tower, fusion and task, an edge for everything read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from archspec.contract import InputName, Reference, Settings
from archspec.diagnostics import Diagnostics, Note, Span, suggest
from archspec.graph.graph import Category, Edge, Graph, Node
from archspec.graph.resolve import Reader, Resolver
from archspec.spec.spec import Block, Spec, Switch, TaskBlock


def connect(spec: Spec, diagnostics: Diagnostics) -> Graph:
    """The graph of a spec. Unknown names are reported and left out, so that other checks can go on."""
    connector = _Connector(spec, diagnostics)
    connector.names_differ()
    connector.inputs()
    for name, block in spec.feature_gates.items():
        connector.feature_gate(name, block)
    for number in range(1, len(spec.levels) + 1):
        connector.level(number)
    for name, tower in spec.towers.items():
        connector.tower(name, tower)
    for name, block in spec.fusion.items():
        connector.fusion(name, block)
    for name, task in spec.tasks.items():
        connector.task(name, task)
    return connector.graph


def settings_references(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """The references and input names among the settings of a kind, nested ones too."""
    if isinstance(value, Reference | InputName):
        yield path, value
    elif isinstance(value, Settings):
        for name in type(value).model_fields:
            yield from settings_references(getattr(value, name), (*path, name))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from settings_references(item, (*path, key))
    elif isinstance(value, tuple | list):
        for index, item in enumerate(value):
            yield from settings_references(item, (*path, index))


class _Connector:
    def __init__(self, spec: Spec, diagnostics: Diagnostics) -> None:
        self.spec, self.diagnostics = spec, diagnostics
        self.error = diagnostics.error
        self.graph = Graph(spec)
        self.resolver = Resolver(spec, diagnostics)
        self.top = len(spec.levels) + 1

    def names_differ(self) -> None:
        """A bare name must mean one thing in the whole spec."""
        spec = self.spec
        seen: dict[str, tuple[str, Span]] = {}
        for section in ("inputs", "groups", "feature_gates"):
            for name in getattr(spec, section):
                self.declare(seen, name, f"{section.removesuffix('s').replace('_', ' ')} `{name}`", self.section_span(section, name))
        for number, level in enumerate(spec.levels, 1):
            for name, block in level.gates.items():
                if name not in seen or not seen[name][0].startswith("gate"):
                    self.declare(seen, name, f"gate `{name}` of level {number}", block.node.span)

    def declare(self, seen: dict[str, tuple[str, Span]], name: str, what: str, span: Span) -> None:
        """Reports a name that is taken."""
        if name in seen:
            other, place = seen[name]
            self.error(
                "AS202", f"`{name}` could mean the {other} or the {what}", span, notes=[Note(f"the {other}", place)],
                help="give one of them another name (an input keeps its column with `column:`)",
            )  # fmt: skip
        else:
            seen[name] = (what, span)

    def section_span(self, section: str, name: str) -> Span:
        """Where a named thing of a section is declared."""
        from archspec.spec.tree import span_at

        return span_at(self.spec.tree, (section, name), key=True)

    # -- nodes and edges ----------------------------------------------------------------------------------------------

    def node(  # noqa: PLR0913 - what a node is made of
        self, name: str, category: Category, level: int, what: str, block: Block | Switch | TaskBlock, *, kind: str = "",
        own: str | None = None, **place: Any,  # noqa: ANN401 - passed on
    ) -> str:  # fmt: skip
        """Adds a node; `own` is the name that may be a task's."""
        owner = own if own in self.spec.tasks else None
        self.graph.nodes[name] = Node(name, category, kind or getattr(block, "kind", ""), level, what, block, owner, **place)
        return name

    def edge(self, source: str, target: str, role: str, *, detached: bool = False) -> None:
        """Adds an edge, once per role."""
        edge = Edge(source, target, role, detached)
        self.graph.edges.append(edge)

    def read(self, target: str, role: str, reference: Reference | None, reader: Reader, path: tuple[str | int, ...]) -> None:
        """Adds the edges of one reference."""
        if reference is None:
            return
        stream = self.resolver.stream(reference, reader, path)
        self.graph.streams[target, role] = stream
        for node, detached in dict.fromkeys(stream.nodes()):
            self.edge(node, target, role, detached=detached)

    def read_settings(self, target: str, reader: Reader) -> None:
        """Adds the edges of the references among a kind's own settings."""
        for path, value in settings_references(reader.block.settings):
            role = ".".join(map(str, path))
            if isinstance(value, Reference):
                self.read(target, role, value, reader, path)
            elif self.is_input(value, reader, path):
                self.edge(f"inputs.{value}", target, "column")

    def is_input(self, name: str, reader: Reader, path: tuple[str | int, ...]) -> bool:
        """Whether a setting names an input; if not, says so."""
        if name in self.spec.inputs:
            return True
        guess = suggest(name, self.spec.inputs)
        helps = (f"did you mean `{guess}`? " if guess else "") + f"inputs: {', '.join(self.spec.inputs)}"
        self.error("AS201", f"{reader.what}: `{name}` is no input", reader.span(*path), notes=reader.block.trail, help=helps)
        return False

    def domain_values(self, name: str, reader: Reader, *path: str | int) -> tuple[str, ...] | None:
        """The values of a domain input; None, and a diagnostic, where it is none."""
        if not self.is_input(name, reader, path):
            return None
        settings = self.spec.inputs[name].settings
        values: tuple[str, ...] | None = getattr(settings, "values", None)
        if values is None and settings is not None:
            self.error(
                "AS212", f"{reader.what}: `{name}` is no domain input", reader.span(*path),
                notes=[*reader.block.trail, Note(f"the input `{name}`", self.section_span("inputs", name))],
                help=f"name an input of kind `domain`: {', '.join(self.domains()) or 'there is none yet'}",
            )  # fmt: skip
        return values

    def domains(self) -> list[str]:
        """Names of the domain inputs."""
        return [name for name, block in self.spec.inputs.items() if hasattr(block.settings, "values")]

    # -- sections -----------------------------------------------------------------------------------------------------

    def inputs(self) -> None:
        """Input nodes and groups."""
        for name, block in self.spec.inputs.items():
            self.node(f"inputs.{name}", "input", 0, f"input `{name}`", block)
            for path, value in settings_references(block.settings):
                self.is_input(value, Reader(f"input `{name}`", 0, block), path)
        from archspec.spec.tree import span_at

        for name, members in self.spec.groups.items():
            for index, member in enumerate(members):
                if member not in self.spec.inputs or member in members[:index]:
                    guess = suggest(member, self.spec.inputs)
                    wrong = "twice" if member in self.spec.inputs else "which is no input"
                    self.error("AS201", f"group `{name}` names `{member}`{', ' if wrong[0] == 'w' else ' '}{wrong}",
                               span_at(self.spec.tree, ("groups", name, index)),
                               help=f"did you mean `{guess}`?" if guess and wrong[0] == "w" else f"inputs: {', '.join(self.spec.inputs)}")  # fmt: skip

    def feature_gate(self, name: str, block: Block) -> None:
        """A feature gate node."""
        node = self.node(f"feature_gates.{name}", "feature_gate", 0, f"feature gate `{name}`", block, own=name)
        if block.common is None:
            return
        reader = Reader(f"feature gate `{name}`", 0, block)
        self.read(node, "from", block.common.source, reader, ("from",))
        self.read(node, "selector", block.common.selector, reader, ("selector",))
        self.read_settings(node, reader)

    def level(self, number: int) -> None:
        """Experts and gates of a level."""
        level = self.spec.levels[number - 1]
        for name, block in level.experts.items():
            what = f"expert group `{name}` at level {number}"
            for index in range(block.common.count if block.common else 1):
                node = self.node(f"level{number}.experts.{name}.{index}", "expert", number, what, block, own=name, group=name, index=index)
                reader = Reader(what, number, block)
                self.read(node, "from", block.common and block.common.source, reader, ("from",))
                self.read_settings(node, reader)
        for name, block in level.gates.items():
            self.gate(number, name, block)

    def gate(self, number: int, name: str, block: Block) -> None:
        """A gate node."""
        what = f"gate `{name}` at level {number}"
        node = self.node(f"level{number}.gates.{name}", "gate", number, what, block, own=name)
        if block.common is None:
            return
        reader = Reader(what, number, block)
        seen = self.graph.seen[node] = self.resolver.sees(block.common.sees, reader)
        for expert in seen:
            self.edge(expert.node, node, "sees", detached=expert.detached)
        if not seen and not any(d.severity == "error" for d in self.diagnostics.items):
            self.error("AS206", f"{what} sees no expert", reader.span("sees"), notes=block.trail, help="name expert groups")
        self.selector(node, block, reader)
        self.residual(node, number, block, reader)
        if block.common.exclude is not None and self.domain_values(block.common.exclude, reader, "exclude"):
            self.edge(f"inputs.{block.common.exclude}", node, "exclude")
        self.read_settings(node, reader)

    def selector(self, node: str, block: Block, reader: Reader) -> None:
        """What decides a gate's weights: a stream, nothing, or a domain input."""
        reference, selects = block.common.selector, getattr(block.settings, "selects", "stream")
        if selects == "domain":
            names = [name.text for name in reference.names()] if reference else []
            if len(names) != 1 or reference.combine != "concat":
                self.error("AS212", f"{reader.what} needs one domain input as its selector", reader.span("selector"),
                           notes=block.trail, help=f"write `selector: {next(iter(self.domains()), 'scene')}`")  # fmt: skip
            elif self.domain_values(names[0], reader, "selector"):
                self.edge(f"inputs.{names[0]}", node, "domain")
        elif reference is not None and not is_none(reference):
            if selects == "none":
                self.error("AS210", f"{reader.what}: a `{block.kind}` gate has no selector", reader.span("selector"),
                           notes=block.trail, help="drop `selector`")  # fmt: skip
            self.read(node, "selector", reference, reader, ("selector",))

    def residual(self, node: str, number: int, block: Block, reader: Reader) -> None:
        """The gate of the same level that is added to the mix."""
        residual = block.common.residual
        if residual is None:
            return
        gates = self.spec.levels[number - 1].gates
        if residual in gates:
            self.edge(f"level{number}.gates.{residual}", node, "residual")
        else:
            guess = suggest(residual, gates)
            helps = (f"did you mean `{guess}`? " if guess else "") + f"gates of this level: {', '.join(gates)}"
            self.error("AS211", f"{reader.what}: no gate `{residual}` at this level", reader.span("residual"),
                       notes=block.trail, help=helps)  # fmt: skip

    def tower(self, name: str, tower: Block | Switch) -> None:
        """A tower node, or one per case and one that chooses."""
        what = f"tower `{name}`"
        if isinstance(tower, Block):
            self.tower_block(f"towers.{name}", what, tower, own=name)
            return
        node = self.node(f"towers.{name}", "tower", self.top, what, tower, kind="switch", own=name)
        reader = Reader(what, self.top, tower)  # type: ignore[arg-type] # a switch has places and a trail like a block
        values = self.domain_values(tower.switch, reader, "switch")
        if values:
            self.edge(f"inputs.{tower.switch}", node, "switch")
        for value in (value for value in values or () if value not in tower.cases):
            self.error("AS213", f"{what} has no case `{value}`, a value of `{tower.switch}`", tower.span("cases"),
                       notes=tower.node.trail, help=f"add `{value}: ...` to `cases`, or write `$domain: ...`")  # fmt: skip
        for value, block in tower.cases.items():
            if values and value not in values:
                self.error("AS213", f"{what} has a case `{value}`, which `{tower.switch}` does not have", block.node.span,
                           notes=block.trail, help=f"values: {', '.join(values)}")  # fmt: skip
            inner = f"case `{value}` of tower `{name}`"
            self.edge(self.tower_block(f"{node}.cases.{value}", inner, block, own=name, case=value), node, "case")
            if block.common is not None and block.common.output is not None:
                self.error("AS109", f"{inner}: `output` belongs to the tower", block.span("output", key=True),
                           notes=block.trail, help="write it beside `switch`")  # fmt: skip

    def tower_block(self, node: str, what: str, block: Block, **place: Any) -> str:  # noqa: ANN401 - passed on
        """A tower that is a block."""
        self.node(node, "tower", self.top, what, block, **place)
        reader = Reader(what, self.top, block)
        self.read(node, "from", block.common and block.common.source, reader, ("from",))
        self.read_settings(node, reader)
        return node

    def fusion(self, name: str, block: Block) -> None:
        """A fusion node; it reads outputs by name."""
        what = f"fusion `{name}`"
        node = self.node(f"fusion.{name}", "fusion", self.top + 1, what, block, own=name)
        if name in self.spec.towers:
            self.error("AS202", f"`{name}` could mean the tower or the fusion of this name", self.section_span("fusion", name),
                       notes=[Note("the tower", self.section_span("towers", name))], help="rename one of them")  # fmt: skip
        reader = Reader(what, self.top + 1, block)
        for index, part in enumerate(getattr(block.settings, "of", ())):
            path = ("of", index) if isinstance(block.settings.of, tuple) else ("of", part)
            if part in self.spec.towers:
                self.edge(f"towers.{part}", node, "of")
            elif part in self.spec.fusion:
                self.edge(f"fusion.{part}", node, "of")
            else:
                outputs = [*self.spec.towers, *self.spec.fusion]
                guess = suggest(part, outputs)
                helps = (f"did you mean `{guess}`? " if guess else "") + f"outputs: {', '.join(outputs)}"
                self.error("AS214", f"{what} combines unknown output `{part}`", reader.span(*path), notes=block.trail, help=helps)
        self.read_settings(node, reader)

    def task(self, name: str, task: TaskBlock) -> None:
        """A task node, fed by the tower or fusion of its name."""
        node = self.node(f"tasks.{name}", "task", self.top + 2, f"task `{name}`", task, kind=task.task.kind, own=name)
        if name in self.spec.towers:
            self.edge(f"towers.{name}", node, "output")
        elif name in self.spec.fusion:
            self.edge(f"fusion.{name}", node, "output")
        else:
            self.error(
                "AS207", f"task `{name}` has no output: no tower and no fusion has its name",
                self.section_span("tasks", name), notes=task.node.trail, help=f"add `{name}: ...` to `towers`",
            )  # fmt: skip


def is_none(reference: Reference) -> bool:
    """Whether a selector says `none`."""
    return reference.data() == "none"
