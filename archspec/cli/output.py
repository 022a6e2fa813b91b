"""Where a command writes: the default folder, a file, a folder, or standard output."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import click

from archspec.files import write_whole

FOLDER: Final = "build"
"""Where `build` and `render` write without `-o`."""

STDOUT: Final = "-"


def targets(output: str | None, names: list[str]) -> list[str]:
    """The path to write each file to: `output` itself, or the file's name in that folder.

    `output` is a folder where it ends in `/`, is one already, or has to hold several files.

    Raises:
        UsageError: two of the files would be written to one path, or several to standard output.
    """
    if output == STDOUT:
        if len(names) > 1:
            raise click.UsageError(
                "standard output holds one file: name one spec, or write to a folder with `-o FOLDER/`"
            )
        return [STDOUT]
    folder = FOLDER if output is None else output
    is_folder = output is None or _is_folder(output, len(names))
    paths = [str(Path(folder, name)) if is_folder else folder for name in names]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise click.UsageError(f"two of these specs would be written to `{twice}`: they have the same `name`")
    return paths


def put(path: str, data: str | bytes, output: str | None, count: int = 1) -> None:
    """Writes a file, whole or not at all, to a path of `targets`, and prints the path; `-` is standard output.

    A folder that `-o` names is made where it is missing; the folder of a file is not. Raises SpecError as
    `write_whole` does.
    """
    if path == STDOUT:
        click.echo(data.encode() if isinstance(data, str) else data, nl=False)
        return
    write_whole(path, data, parents=output is None or _is_folder(output, count))
    click.echo(path)


def _is_folder(output: str, count: int) -> bool:
    """`Path.is_dir` raises for a name that the system refuses; here it is no folder, and opening it reports it."""
    return count > 1 or output.endswith(("/", os.sep)) or os.path.isdir(output)  # noqa: PTH112 - see the docstring
