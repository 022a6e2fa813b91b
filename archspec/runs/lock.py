"""A lock, so that only one process at a time trains in a folder."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Final

from archspec.diagnostics import unusable
from archspec.files import reported

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK: Final = ".lock"
"""The lock file in the folder of a run. The operating system holds the lock, so it ends when the process is killed."""


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Creates the folder of a run if it is missing, and prevents other processes from training in it.

    New folders that the block leaves empty are removed again. On a file system without locks (some network drives),
    another process is not detected.

    Raises:
        SpecError: another process trains there, or the path is not a folder, or cannot be written to.
    """
    missing = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    try:
        file = _lock_of(folder)
        try:
            yield
        finally:
            _remove(folder / LOCK, file)
    finally:
        for path in missing:
            with suppress(OSError, ValueError):  # it is not empty, was never created, or has an impossible name
                path.rmdir()


def _lock_of(folder: Path) -> IO[bytes]:
    """The locked file. If another process removed it when it ended, it is created again."""
    while True:
        with reported(folder):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                file = (folder / LOCK).open("a+b")
            except FileNotFoundError:
                continue
        if not _lock(file):
            file.close()
            unusable(
                "AS730", f"another process is training in `{folder}`",
                help="wait until it ends, or choose another folder with `-o`",
            )  # fmt: skip
        with suppress(OSError):
            if os.path.samestat(os.fstat(file.fileno()), (folder / LOCK).stat()):
                return file
        file.close()


def _remove(path: Path, file: IO[bytes]) -> None:
    """Removes a lock file while it is locked; afterwards it may belong to another process. Windows needs it closed."""
    try:
        path.unlink(missing_ok=True)
        file.close()
    except OSError:
        file.close()
        with suppress(OSError):
            path.unlink()


if sys.platform == "win32":

    def _lock(file: IO[bytes]) -> bool:
        """Whether this process now holds the lock."""
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:

    def _lock(file: IO[bytes]) -> bool:
        """Whether this process now holds the lock."""
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True  # no locks on this file system
        return True
