"""`archspec diff`: the differences between two specs."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from archspec.cli import completion, options
from archspec.cli.messages import say, warn


@click.command()
@click.argument("old", shell_complete=completion.spec_files)
@click.argument("new", shell_complete=completion.spec_files)
@options.plugins
@options.findings
@options.as_json
def diff(old: str, new: str, plugins: tuple[str, ...], *, as_json: bool) -> int:
    """Print the differences in meaning between two specs.

    Compares the keys of their canonical forms and the nodes of their graphs. Comments, and other anchors, variables and
    defaults that lead to the same network, are ignored. Exits with status 1 if the specs differ.
    """
    from archspec.graph.difference import difference

    if old == new == "-":
        raise click.UsageError("only one of the two specs can be standard input")
    graphs = [options.load(spec, plugins, ()) for spec in (old, new)]
    for graph in graphs:
        warn(graph.spec.diagnostics)
    changes = difference(*graphs)
    if as_json:
        click.echo(json.dumps([asdict(change) for change in changes], indent=2))
    else:
        for change in changes:
            say(str(change))
    return int(bool(changes))
