"""What archspec says to a person: findings on standard error, in colour on a terminal."""

from __future__ import annotations

import os
import sys
from typing import IO, TYPE_CHECKING

import click

from archspec.diagnostics import render

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

    from archspec.diagnostics import Diagnostic, Style

WIDE = 10_000  # columns where no terminal cuts the lines


def colored(stream: IO[str]) -> bool:
    """Whether colours belong on a stream: a terminal, and no NO_COLOR (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def report(diagnostics: Iterable[Diagnostic], style: Style = "full") -> None:
    """Print findings to standard error, if there are any."""
    if text := render(diagnostics, style, color=colored(sys.stderr)):
        click.echo(text, err=True, color=True)


def warn(diagnostics: Iterable[Diagnostic]) -> None:
    """Print the warnings of a spec that is fine; its notes are for `validate` and `build`."""
    report(item for item in diagnostics if item.severity == "warning")


def show(*parts: RenderableType) -> None:
    """Print tables and lines to standard output, as wide as the terminal; elsewhere no line is cut."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else WIDE
    console = Console(file=sys.stdout, width=width, markup=False, highlight=False, emoji=False)
    for part in parts:
        console.print(part)
