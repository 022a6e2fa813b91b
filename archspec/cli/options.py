"""Arguments and options that several commands take, and loading of their specs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from archspec.cli.completion import codes, plugin_files, spec_files
from archspec.cli.messages import MODES, be_quiet, ignore, show_progress
from archspec.diagnostics import unusable
from archspec.files import is_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archspec.graph.graph import Graph

Command = TypeVar("Command", bound=Callable[..., Any])

plugins = click.option(
    "--plugin", "plugins", multiple=True, metavar="FILE_OR_PACKAGE", shell_complete=plugin_files,
    help="Import this plugin, which may define further kinds. Only plugins named here are imported.",
)  # fmt: skip
overrides = click.option(
    "--set", "overrides", multiple=True, metavar="PATH=VALUE",
    help="Change a value of the spec, such as levels.1.repeat=3. Lists are counted from 1, as they are written.",
)  # fmt: skip


def names(_context: click.Context, _option: click.Parameter, text: str | None) -> tuple[str, ...]:
    """Parses a list of names such as `ctr,cvr`."""
    return tuple(name for word in (text or "").split(",") if (name := word.strip()))


tasks = click.option(
    "--tasks", metavar="NAME,...", callback=names,
    help="Keep only what these tasks (towers, fusions) need. [default: everything]",
)  # fmt: skip
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


quiet = click.option(
    "-q",
    "--quiet",
    is_flag=True,
    expose_value=False,
    callback=be_quiet,
    help="Print errors only, no warnings or notes.",
)
progress = click.option(
    "--progress", type=click.Choice(MODES), expose_value=False, callback=show_progress,
    help="How to show progress on standard error: a bar, lines alone, a JSON object per line, or nothing. "
    "[default: bar on a terminal, else plain]",
)  # fmt: skip
ignored = click.option(
    "--ignore", multiple=True, expose_value=False, metavar="CODE", envvar="ARCHSPEC_IGNORE", callback=ignore,
    shell_complete=codes, help="Do not print warnings and notes with this code, such as AS307. [env: ARCHSPEC_IGNORE]",
)  # fmt: skip


def applied(options: Sequence[Callable[[Command], Command]], command: Command) -> Command:
    """Adds several options to a command; `--help` lists them in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def findings(command: Command) -> Command:
    """Adds the options that select the findings to print."""
    return quiet(ignored(command))


def shown(command: Command) -> Command:
    """Adds the options that select what is printed to standard error."""
    return progress(findings(command))


def spec(command: Command) -> Command:
    """Adds the argument SPEC and the options for reading it."""
    argument = click.argument("spec", shell_complete=spec_files)
    return argument(plugins(overrides(findings(command))))


def specs(command: Command) -> Command:
    """Adds the arguments SPEC..., where a folder means all specs below it, and the options for reading them."""
    argument = click.argument(
        "specs", nargs=-1, required=True, metavar="SPEC...", callback=in_folders, shell_complete=spec_files
    )
    return argument(plugins(overrides(findings(command))))


def in_folders(_context: click.Context, _argument: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
    """Replaces each folder by the specs below it. Raises SpecError AS002 for a folder without specs."""
    found: list[str] = []
    for word in words:
        if not is_folder(word):
            found.append(word)
            continue
        specs = list(_specs_below(Path(word)))
        if not specs:
            unusable(
                "AS002", f"the folder `{word}` contains no spec",
                help="a spec is a file that ends in .yaml or .yml and has a key `archspec` at its top level",
            )  # fmt: skip
        found += specs
    return tuple(found)


_MARK = re.compile(rb"""^(\xef\xbb\xbf)?(\{\s*)?["']?archspec["']?\s*:""", re.MULTILINE)
_LOOKED_AT = 1 << 20  # bytes to read of each file in a folder; no spec is larger


def _specs_below(folder: Path) -> Iterator[str]:
    """The specs in a folder and its subfolders, in order; hidden files are skipped."""
    for path in sorted(folder.rglob("*.y*ml")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix in {".yaml", ".yml"} and path.is_file() and not hidden:
            with path.open("rb") as file:
                if _MARK.search(file.read(_LOOKED_AT)):
                    yield str(path)


def load(spec: str, plugins: tuple[str, ...], overrides: tuple[str, ...]) -> Graph:
    """The checked graph of a spec. Raises SpecError with everything wrong with it."""
    from archspec.graph.load import load_graph
    from archspec.plugins import load as load_plugins

    return load_graph(spec, overrides, load_plugins(plugins))
