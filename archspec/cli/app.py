"""The group of all commands, and what happens when one of them fails."""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module
from typing import Any, Final

import click

from archspec.cli.messages import report
from archspec.diagnostics import SpecError

INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it
PIPE_CLOSED: Final = 141  # 128 + SIGPIPE


COMMANDS: Final = {
    "init": "init",
    "validate": "validate",
    "build": "build",
    "render": "figures",
    "summary": "views",
    "expand": "views",
    "diff": "compare",
    "train": "train",
    "gates": "gates",
    "explain": "explain",
    "kinds": "kinds",
    "schema": "kinds",
}
"""Command -> the module of this package that holds it, in the order in which commands are needed."""


class Commands(click.Group):
    """Commands that are imported when they are asked for; a mistake in a spec never shows a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order in which they are needed."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by its name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"archspec.cli.{COMMANDS[cmd_name]}"), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's signature
        """Run a command; its findings go to standard error, its number becomes the exit status."""
        try:
            status = super().invoke(ctx)
            sys.stdout.flush()
        except SpecError as error:
            report(error.diagnostics)
            status = error.status
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            status = INTERRUPTED
        except BrokenPipeError:
            # Whoever read has seen enough; what is still buffered goes nowhere, without a complaint at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = PIPE_CLOSED
        ctx.exit(status or 0)


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's signature
    """Print the version of what is installed; a checkout that is not has none."""
    if value:
        from importlib.metadata import PackageNotFoundError, version

        try:
            click.echo(f"archspec {version('archspec-mtl')}")
        except PackageNotFoundError:
            click.echo("archspec (a checkout, not installed)")
        ctx.exit()


EPILOG: Final = """
`-` as a spec is standard input. What a command finds goes to standard output, what it has to say to standard error.
Exit status: 0 fine, 1 a spec has errors (or `diff` found a difference), 2 wrong usage or a file that cannot be read
or written. NO_COLOR switches colours off.

\b
Completion of commands and options in bash (zsh_source, fish_source for others):
eval "$(_ARCHSPEC_COMPLETE=bash_source archspec)"
"""


@click.group(cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version."
)
def archspec() -> None:
    """Multi-task recommender models from YAML specs.

    A spec is checked, drawn, counted, and compiled to one readable PyTorch file.
    """


def run() -> int:
    """Run the command line on `sys.argv`; the exit status."""
    # The process is archspec's own: no pydantic plugins to look for (which costs more than checking a spec).
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    gc.set_threshold(100_000)  # most commands end before there is garbage worth looking for
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = archspec.main(prog_name="archspec", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    return int(status or 0)
