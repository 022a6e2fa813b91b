"""`archspec expand`: the canonical form of a spec."""

from __future__ import annotations

import json

import click

from archspec.cli import options
from archspec.cli.messages import warn


@click.command()
@options.spec
@options.as_json
def expand(spec: str, plugins: tuple[str, ...], overrides: tuple[str, ...], *, as_json: bool) -> None:
    """Print the canonical form of a spec.

    Everything is written out: defaults, variables, `repeat` and `extends`. Two specs with the same canonical form mean
    the same, and expanding twice changes nothing.
    """
    graph = options.load(spec, plugins, overrides)
    warn(graph.spec.diagnostics)
    click.echo(json.dumps(graph.spec.data(), indent=2) + "\n" if as_json else graph.spec.text(), nl=False)
