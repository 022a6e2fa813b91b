"""`archspec init`: a commented spec, or a plugin with its test, to start from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import click

from archspec.cli import completion
from archspec.cli.output import STDOUT, put, targets
from archspec.cli.plugin_files import CATEGORIES, write_plugin
from archspec.diagnostics import suggest, unusable

TEMPLATES: Final = Path(__file__).parent / "templates"


@click.command()
@click.argument("name", required=False, shell_complete=completion.templates)
@click.option(
    "-o", "--output", metavar="FILE_OR_FOLDER", help="Where to write; `-`: standard output. [default: NAME.yaml]"
)
@click.option(
    "--plugin",
    "category",
    type=click.Choice(CATEGORIES),
    metavar="CATEGORY",
    help=f"Write a plugin with a kind NAME of this category, and its test. One of {', '.join(CATEGORIES)}.",
)
@click.option("--force", is_flag=True, help="Overwrite a file that exists.")
def init(name: str | None, output: str | None, category: str | None, *, force: bool) -> None:
    """Write a commented spec to start from, or a plugin.

    NAME is that of a known architecture; without it, they are listed. With --plugin it is the name of a new kind.
    """
    if category is not None:
        _init_plugin(category, name, output, force=force)
        return
    known = templates()
    if name is None:
        for each, about in known.items():
            click.echo(f"{each:<{max(map(len, known))}}  {about}")
        return
    if name not in known:
        guess = suggest(name, known)
        helps = f"did you mean `{guess}`?" if guess else f"there are {', '.join(known)}"
        raise click.UsageError(f"no template `{name}`; {helps}")
    text = (TEMPLATES / f"{name}.yaml").read_text(encoding="utf-8")
    output = output or "./"
    (path,) = targets(output, [f"{name}.yaml"])
    if path != STDOUT and not force and os.path.lexists(path):
        unusable(
            "AS013", f"`{path}` exists already", help="write elsewhere with `-o FILE`, or overwrite it with `--force`"
        )
    put(path, text, output)


def _init_plugin(category: str, name: str | None, folder: str | None, *, force: bool) -> None:
    """Writes the two files of a plugin and prints their paths."""
    if name is None:
        raise click.UsageError(f"a plugin needs a name: archspec init --plugin {category} my_{category}")
    if folder == "-":
        raise click.UsageError("a plugin and its test are two files: `-o` takes a folder")
    for path in write_plugin(category, name, folder, force=force):
        click.echo(path)


def templates() -> dict[str, str]:
    """The architectures that there is a template for, and where each comes from."""
    return {path.stem: _about(path) for path in sorted(TEMPLATES.glob("*.yaml"))}


def _about(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((line.removeprefix("about:").strip() for line in lines if line.startswith("about:")), "")
