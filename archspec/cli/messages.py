"""Messages on standard error: for people, in colour on a terminal; or for programs, as lines of JSON."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any, Literal, get_args

import click

from archspec.diagnostics import in_order, render, visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

    from archspec.diagnostics import Diagnostic, Style

WIDE = 10_000  # columns if the output is not a terminal

Mode = Literal["bar", "plain", "json", "none"]
"""How progress is shown: a bar, lines alone, lines of JSON, or not at all."""
MODES: tuple[Mode, ...] = get_args(Mode)

_QUIET = "archspec.quiet"
_PROGRESS = "archspec.progress"
_IGNORED = "archspec.ignored"


def colored(stream: IO[str]) -> bool:
    """Whether to use colours on a stream.

    NO_COLOR turns them off (https://no-color.org), FORCE_COLOR on (https://force-color.org); otherwise they are used on
    a terminal.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def be_quiet(context: click.Context, _option: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's signature
    """Suppresses warnings and notes from now on."""
    context.meta[_QUIET] = value


def ignore(context: click.Context, _option: click.Parameter, codes: tuple[str, ...]) -> None:
    """Suppresses warnings and notes of these codes from now on. Raises BadParameter for an unknown code."""
    from archspec.diagnostics import CODES, suggest

    wanted = {code.upper() for word in codes for code in word.replace(",", " ").split()}
    if unknown := sorted(wanted - set(CODES)):
        guess = suggest(unknown[0], CODES)
        raise click.BadParameter(f"no code `{unknown[0]}`" + (f"; did you mean `{guess}`?" if guess else ""))
    context.meta[_IGNORED] = wanted


def is_quiet() -> bool:
    """Whether the running command was called with `--quiet`."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_QUIET))


def show_progress(context: click.Context, _option: click.Parameter, mode: Mode | None) -> None:
    """Sets how progress is shown from now on."""
    context.meta[_PROGRESS] = mode


def progress_mode() -> Mode:
    """How the running command shows progress. A bar needs a terminal; `--quiet` shows nothing."""
    context = click.get_current_context(silent=True)
    asked: Mode | None = context.meta.get(_PROGRESS) if context else None
    if is_quiet():
        return "none"
    if asked not in {None, "bar"}:
        return asked
    return "bar" if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else "plain"


def event(name: str, **values: Any) -> None:  # noqa: ANN401 - anything that JSON can hold
    """Prints an object of JSON to standard error, as one line."""
    click.echo(json.dumps({"event": name, **values}), err=True)


def tell(line: str) -> None:
    """Prints a line to standard error, as an object if progress is shown as JSON."""
    if progress_mode() == "json":
        event("message", text=line)
    else:
        click.echo(line, err=True)


def wanted(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The findings that `--quiet` and `--ignore` do not suppress. Errors are never suppressed."""
    context = click.get_current_context(silent=True)
    ignored = context.meta.get(_IGNORED, ()) if context else ()
    quiet = is_quiet()
    return tuple(item for item in diagnostics if item.severity == "error" or not (quiet or item.code in ignored))


def say(text: str) -> None:
    """Prints text to standard output, with control characters escaped."""
    click.echo("\n".join(map(visible, text.split("\n"))))


def report(diagnostics: Iterable[Diagnostic], style: Style = "full") -> None:
    """Prints findings to standard error, if there are any that the user wants to see."""
    if progress_mode() == "json":
        for item in in_order(wanted(diagnostics)):
            event("finding", **asdict(item))
    elif text := render(wanted(diagnostics), style, color=colored(sys.stderr)):
        click.echo(text, err=True, color=True)


def warn(diagnostics: Iterable[Diagnostic]) -> None:
    """Prints the warnings of a valid spec; only `validate` and `build` print its notes."""
    report(item for item in diagnostics if item.severity == "warning")


def show(*parts: RenderableType) -> None:
    """Prints tables and lines to standard output, as wide as the terminal; if it is not a terminal, no line is cut."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else WIDE
    console = Console(file=sys.stdout, width=width, markup=False, highlight=False, emoji=False)
    for part in parts:
        console.print(part)
