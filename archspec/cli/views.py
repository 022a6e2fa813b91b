"""`archspec summary` and `archspec expand`: the contents of a spec."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from archspec.cli import options
from archspec.cli.messages import show, warn
from archspec.diagnostics import visible

if TYPE_CHECKING:
    from archspec.compiler.count import Count
    from archspec.graph.graph import Graph


@click.command()
@options.spec
@options.as_json
def expand(spec: str, plugins: tuple[str, ...], overrides: tuple[str, ...], *, as_json: bool) -> None:
    """Print the canonical form of a spec.

    Defaults, variables, repeats and `extends` are written out; expanding twice changes nothing.
    """
    graph = options.load(spec, plugins, overrides)
    warn(graph.spec.diagnostics)
    click.echo(json.dumps(graph.spec.data(), indent=2) + "\n" if as_json else graph.spec.text(), nl=False)


@click.command()
@options.spec
@options.as_json
def summary(spec: str, plugins: tuple[str, ...], overrides: tuple[str, ...], *, as_json: bool) -> None:
    """Print nodes, widths, parameters and FLOPs.

    Every node of the graph with its kind, width, parameters, FLOPs per row, and the tasks that train it.
    FLOPs are those of one row's forward pass in the plain model; a multiply-add counts as 2.
    """
    from archspec.compiler.count import count

    graph = options.load(spec, plugins, overrides)
    warn(graph.spec.diagnostics)
    counted = count(graph)
    if as_json:
        click.echo(json.dumps(summed_up(graph, counted), indent=2))
    else:
        _print_table(graph, counted)


def summed_up(graph: Graph, counted: Count) -> dict[str, Any]:
    """The summary as data; null if a plugin does not declare a number."""
    nodes = [
        {
            "node": name,
            "category": node.category,
            "kind": node.kind,
            **({"like": node.like} if node.like else {}),
            "width": graph.widths[name],
            "parameters": counted.nodes[name].parameters,
            "flops": counted.nodes[name].flops,
            "tasks": list(graph.tasks[name]),
        }
        for name, node in ((name, graph.nodes[name]) for name in graph.order)
        if node.category != "task"
    ]
    total = {"parameters": counted.total.parameters, "flops": counted.total.flops}
    spec = graph.spec
    head = {"name": spec.name, "about": spec.about, "digest": spec.digest, "tasks": list(spec.tasks)}
    return {**head, "nodes": nodes, "total": total}


def _print_table(graph: Graph, counted: Count) -> None:
    """The summary for people."""
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE, show_footer=True, pad_edge=False)
    known, exact = counted.known, counted.total
    table.add_column("node", "total", overflow="fold")
    table.add_column("kind")
    table.add_column("width", justify="right")
    table.add_column("parameters", _total(known.parameters, exact.parameters), justify="right")
    table.add_column("FLOPs/row", _total(known.flops, exact.flops), justify="right")
    table.add_column("trained by", overflow="fold")
    every = tuple(graph.spec.tasks)
    for row in summed_up(graph, counted)["nodes"]:
        tasks = "all" if tuple(row["tasks"]) == every else ", ".join(row["tasks"])
        numbers = (_number(row[key]) for key in ("width", "parameters", "flops"))
        kind = f"{row['kind']}, like {row['like']}" if "like" in row else row["kind"]
        table.add_row(*map(Text, (row["node"], kind, *numbers, tasks)))
    show(Text(visible(f"{graph.spec.name}  {graph.spec.about}".rstrip())), table)


def _number(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def _total(known: int | None, exact: int | None) -> str:
    return f"{known:,}" if exact is not None else f"at least {known:,}"
