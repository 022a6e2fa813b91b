"""`archspec summary`: a network in numbers."""

from __future__ import annotations

import json
from itertools import groupby
from textwrap import wrap
from typing import TYPE_CHECKING, Final

import click

from archspec.cli import options
from archspec.cli.messages import say, warn
from archspec.cli.tables import Column, number, table
from archspec.wrapping import WIDTH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from archspec.compiler.summary import NodeSummary, Summary
    from archspec.program.nodes import NodeName

NAMED: Final = 3
"""At most this many tasks are named in a row; if there are more, it gives their number."""


@click.command()
@options.spec
@options.as_json
def summary(spec: str, plugins: tuple[str, ...], overrides: tuple[str, ...], *, as_json: bool) -> None:
    """Print widths, parameters and FLOPs.

    One line for each node, with its kind, width, parameters, FLOPs and the tasks that train it. Equal experts share a
    line: `× 3` means three of them, and the line gives their sum. A heading gives the sum of its section; a
    section and a node make a canonical name, such as `level1` and `gates.ctr`.

    The second table has a line for each task: the FLOPs and parameters that its score needs, which is the cost of
    serving this task alone; the parameters that only its loss trains, and those that it trains together with other
    tasks; and, if there are any, those that its score needs but its loss does not train.

    FLOPs are those of one row's forward pass in the plain model; a multiply-add counts as 2.
    """
    from archspec.compiler.summary import summarize

    graph = options.load(spec, plugins, overrides)
    warn(graph.spec.diagnostics)
    found = summarize(graph)
    say(json.dumps(found.model_dump(mode="json"), indent=2) if as_json else _text(found, graph.order))


def _text(found: Summary, names: Iterable[NodeName]) -> str:
    """The summary for people, 80 columns wide."""
    title = wrap(f"{found.name}  {found.about}", WIDTH, break_long_words=False, break_on_hyphens=False)
    parts = [title, _node_table(found, {name: name for name in names}), _task_table(found)]
    return "\n\n".join("\n".join(lines) for lines in parts)


def _node_table(found: Summary, names: dict[str, NodeName]) -> list[str]:
    columns = [
        Column("node"), Column("kind"), Column("width", numbers=True), Column("parameters", numbers=True),
        Column("FLOPs/row", numbers=True), Column("trained by"),
    ]  # fmt: skip
    sections: dict[str, list[NodeSummary]] = {}
    for node in found.nodes:
        sections.setdefault(_section(names[node.node]), []).append(node)
    rows: list[Sequence[str]] = []
    for section, nodes in sections.items():
        rows += [(section, "", "", *_sums(nodes), ""), *_node_rows(section, nodes, names, found.tasks)]
    total = (number(found.total.parameters), number(found.total.flops))
    if found.total.parameters is None or found.total.flops is None:
        total = _sums(found.nodes)
    rows += [("",), ("total", "", "", *total, "")]
    rows += [("  tables", "", "", number(found.tables), "", ""), ("  dense", "", "", number(found.dense), "", "")]
    return table(columns, rows)


def _section(name: NodeName) -> str:
    return f"level{name.level}" if name.level else name.section


def _node_rows(
    section: str, nodes: Sequence[NodeSummary], names: dict[str, NodeName], tasks: Sequence[str]
) -> Iterator[Sequence[str]]:
    """A row for each node or run of equal ones, then what its weights are shared with."""
    for _, run in groupby(nodes, lambda node: _likeness(node, names)):
        same = list(run)
        for part in [same] if _may_fold(same, nodes, names) else [[node] for node in same]:
            first, count = part[0], len(part)
            label = _label(part, nodes, names).removeprefix(f"{section}.")
            width = f"{first.tokens} × {first.width}" if first.tokens else number(first.width)
            numbers = (width, *_sums(part))
            yield (f"  {label}", first.kind, *numbers, _trained_by(first.tasks, tasks))
            for other in first.weights_of:
                yield (f"    weights of {names[other].whole if count > 1 else other}",)


def _likeness(node: NodeSummary, names: dict[str, NodeName]) -> tuple[object, ...]:
    """What equal nodes have in common: their group or switch, and all that a row says."""
    name, lenders = names[node.node], tuple(names[other].whole for other in node.weights_of)
    return name.whole, node.kind, node.width, node.tokens, node.parameters, node.flops, node.tasks, lenders


def _may_fold(same: Sequence[NodeSummary], nodes: Iterable[NodeSummary], names: dict[str, NodeName]) -> bool:
    """Whether equal nodes share a row: experts of a group do; cases of a switch do if all of them are equal."""
    name = names[same[0].node]
    return len(same) > 1 and (name.case is None or len(same) == _members(name, nodes, names))


def _members(name: NodeName, nodes: Iterable[NodeSummary], names: dict[str, NodeName]) -> int:
    """How many experts a node's group has, or how many cases its switch has."""
    return sum(names[node.node].whole == name.whole for node in nodes)


def _label(part: Sequence[NodeSummary], nodes: Iterable[NodeSummary], names: dict[str, NodeName]) -> str:
    """`level1.experts.ctr × 3` for all experts of a group, `level1.experts.ctr.1-2` for some of them."""
    name, last = names[part[0].node], names[part[-1].node]
    if len(part) == 1:
        return name
    if len(part) < _members(name, nodes, names):
        return f"{name.whole}.{name.number}-{last.number}"
    return f"{name.whole} × {len(part)}"


def _trained_by(trained: Sequence[str], tasks: Sequence[str]) -> str:
    if list(trained) == list(tasks):
        return "all"
    others = [task for task in tasks if task not in trained]
    if trained and len(others) < min(len(trained), NAMED):
        return f"all but {', '.join(others)}"
    return ", ".join(trained) or "none" if len(trained) <= NAMED else f"{len(trained)} of {len(tasks)} tasks"


def _task_table(found: Summary) -> list[str]:
    idle = any(task.untrained != 0 for task in found.by_task)
    headings = ("FLOPs/row", "parameters", "trains alone", "with others", *(["untrained"] if idle else []))
    columns = [Column("task"), *(Column(heading, numbers=True) for heading in headings)]
    rows = []
    for task in found.by_task:
        numbers = (task.flops, task.parameters, task.alone, task.shared, *([task.untrained] if idle else []))
        rows.append((task.task, *map(number, numbers)))
    return table(columns, rows)


def _sums(nodes: Iterable[NodeSummary]) -> tuple[str, str]:
    """Parameters and FLOPs of several nodes; a lower bound if a plugin's module does not report its own."""
    rows = list(nodes)
    return _sum([row.parameters for row in rows]), _sum([row.flops for row in rows])


def _sum(numbers: Sequence[int | None]) -> str:
    known = [number for number in numbers if number is not None]
    return number(None) if not known and numbers else f"{'' if len(known) == len(numbers) else '>= '}{sum(known):,}"
