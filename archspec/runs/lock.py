"""One process at a time trains in a folder."""

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
"""Lies in the folder while a run trains there. The lock is the system's: a kill ends it, whatever file it leaves."""


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Makes the folder of a run where it is missing, and keeps other processes from training in it.

    Folders that were made vanish again where the block leaves them empty. A file system without locks (some network
    drives) cannot tell that another process is there.

    Raises:
        SpecError: another process trains there, or the place is no folder, or cannot be written to.
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
            with suppress(OSError, ValueError):  # it is not empty, or was never made, or no system has such names
                path.rmdir()


def _lock_of(folder: Path) -> IO[bytes]:
    """The locked file. One that another process removed meanwhile, as it ended, is made anew."""
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
                "AS730", f"another process trains in `{folder}` now",
                help="wait until it ends, or name another folder with `-o`",
            )  # fmt: skip
        with suppress(OSError):
            if os.path.samestat(os.fstat(file.fileno()), (folder / LOCK).stat()):
                return file
        file.close()


def _remove(path: Path, file: IO[bytes]) -> None:
    """Removes a locked file while it is locked: later it may be another process's. Windows does it only later."""
    try:
        path.unlink(missing_ok=True)
        file.close()
    except OSError:
        file.close()
        with suppress(OSError):
            path.unlink()


if sys.platform == "win32":

    def _lock(file: IO[bytes]) -> bool:
        """Whether this process has the file now."""
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:

    def _lock(file: IO[bytes]) -> bool:
        """Whether this process has the file now."""
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True  # no locks on this file system
        return True
