"""The text of `print(model)`: the parts of a network, each with its kind, shapes and parameters."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from archspec.compiler.count import parameters, sum_of
from archspec.compiler.names import heading
from archspec.graph.widths import tokens_of, width_of
from archspec.spec.spec import Block

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archspec.graph.graph import Graph, Node
    from archspec.program import Program


def parts(graph: Graph, program: Program) -> Iterator[str]:
    """The lines: a heading per section, then one line per input, expert group, gate, tower and fusion."""
    counts = parameters(graph, program)
    nodes = [node for name in graph.order if (node := graph.nodes[name]).category != "task"]
    nodes.sort(key=lambda node: _rank(node, graph))
    for section, members in groupby(nodes, key=lambda node: heading(node.name)):
        yield section
        for title, group in groupby(members, key=_title):
            yield f"  {_line(title, list(group), graph, counts)}"


def _rank(node: Node, graph: Graph) -> int:
    """The sort key of a node: inputs, feature gates, levels, towers, fusions; each in the graph's order."""
    after = {"tower": 1, "fusion": 2}.get(node.category)
    if node.level == 0:
        return -2 if node.category == "input" else -1
    return node.level if after is None else len(graph.spec.levels) + after


def _title(node: Node) -> str:
    if node.category == "expert":
        return f"experts {node.group}"
    name = node.name.name
    if node.category == "gate":
        return f"gate {name}"
    return name if node.case is None else f"{name} for {node.case}"


def _line(title: str, group: Sequence[Node], graph: Graph, counts: dict[str, int | None]) -> str:
    """A line such as `experts shared: 2 mlp [B, 64] -> [B, 32], 12,480 parameters`."""
    node = group[0]
    kind = f"{len(group)} {node.kind}" if len(group) > 1 else node.kind
    if node.category == "gate":
        kind += f" of {len(graph.seen[node.name])} experts"
    stream = graph.streams.get((node.name, "from"))
    reads = (tokens_of(graph, stream), width_of(graph, stream)) if stream is not None else (None, None)
    both = (reads, (graph.tokens.get(node.name), graph.widths.get(node.name)))
    shapes = " -> ".join(f"[B, {f'{count}, ' if count else ''}{width}]" for count, width in both if width is not None)
    number = sum_of(*(counts.get(member.name, 0) for member in group))
    counted = f", {number:,} parameters" if number else ""
    if node.like is not None and isinstance(node.block, Block):
        counted += f", weights of {node.block.common.like}"
    return f"{title}: {kind}{f' {shapes}' if shapes else ''}{counted}"
