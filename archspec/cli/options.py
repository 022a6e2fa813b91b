"""Arguments and options that several commands take, and the specs that they name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from archspec.graph.graph import Graph

_Command = TypeVar("_Command", bound=Callable[..., Any])

plugins = click.option(
    "--plugin", "plugins", multiple=True, metavar="FILE_OR_PACKAGE",
    help="Import this plugin, which may define further kinds. Only plugins named here are imported.",
)  # fmt: skip
overrides = click.option(
    "--set", "overrides", multiple=True, metavar="PATH=VALUE",
    help="Set a value of the spec, such as levels.1.repeat=3; levels count from 1.",
)  # fmt: skip
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def spec(command: _Command) -> _Command:
    """The argument SPEC and the options that say how it is read."""
    return click.argument("spec")(plugins(overrides(command)))


def specs(command: _Command) -> _Command:
    """The arguments SPEC... and the options that say how they are read."""
    return click.argument("specs", nargs=-1, required=True, metavar="SPEC...")(plugins(overrides(command)))


def load(spec: str, plugins: tuple[str, ...], overrides: tuple[str, ...]) -> Graph:
    """The checked graph of a spec. Raises SpecError with everything wrong with it."""
    from archspec.graph.load import load_graph
    from archspec.plugins import load as load_plugins

    return load_graph(spec, overrides, load_plugins(plugins))
