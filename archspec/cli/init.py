"""`archspec init`: the spec of a published architecture, or a plugin with its test, to start from."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from archspec.cli import completion
from archspec.cli.architectures import architectures, files_of
from archspec.cli.output import STDOUT, put, targets
from archspec.cli.plugin_files import CATEGORIES, write_plugin
from archspec.diagnostics import suggest, unusable


@click.command()
@click.argument("name", required=False, shell_complete=completion.templates)
@click.option(
    "-o",
    "--output",
    metavar="FILE_OR_FOLDER",
    help="File or folder to write to; `-` is standard output. [default: NAME.yaml]",
)
@click.option(
    "--plugin",
    "category",
    type=click.Choice(CATEGORIES),
    metavar="CATEGORY",
    help=f"Write a plugin with a kind NAME of this category, and its test. One of {', '.join(CATEGORIES)}.",
)
@click.option("--force", is_flag=True, help="Overwrite existing files.")
def init(name: str | None, output: str | None, category: str | None, *, force: bool) -> None:
    """Write the spec of an architecture to start from, or a plugin.

    NAME is the name of an architecture; without it, they are listed. If its spec needs a plugin, or extends another
    spec, these are written next to it. With --plugin, NAME is the name of a new kind.
    """
    if category is not None:
        _init_plugin(category, name, output, force=force)
        return
    known = architectures()
    if name is None:
        for each, about in known.items():
            click.echo(f"{each:<{max(map(len, known))}}  {about}")
        return
    if name not in known:
        guess = suggest(name, known)
        helps = f"did you mean `{guess}`?" if guess else f"architectures: {', '.join(known)}"
        raise click.UsageError(f"no architecture `{name}`; {helps}")
    _init_spec(name, output or "./", force=force)


def _init_spec(name: str, output: str, *, force: bool) -> None:
    """Writes a spec, and next to it the files that it needs; existing files with the same text are kept."""
    texts = files_of(name)
    if output == STDOUT and len(texts) > 1:
        raise click.UsageError(f"`{name}` consists of several files ({', '.join(texts)}): give `-o` a file or a folder")
    (spec,) = targets(output, [f"{name}.yaml"])
    beside = [str(Path(spec).with_name(file)) for file in list(texts)[1:]]
    if spec in beside:
        raise click.UsageError(f"`{spec}` is the name of a file that `{name}` needs: choose another name for the spec")
    new = dict(zip((spec, *beside), texts.values(), strict=True))
    new = {path: text for path, text in new.items() if path == spec or not _holds(path, text)}
    for path in new:
        if path != STDOUT and not force and os.path.lexists(path):
            unusable(
                "AS013",
                f"`{path}` already exists",
                help="write elsewhere with `-o FILE`, or overwrite it with `--force`",
            )
    for path, text in new.items():
        put(path, text, output)
    plugins = [word for path in beside if path.endswith(".py") for word in ("--plugin", path)]
    if plugins:
        click.echo(f"the spec needs its plugin: {shlex.join(['archspec', 'validate', spec, *plugins])}", err=True)


def _holds(path: str, text: str) -> bool:
    """Whether a file contains exactly this text."""
    try:
        return Path(path).read_bytes() == text.encode()
    except OSError:
        return False


def _init_plugin(category: str, name: str | None, folder: str | None, *, force: bool) -> None:
    """Writes the two files of a plugin and prints their paths."""
    if name is None:
        raise click.UsageError(f"a plugin needs a name: archspec init --plugin {category} my_{category}")
    if folder == "-":
        raise click.UsageError("a plugin and its test are two files: give `-o` a folder")
    for path in write_plugin(category, name, folder, force=force):
        click.echo(path)
