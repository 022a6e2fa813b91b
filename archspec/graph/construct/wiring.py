"""Connects the sections of a spec: nodes, edges, and settings that contain names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archspec.contract import DomainName, InputName, OutputName, Reference
from archspec.contract.limits import MOST_EDGES
from archspec.contract.settings import nested
from archspec.diagnostics import Diagnostics, Note, Span, suggest
from archspec.graph.checks.limits import too_many_edges
from archspec.graph.construct.resolve import Reader, listed
from archspec.graph.construct.seen import SeesResolver
from archspec.graph.graph import Edge, Graph, Node
from archspec.program.nodes import NodeName
from archspec.spec.tree import span_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import UnionType

    from archspec.spec.spec import Block, Spec, Switch, TaskBlock

Path = tuple[str | int, ...]


def settings_references(value: object) -> Iterator[tuple[Path, Any]]:
    """The references and the names of inputs and outputs in the settings of a kind, including nested ones."""
    return settings_names(value, Reference | InputName | OutputName)


def settings_names(value: object, types: type | UnionType) -> Iterator[tuple[Path, Any]]:
    """The values of given types in the settings of a kind, and their paths."""
    return ((path, found) for path, found in nested(value) if isinstance(found, types))


class Wiring:
    """The graph of one spec while it is being made."""

    def __init__(self, spec: Spec, diagnostics: Diagnostics) -> None:
        self.spec, self.diagnostics = spec, diagnostics
        self.error = diagnostics.error
        self.graph = Graph(spec)
        self.resolver = SeesResolver(spec, diagnostics)
        self.top = len(spec.levels) + 1
        """The level of towers."""

    def node(  # noqa: PLR0913 - each is a part of what is made or said
        self,
        name: NodeName,
        level: int,
        what: str,
        block: Block | Switch | TaskBlock,
        *,
        kind: str = "",
        like: NodeName | None = None,
    ) -> NodeName:
        """Adds a node; it belongs to the task of its name, if there is one and it is not just an input."""
        owner = name.name if name.section != "inputs" and name.name in self.spec.tasks else None
        self.graph.nodes[name] = Node(name, kind or getattr(block, "kind", ""), level, what, block, owner, like)
        return name

    def edge(self, source: NodeName, target: NodeName, role: str, *, detached: bool = False) -> None:
        """Adds an edge."""
        if len(self.graph.edges) >= MOST_EDGES:
            node = self.graph.nodes[target]
            too_many_edges(self.diagnostics, node.what, node.block)
        self.graph.edges.append(Edge(source, target, role, detached))

    def read(
        self, targets: Iterable[NodeName], role: str, reference: Reference | None, reader: Reader, path: Path
    ) -> None:
        """Adds the edges from the nodes of a reference to each of the targets."""
        if reference is None:
            return
        stream = self.resolver.stream(reference, reader, path)
        sources = tuple(dict.fromkeys(stream.nodes()))
        for target in targets:
            self.graph.streams[target, role] = stream
            for source, detached in sources:
                self.edge(source, target, role, detached=detached)

    def read_settings(self, targets: Iterable[NodeName], reader: Reader) -> None:
        """Adds the edges of the references in a kind's own settings."""
        targets = tuple(targets)
        for path, value in settings_references(reader.block.settings):
            if isinstance(value, Reference):
                self.read(targets, ".".join(map(str, path)), value, reader, path)
            elif isinstance(value, OutputName):
                self.read_output(targets, "loss", value, reader, path)
            elif (
                self.is_domain(value, reader, path)
                if isinstance(value, DomainName)
                else self.is_input(value, reader, path)
            ):
                for target in targets:
                    self.edge(NodeName("inputs", value), target, "column")

    def read_output(self, targets: Iterable[NodeName], role: str, name: str, reader: Reader, path: Path) -> None:
        """Adds the edges from an output to its readers; reports an output that does not exist."""
        spec = self.spec
        if name not in spec.towers and name not in spec.fusion:
            others = [*spec.towers, *(other for other in spec.fusion if NodeName("fusion", other) not in targets)]
            verb = "combines" if role == "of" else "reads"
            self.absent("AS214", name, f"{reader.what} {verb} unknown output `{name}`", reader, path, others, "outputs")
            return
        stopped = role == "loss" and bool(path) and path[0] in reader.block.settings.stopped
        for target in targets:
            self.edge(NodeName("towers" if name in spec.towers else "fusion", name), target, role, detached=stopped)

    def absent(  # noqa: PLR0913, PLR0917 - each is a part of what is made or said
        self, code: str, name: str, message: str, reader: Reader, path: Path, known: Iterable[str], things: str
    ) -> None:
        """Reports a name that does not exist, unless an earlier mistake explains it."""
        if self.diagnostics.incomplete or name in self.diagnostics.blamed:
            return
        known = tuple(known)
        guess = suggest(name, known)
        helps = (f"did you mean `{guess}`? " if guess else "") + f"{things}: {listed(known)}"
        self.error(code, message, reader.span(*path), notes=reader.provenance(*path), help=helps)

    def is_input(self, name: str, reader: Reader, path: Path) -> bool:
        """Whether `name` is an input; reports it if not."""
        if name in self.spec.inputs:
            return True
        self.absent("AS201", name, f"{reader.what}: `{name}` is not an input", reader, path, self.spec.inputs, "inputs")
        return False

    def is_domain(self, name: str, reader: Reader, path: Path) -> bool:
        """Whether `name` is a domain input; reports it if not."""
        return self.domain_values(name, reader, *path) is not None

    def domain_values(self, name: str, reader: Reader, *path: str | int) -> tuple[str, ...] | None:
        """The values of a domain input; None, and a diagnostic, if it is not one."""
        if not self.is_input(name, reader, path):
            return None
        settings = self.spec.inputs[name].settings
        values: tuple[str, ...] | None = settings.domain() if settings is not None else None
        if values is None and settings is not None:
            domains = self.domains()
            self.error(
                "AS212",
                f"{reader.what}: `{name}` is not a domain input",
                reader.span(*path),
                notes=[
                    *reader.provenance(*path),
                    Note(f"input `{name}` of kind `{self.spec.inputs[name].kind}`", self.declared("inputs", name)),
                ],
                help=f"domain inputs: {', '.join(domains)}" if domains else "add an input of `kind: domain`",
            )
        return values

    def domains(self) -> list[str]:
        """Names of the domain inputs."""
        return [name for name, block in self.spec.inputs.items() if block.settings and block.settings.domain()]

    def declared(self, *path: str | int) -> Span:
        """The place where a name of a section is declared."""
        return span_at(self.spec.tree, path, key=True)
