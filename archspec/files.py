"""Writes whole files: a reader sees the old content or the new one, never a half."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from secrets import token_hex

from archspec.diagnostics import unusable


def write_whole(path: str | os.PathLike[str], data: str | bytes, *, parents: bool = False) -> None:
    """Write `data` (text as UTF-8) to `path`: beside it first, then in its place. An existing file keeps its mode.

    Missing folders are made only with `parents`. A link is followed, and a device or pipe is written to directly.
    Raises SpecError with status 2, and leaves the folder as it was, where that is not possible.
    """
    content = data.encode() if isinstance(data, str) else data
    if "\0" in os.fspath(path):
        unusable("AS013", f"`{path}` cannot be written: a zero byte in the name")
    target = Path(os.path.realpath(path))
    try:
        if parents:
            target.parent.mkdir(parents=True, exist_ok=True)
        _write(target, content)
    except IsADirectoryError:
        unusable("AS012", f"`{path}` is a folder", help="name a file in it")
    except FileNotFoundError:
        unusable(
            "AS011", f"there is no folder `{Path(path).parent}` to write `{Path(path).name}` to", help="make it first"
        )
    except OSError as error:
        unusable("AS013", f"`{path}` cannot be written: {error.strerror}")


def _write(target: Path, content: bytes) -> None:
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and not stat.S_ISREG(mode):
        target.write_bytes(content)  # raises IsADirectoryError for a folder
        return
    beside = target.with_name(f".{target.name[:100]}.{token_hex(4)}.tmp")
    try:
        with beside.open("xb") as file:
            file.write(content)
        if mode is not None:
            beside.chmod(stat.S_IMODE(mode))
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
