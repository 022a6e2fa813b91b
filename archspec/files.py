"""Writes files atomically: a reader sees the old content or the new one, never a partial file."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

from archspec.diagnostics import suggest, unusable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import IO, NoReturn

_KEPT = 50
"""How many characters of a file's name its temporary name keeps: few enough to fit even at four bytes each."""


def ending_of(path: str | os.PathLike[str], known: Iterable[str]) -> str:
    """The suffix of a figure's file, such as `.svg`, in lower case. Raises SpecError AS604 if it is not in `known`."""
    suffix, endings = Path(path).suffix.lower(), tuple(known)
    if suffix not in endings:
        meant, listed = suggest(suffix, endings), ", ".join(endings)
        unusable(
            "AS604",
            f"`{Path(path).name}` does not end in a known format of figures",
            help=f"did you mean `{meant}`? Known endings: {listed}" if meant else f"known endings: {listed}",
        )
    return suffix


def is_there(path: str | os.PathLike[str]) -> bool:
    """Whether something exists at a path. For an impossible name (too long, a zero byte) it is False; `Path` raises."""
    return os.path.exists(path)  # noqa: PTH110 - see above


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a file; False for an impossible name, as in `is_there`."""
    return os.path.isfile(path)  # noqa: PTH113 - see `is_there`


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a folder; False for an impossible name, as in `is_there`."""
    return os.path.isdir(path)  # noqa: PTH112 - see `is_there`


def names_in(folder: str | os.PathLike[str]) -> list[str]:
    """The names in a folder, at most a thousand; empty if it cannot be read."""
    try:
        with os.scandir(os.fspath(folder) or ".") as found:
            return [entry.name for _, entry in zip(range(1000), found, strict=False)]
    except OSError:
        return []


def missing(path: str) -> NoReturn:
    """Raises SpecError AS001, for a file that does not exist; the help suggests one with a similar name there."""
    folder, base = os.path.split(path)
    if not is_folder(folder or "."):
        unusable("AS001", f"there is no file `{path}`", help=f"there is no folder `{folder}` either")
    meant = suggest(base, names_in(folder))
    help_ = f"did you mean `{os.path.join(folder, meant)}`?" if meant else ""  # noqa: PTH118
    unusable("AS001", f"there is no file `{path}`", help=help_)


def write_whole(path: str | os.PathLike[str], data: str | bytes, *, parents: bool = False) -> None:
    """Writes `data` (text as UTF-8) to a temporary file, then renames it to `path`. An existing file keeps its mode.

    Missing folders are created only with `parents`. A link is followed; a device or pipe is written to directly.
    If that is not possible, raises SpecError with status 2 and leaves the folder as it was.
    """
    with whole(path, parents=parents) as file:
        file.write(data.encode() if isinstance(data, str) else data)


@contextmanager
def whole(path: str | os.PathLike[str], *, parents: bool = False) -> Iterator[IO[bytes]]:
    """A temporary file for writing `path` in pieces; it is renamed when the block ends, or removed if the block fails.

    The data is on the disk before the old file is replaced, so neither a kill nor a power loss leaves a partial file.
    Raises SpecError like `write_whole`; an error of the block itself passes through.
    """
    with reported(path):
        target = Path(os.path.realpath(path))
        if parents:
            target.parent.mkdir(parents=True, exist_ok=True)
        mode = target.stat().st_mode if target.exists() else None
        direct = mode is not None and not stat.S_ISREG(mode)
        beside = target if direct else target.with_name(f".{target.name[:_KEPT]}.{token_hex(4)}.tmp")
        file = beside.open("wb" if direct else "xb")  # raises IsADirectoryError for a folder
    try:
        with reported(path, own=True), file:
            yield file
            if not direct:
                file.flush()
                os.fsync(file.fileno())
        with reported(path):
            if mode is not None and not direct:
                beside.chmod(stat.S_IMODE(mode))
            if not direct:
                beside.replace(target)
    except BaseException:
        if not direct:
            beside.unlink(missing_ok=True)
        raise


@contextmanager
def reported(path: str | os.PathLike[str], *, own: bool = False) -> Iterator[None]:
    """Turns errors of writing `path` into diagnostics; with `own`, only errors of an open file, which name no file."""
    if "\0" in os.fspath(path):
        unusable("AS013", f"`{path}` cannot be written: its name contains a zero byte")
    try:
        yield
    except (OSError, RuntimeError) as error:
        failure = _failure(error)
        if failure is None or (own and failure.filename is not None):
            raise
        if isinstance(failure, IsADirectoryError):
            unusable("AS012", f"`{path}` is a folder", help="give the path of a file in it")
        if isinstance(failure, FileExistsError | NotADirectoryError):
            file = next((str(part) for part in Path(path).parents if part.is_file()), os.fspath(path))
            unusable("AS013", f"`{file}` is a file, not a folder", help="choose another folder")
        if isinstance(failure, FileNotFoundError) and not Path(path).parent.is_dir():
            folder, name = Path(path).parent, Path(path).name
            unusable("AS011", f"there is no folder `{folder}` to write `{name}` to", help="create the folder first")
        full = failure.errno in {errno.ENOSPC, errno.EDQUOT}
        unusable(
            "AS013", f"`{path}` cannot be written: {failure.strerror}",
            help="free some space on its disk, or write to another one" if full else "",
        )  # fmt: skip


def _failure(error: OSError | RuntimeError) -> OSError | None:
    """The operating system's error; torch.save hides it behind a RuntimeError."""
    found = error if isinstance(error, OSError) else error.__context__
    return found if isinstance(found, OSError) else None
