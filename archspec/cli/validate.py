"""`archspec validate`: reports everything wrong with specs, at once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from archspec.cli import options
from archspec.cli.messages import is_quiet, report, wanted
from archspec.diagnostics import SpecError, Style, in_order, render, visible

if TYPE_CHECKING:
    from archspec.diagnostics import Diagnostic

DATA: tuple[Style, ...] = ("json", "github")
"""Machine-readable formats: printed to standard output, for all specs together."""


@click.command()
@options.specs
@click.option(
    "--format", "style", type=click.Choice(["full", "concise", "json", "github"]), default="full", show_default=True,
    help="How findings are printed; json and github go to standard output.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON, like --format json.")
@click.option("--strict", is_flag=True, help="Exit with status 1 on warnings, too.")
def validate(  # noqa: PLR0913 - one argument per option
    specs: tuple[str, ...],
    plugins: tuple[str, ...],
    overrides: tuple[str, ...],
    style: Style,
    *,
    as_json: bool,
    strict: bool,
) -> int:
    """Check specs, and print everything wrong with them.

    Checks the YAML, names, references, widths, cycles, and what each kind requires. Prints errors, warnings and notes,
    each with its place and, if there is one, a fix; `archspec explain CODE` explains its code. A folder means all specs
    below it. Exits with status 1 if a spec has an error, 2 if a file cannot be read.
    """
    style = "json" if as_json else style
    found: list[Diagnostic] = []
    worst = 0
    for place, spec in enumerate(specs):
        status, every = check(spec, plugins, overrides)
        diagnostics = wanted(every)
        strictly = strict and any(item.severity == "warning" for item in diagnostics)
        worst = max(worst, status, int(strictly))
        found += diagnostics
        if style not in DATA:
            if place and style == "full" and diagnostics:
                click.echo(err=True)
            report(diagnostics, style)
            if not status and not strictly and not is_quiet():
                click.echo(f"{'<stdin>' if spec == '-' else visible(spec)}: valid")
            sys.stdout.flush()
    if style in DATA and (text := render(found, style)):
        click.echo(text)
    return worst


def check(spec: str, plugins: tuple[str, ...], overrides: tuple[str, ...]) -> tuple[int, tuple[Diagnostic, ...]]:
    """The exit status for a spec, and all findings about it."""
    from archspec.graph.checks.heavy import may_be_heavy

    try:
        graph = options.load(spec, plugins, overrides)
        if not may_be_heavy(graph):
            return 0, in_order(graph.spec.diagnostics)
        from archspec.compiler.lower import lower

        return 0, in_order((*graph.spec.diagnostics, *lower(graph).findings))
    except SpecError as error:
        return error.status, error.diagnostics
