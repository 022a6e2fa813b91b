"""Output of commands: to the default folder, a file, a folder, or standard output."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from archspec.files import is_folder, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable

FOLDER: Final = "build"
"""The folder that `build` and `render` write to without `-o`."""

STDOUT: Final = "-"


def targets(output: str | None, names: list[str], reads: Iterable[str] = ()) -> list[str]:
    """The path to write each file to: `output` itself, or the file's name in that folder.

    `output` is a folder if it ends in `/`, if it is an existing folder, or if there are several files. `reads` are the
    files that the command reads, which it must not overwrite.

    Raises:
        UsageError: two files would be written to the same path, or several to standard output, or one to a path that
            the command reads, such as a plugin that has the spec's name.
    """
    if output == STDOUT:
        if len(names) > 1:
            raise click.UsageError(
                "only one file can be written to standard output: give one spec, or write to a folder with `-o FOLDER/`"
            )
        return [STDOUT]
    folder = FOLDER if output is None else output
    is_folder = output is None or _is_folder(output, len(names))
    paths = [str(Path(folder, name)) if is_folder else folder for name in names]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise click.UsageError(f"two of these specs would be written to `{twice}`: they have the same `name`")
    sources = {os.path.realpath(path) for path in reads}
    lost = next((path for path in paths if os.path.realpath(path) in sources), None)
    if lost is not None:
        raise click.UsageError(f"`{lost}` is a file that this command reads: write to another one with `-o`")
    return paths


def put(path: str, data: str | bytes, output: str | None, count: int = 1) -> None:
    """Writes a file completely or not at all to a path of `targets`, and prints the path; `-` is standard output.

    A folder that `-o` names is created if it is missing; the folder of a file is not. Raises SpecError like
    `write_whole`.
    """
    if path == STDOUT:
        click.echo(data.encode() if isinstance(data, str) else data, nl=False)
        return
    write_whole(path, data, parents=output is None or _is_folder(output, count))
    click.echo(path)


def _is_folder(output: str, count: int) -> bool:
    """Whether `output` is a folder; an impossible name is not one, and writing to it reports the error."""
    return count > 1 or output.endswith(("/", os.sep)) or is_folder(output)
