"""`archspec validate`: everything wrong with specs, at once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from archspec.cli import options
from archspec.cli.messages import report
from archspec.diagnostics import SpecError, Style, render, visible

if TYPE_CHECKING:
    from archspec.diagnostics import Diagnostic

DATA: tuple[Style, ...] = ("json", "github")
"""Formats that programs read: printed to standard output, all specs together."""


@click.command()
@options.specs
@click.option(
    "--format", "style", type=click.Choice(["full", "concise", "json", "github"]), default="full", show_default=True,
    help="How findings are printed; json and github go to standard output.",
)  # fmt: skip
@click.option("--strict", is_flag=True, help="Exit with status 1 on warnings, too.")
def validate(
    specs: tuple[str, ...], plugins: tuple[str, ...], overrides: tuple[str, ...], style: Style, *, strict: bool
) -> int:
    """Check specs, and print everything wrong with them.

    YAML, names, references, widths, cycles, and what each kind asks for; warnings and notes, too.
    """
    found: list[Diagnostic] = []
    worst = 0
    for place, spec in enumerate(specs):
        status, diagnostics = check(spec, plugins, overrides)
        strictly = strict and any(item.severity == "warning" for item in diagnostics)
        worst = max(worst, status, int(strictly))
        found += diagnostics
        if style not in DATA:
            if place and style == "full" and diagnostics:
                click.echo(err=True)
            report(diagnostics, style)
            if not status and not strictly:
                click.echo(f"{visible(spec)}: valid")
            sys.stdout.flush()
    if style in DATA and (text := render(found, style)):
        click.echo(text)
    return worst


def check(spec: str, plugins: tuple[str, ...], overrides: tuple[str, ...]) -> tuple[int, tuple[Diagnostic, ...]]:
    """The exit status that a spec deserves, and everything to say about it."""
    try:
        return 0, options.load(spec, plugins, overrides).spec.diagnostics
    except SpecError as error:
        return error.status, error.diagnostics
