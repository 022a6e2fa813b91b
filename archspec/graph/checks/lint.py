"""Warnings about specs that are legal, but probably not what was intended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archspec.graph.checks.sharing import report_same
from archspec.program.order import reached
from archspec.spec.categories import BOTTOM
from archspec.spec.spec import Block
from archspec.spec.tree import node_at

if TYPE_CHECKING:
    from archspec.contract import Settings
    from archspec.diagnostics import Diagnostics
    from archspec.graph.graph import Graph, Node


def unread(graph: Graph) -> set[str]:
    """Nodes that nothing reads on the way to an output, inputs aside."""
    sources = graph.sources()
    outputs = (node.name for node in graph.nodes.values() if node.category in {"tower", "fusion", "task"})
    return set(graph.nodes) - reached(outputs, lambda name: sources[name]).keys()


def report_unread(graph: Graph, names: set[str], diagnostics: Diagnostics) -> None:
    """Reports pruned gates as notes, and experts and inputs that nothing uses as warnings."""
    readers: dict[str, set[str]] = {}
    for edge in graph.edges:
        readers.setdefault(edge.source, set()).add(edge.target)
    tables = {block.settings.shared_table() for block in graph.spec.inputs.values() if block.settings}
    used = {node.like for name, node in graph.nodes.items() if name not in names}
    """Experts and blocks whose weights others use."""
    for name in (name for name in graph.nodes if name in names):
        node = graph.nodes[name]
        if node.category in {"gate", *BOTTOM.values()} and name not in used:
            _say(
                diagnostics,
                node,
                "note",
                "AS307",
                f"nothing reads {node.what}: it is pruned, together with everything that only it reads",
            )
        elif name not in readers and node.category == "expert" and name not in used:
            _say(diagnostics, node, "warning", "AS301", f"no gate sees {node.what}: it is left out",
                 "add it to a gate's `sees`, or remove it")  # fmt: skip
        elif name not in readers and node.category == "input" and node.block.name not in tables:
            _say(
                diagnostics, node, "warning", "AS304", f"nothing reads {node.what}", "use it in a `from`, or remove it"
            )


def lint(graph: Graph, diagnostics: Diagnostics) -> None:
    """Reports warnings about the graph after pruning."""
    report_same(graph, diagnostics)
    used = {edge.source for edge in graph.edges}
    for block in {id(node.block): node.block for node in graph.nodes.values()}.values():
        if isinstance(block, Block):
            _idle(block, diagnostics)
    for node in graph.nodes.values():
        if node.category == "gate":
            _choice(graph, node, diagnostics)
        elif node.category == "feature_gate":
            _elements(graph, node, diagnostics)
        elif node.category in {"expert", "block"} and not graph.tasks[node.name]:
            _say(
                diagnostics,
                node,
                "warning",
                "AS305",
                f"no task trains {node.what}",
                _untrained(graph, node.name),
            )
        elif node.category == "tower" and node.case is None and node.name not in used:
            _say(diagnostics, node, "warning", "AS303", f"no task uses {node.what}, and nothing reads it",
                 f"add a task `{node.block.name}`, or remove the tower")  # fmt: skip


def _idle(block: Block, diagnostics: Diagnostics) -> None:
    """Reports settings that change nothing, if the block itself sets them, not `defaults`."""
    for path, reason in block.settings.idle().items() if block.settings is not None else ():
        name, setting = ".".join(map(str, path)), node_at(block.node, path)
        if setting is not None and setting.provenance == block.provenance and not _is_default(block.settings, path):
            diagnostics.warning(
                "AS235", f"`{name}` changes nothing: {reason}", block.span(*path, key=True), notes=block.provenance,
                help=f"remove `{name}`",
            )  # fmt: skip


def _is_default(settings: Settings, path: tuple[str | int, ...]) -> bool:
    """Whether a setting has its default value: the canonical form writes defaults out, which is not worth a warning."""
    value: Any = settings
    for name in path[:-1]:
        value = getattr(value, str(name))
    field = type(value).model_fields.get(str(path[-1]))
    return field is not None and getattr(value, str(path[-1])) == field.get_default()


def _untrained(graph: Graph, name: str) -> str:
    """The help for a node that no task trains: its readers stop the gradient, or lead to no task."""
    readers: dict[str, list[str]] = {}
    for edge in graph.edges:
        readers.setdefault(edge.source, []).append(edge.target)
    behind = reached([name], lambda reader: readers.get(reader, ()))
    if any(graph.nodes[reader].category == "task" for reader in behind):
        return "let something read it without `detach`"
    outputs = [graph.nodes[reader].block.name for reader in behind if graph.nodes[reader].category == "tower"]
    return f"add a task for an output that it reaches, such as `{outputs[0]}`, or remove it" if outputs else "remove it"


def _choice(graph: Graph, node: Node, diagnostics: Diagnostics) -> None:
    assert isinstance(node.block, Block)
    if len(graph.seen[node.name]) == 1 and (node.name, "selector") in graph.streams:
        what = (
            "weights that add up to one are always 1"
            if _adds_up(node.block)
            else "it has only one expert to choose from"
        )
        _say(
            diagnostics,
            node,
            "warning",
            "AS302",
            f"{node.what}: {what}",
            "let it see more, or read the expert directly",
        )


def _elements(graph: Graph, node: Node, diagnostics: Diagnostics) -> None:
    block = node.block
    assert isinstance(block, Block)
    fields = len(list(graph.streams[node.name, "from"].leaves()))
    if _adds_up(block) and block.common.per == "field" and fields == 1:
        _say(diagnostics, node, "warning", "AS306", f"{node.what}: a {block.kind} over one field is always 1",
             "scale several fields, or write `kind: sigmoid`")  # fmt: skip


def _adds_up(block: Block) -> bool:
    """Whether a gate's kind declares that its weights add up to one."""
    return bool(block.settings.adds_up)


def _say(diagnostics: Diagnostics, node: Node, severity: str, code: str, message: str, helps: str = "") -> None:  # noqa: PLR0913, PLR0917 - each is a part of what is made or said
    say = diagnostics.warning if severity == "warning" else diagnostics.note
    say(code, message, node.block.place, notes=node.block.provenance, help=helps)
