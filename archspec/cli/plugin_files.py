"""The files that `archspec init --plugin` writes: a working plugin, and its test."""

from __future__ import annotations

import keyword
import os
import re
import sys
from pathlib import Path
from typing import Final

import click

from archspec.diagnostics import unusable

TEMPLATES: Final = Path(__file__).parent / "templates" / "plugins"
CATEGORIES: Final = ("input", "expert", "gate", "feature_gate", "tower", "fusion", "task", "loss", "balance")
"""Written out here so that `archspec init --help` does not import pydantic."""


def write_plugin(category: str, name: str, folder: str | None, *, force: bool) -> tuple[Path, Path]:
    """Writes `NAME.py` and `test_NAME.py` into a folder, which is created if it is missing; returns their paths.

    Raises:
        UsageError: NAME cannot be the name of a kind and of its file.
        SpecError: a file already exists and `force` is not given, or cannot be written. Then neither file is written.
    """
    from archspec.files import write_whole

    _check_name(category, name)
    place = Path(folder or ".")
    files = {place / f"{name}.py": f"{category}.py.txt", place / f"test_{name}.py": "test.py.txt"}
    for path in files:
        if not force and os.path.lexists(path):
            unusable(
                "AS013",
                f"`{path}` already exists",
                help="write elsewhere with `-o FOLDER`, or overwrite it with `--force`",
            )
    for path, template in files.items():
        write_whole(path, _filled((TEMPLATES / template).read_text(encoding="utf-8"), category, name), parents=True)
    plugin, test = files
    return plugin, test


def _filled(text: str, category: str, name: str) -> str:
    cls = "".join(word.capitalize() for word in name.split("_"))
    return text.replace("my_kind", name).replace("MyKind", cls).replace("CATEGORY", category)


def _check_name(category: str, name: str) -> None:
    """Raises UsageError if the name is invalid or taken by a kind, or if the file would hide a module."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or keyword.iskeyword(name):
        raise click.UsageError(
            f"`{name}` cannot be the name of a plugin: use lower-case words, such as `my_{category}`"
        )
    from archspec.plugins import built_in

    if built_in().find(category, name) is not None:
        raise click.UsageError(f"archspec already has a {category} kind `{name}`; choose another name")
    if name in sys.stdlib_module_names or name in {"archspec", "torch"} | set(CATEGORIES):
        raise click.UsageError(f"`{name}.py` would hide the module `{name}`; choose another name, such as `my_{name}`")
