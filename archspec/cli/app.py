"""The group of all commands, and the handling of their errors."""

from __future__ import annotations

import errno
import gc
import os
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from typing import Any, Final, TextIO

import click

from archspec import __version__
from archspec.cli.messages import report, tell
from archspec.diagnostics import SpecError, suggest, visible, was_interrupted

INTERRUPTED: Final = 130  # 128 + SIGINT, as in shells
PIPE_CLOSED: Final = 141  # 128 + SIGPIPE
DEFECT: Final = 70  # EX_SOFTWARE of sysexits.h

COMMANDS: Final = {
    "init": "init",
    "validate": "validate",
    "build": "build",
    "render": "figures",
    "view": "view",
    "summary": "summary",
    "expand": "expand",
    "diff": "compare",
    "train": "train",
    "predict": "predict",
    "evaluate": "evaluate",
    "export": "export",
    "gates": "gates",
    "importance": "importance",
    "explain": "explain",
    "kinds": "kinds",
    "schema": "kinds",
}
"""Command -> the module of this package that defines it, in the order in which users need them."""


class Commands(click.Group):
    """Commands that are imported when they are used; a mistake in a spec never prints a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order in which users need them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by its name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"archspec.cli.{COMMANDS[cmd_name]}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command named by the first word. Raises UsageError, with the nearest command, for an unknown word."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            guess = suggest(args[0], COMMANDS)
            hint = f"did you mean `{guess}`?" if guess else f"commands: {', '.join(COMMANDS)}"
            ctx.fail(f"no command `{visible(args[0])}`; {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's signature
        """Runs a command; prints its findings to standard error, and uses its return value as the exit status."""
        try:
            status = super().invoke(ctx)
            sys.stdout.flush()
        except SpecError as error:
            report(error.diagnostics)
            status = error.status
        except KeyboardInterrupt:
            tell("interrupted")
            status = INTERRUPTED
        except BrokenPipeError:
            _discard(sys.stdout)  # the reader has closed the pipe
            status = PIPE_CLOSED
        except OSError as error:
            if error.filename is not None or error.errno not in _UNWRITABLE:
                raise
            _discard(sys.stdout)
            reason = "it is closed" if error.errno == errno.EBADF else error.strerror
            click.echo(f"error: standard output cannot be written: {reason}", err=True)
            status = 2
        ctx.exit(status or 0)


_UNWRITABLE: Final = {errno.EBADF, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""Errors of a standard output that is closed, or whose disk is full."""


def _discard(stream: TextIO) -> None:
    """Discards the rest of a stream, so that Python does not complain about it at exit."""
    with suppress(OSError, ValueError):  # a stream in a test has no descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's signature
    """Print the version."""
    if value:
        click.echo(f"archspec {__version__}")
        ctx.exit()


EPILOG: Final = """
A spec `-` is read from standard input. Results go to standard output, messages to standard error.
Exit status: 0 success, 1 a spec has errors (or `diff` found a difference), 2 wrong usage, or a file that cannot be
read or written. NO_COLOR switches colours off, FORCE_COLOR on.

\b
Completion of commands, options, kinds and codes in bash (zsh_source, fish_source for others):
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
    """Runs the command line on `sys.argv`; returns the exit status."""
    # This process belongs to archspec, so pydantic need not look for plugins (which takes longer than checking a spec).
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    gc.set_threshold(100_000)  # most commands end before garbage collection is worthwhile
    _open_closed_streams()
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
    except MemoryError:
        click.echo("error: not enough memory", err=True)
        return 2
    except Exception as error:  # noqa: BLE001 - nothing else reports it
        if was_interrupted(error):
            return INTERRUPTED
        return _defect(error)
    return int(status or 0)


def _defect(error: Exception) -> int:
    """Prints an error that nothing else reports, with the code that raised it; returns the exit status."""
    traceback.print_exc()
    if place := _in_plugin(error):
        click.echo(f"archspec: the error is in the plugin at {place}, see above", err=True)
        return 1
    click.echo("archspec: this is a bug in archspec. Please report it, with the lines above and your input.", err=True)
    return DEFECT


def _in_plugin(error: BaseException) -> str:
    """`file:line` of the last line of a plugin on the way to an error; empty if no plugin was called."""
    from archspec.contract.registry import marked_classes

    modules = {getattr(module, "__file__", None): module for module in [*sys.modules.values()]}
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        module = modules.get(frame.filename)
        name = getattr(module, "__name__", "archspec")
        if name.partition(".")[0] != "archspec" and any(marked_classes(vars(module))):
            return f"{frame.filename}:{frame.lineno}"
    return ""


def _open_closed_streams() -> None:
    """Opens the standard streams of a process that was started without them (`>&-`), so that files do not replace them.

    Writing to such an output fails like writing to a full disk; messages to a missing standard error are lost.
    """
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    taken = os.open(os.devnull, os.O_RDONLY)  # writing to this descriptor fails
    while taken < 2:  # noqa: PLR2004 - standard error, the last of the three
        taken = os.dup(taken)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - it stays open until the process ends
