"""The entry point: from text to a checked Spec and its graph."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from archspec import plugins as plugin_door
from archspec.contract.sees import Sees
from archspec.diagnostics import Diagnostics
from archspec.graph.checks.balance import check_balance
from archspec.graph.checks.check import check
from archspec.graph.checks.lint import lint, report_unread, unread
from archspec.graph.construct.connect import connect
from archspec.program.nodes import NodeName
from archspec.spec.categories import BOTTOM, bottom_blocks
from archspec.spec.load import Overrides, read_spec
from archspec.spec.spec import Block, Level, Spec

if TYPE_CHECKING:
    import os
    from collections.abc import Container, Iterable

    from archspec.contract import Registry
    from archspec.graph.graph import Graph


def load(
    source: str | os.PathLike[str], overrides: Overrides | None = None, plugins: Iterable[plugin_door.Plugin] = ()
) -> Spec:
    """The checked, complete Spec of a file or a text.

    Args:
        source: path of a spec, `-` for standard input, or the text itself.
        overrides: values by path, `{"levels.1.repeat": 3}` or `["levels.1.repeat=3"]`; levels count from 1.
        plugins: plugins with further kinds: files, names of installed plugins, modules, classes.

    Raises:
        SpecError: everything wrong with the spec, at once; its `status` is 1 for a bad spec, 2 for an unreadable file.
    """
    return load_graph(source, overrides, plugin_door.load(plugins)).spec


def load_graph(source: str | os.PathLike[str], overrides: Overrides | None, registry: Registry) -> Graph:
    """The graph of a file or a text, checked and pruned; its `spec` is the canonical one."""
    diagnostics = Diagnostics()
    spec = read_spec(source, registry, diagnostics, overrides or ())
    graph = connect(spec, diagnostics)
    check(graph, diagnostics)
    diagnostics.raise_errors()
    names = unread(graph)
    report_unread(graph, names, diagnostics)
    graph = graph.without(names)
    check_balance(graph, diagnostics)
    diagnostics.raise_errors()
    lint(graph, diagnostics)
    graph.spec = _canonical(spec, graph, names).saying(tuple(diagnostics.items))
    return graph


def graph_of(spec: Spec) -> Graph:
    """The graph of a loaded Spec."""
    diagnostics = Diagnostics()
    graph = connect(spec, diagnostics)
    check(graph, diagnostics)
    diagnostics.raise_errors()
    return graph.without(unread(graph))


def _canonical(spec: Spec, graph: Graph, pruned: Container[str]) -> Spec:
    """The spec without pruned blocks, and with every `sees` written out."""
    levels = []
    kept = {*graph.nodes, *(node.like for node in graph.nodes.values())}
    for number, level in enumerate(spec.levels, 1):
        experts = {
            name: block for name, block in level.experts.items()
            if any(NodeName("experts", name, level=number, number=i) in kept for i in range(block.common.count))
        }  # fmt: skip
        gates = {
            name: _seeing(block, graph, node, level)
            for name, block in level.gates.items()
            if (node := NodeName("gates", name, level=number)) in graph.nodes
        }  # fmt: skip
        levels.append(Level(experts, gates, level.node))
    bottom: dict[str, Any] = {section: {} for section in BOTTOM}
    for node, block in bottom_blocks(spec):
        if node not in pruned or node in kept:
            bottom[node.section][block.name] = block
    return replace(spec, levels=tuple(levels), **bottom)


def _seeing(block: Block, graph: Graph, node: NodeName, level: Level) -> Block:
    """The gate with `sees` as a list of names: a whole group by its name, else `group.index`."""
    items: list[object] = []
    seen, start = graph.seen[node], 0
    while start < len(seen):
        first = seen[start]
        count = level.experts[first.group].common.count if first.group in level.experts else 0
        part = seen[start : start + count]
        whole = [NodeName("experts", first.group, level=node.level, number=index) for index in range(count)]
        if whole and [e.node for e in part] == whole and {e.detached for e in part} == {first.detached}:
            name, start = first.group, start + count
        else:
            one = f"{first.group}.{first.node.number}"
            name, start = one if first.node.level == node.level else str(first.node), start + 1
        items.append({"detach": name} if first.detached else name)
    return replace(block, common=block.common.model_copy(update={"sees": Sees.parse(items)}))
