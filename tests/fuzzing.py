"""What the fuzz tests share: how many inputs there are, how long one may take, and what lies in a folder.

By day each test draws a fixed number of inputs. `HYPOTHESIS_PROFILE=nightly pytest -k fuzz` draws new ones, many more.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING

from click.testing import CliRunner, Result
from hypothesis import HealthCheck, Phase, settings

from archspec.cli.app import archspec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import FrameType

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
LONGEST = 2.0
"""Seconds of processor time that an input may take, so that a busy machine changes nothing."""
_WAITING = 60.0
"""Seconds after which an input that uses no processor hangs, too."""


def fuzz(by_day: int, by_night: int) -> settings:
    """So many inputs. By day the first one that fails is shown as it was drawn: shrinking takes long."""
    return settings(
        max_examples=int(os.environ.get("FUZZ", by_night)) if NIGHTLY else by_day,
        derandomize=not NIGHTLY,
        phases=tuple(Phase) if NIGHTLY else (Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )


class HangError(BaseException):
    """An input took too long. Nothing that handles errors handles it."""


@contextmanager
def within(seconds: float = LONGEST) -> Iterator[None]:
    """Raises HangError in a block that takes more processor time, or waits for a minute."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise HangError

    before = {name: signal.signal(name, stop) for name in (signal.SIGPROF, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, _WAITING * seconds / LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for name, handler in before.items():
            signal.signal(name, handler)


def run_command(*words: str, stdin: bytes = b"", seconds: float = LONGEST) -> Result:
    """Runs `archspec WORDS...` in this process; an error that is not archspec's own way to end passes."""
    with within(seconds):
        return CliRunner().invoke(archspec, words, input=stdin, catch_exceptions=False)


def contents(folder: Path) -> dict[str, str]:
    """What lies in a folder and below: a digest of each file, by its path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            content = f"link to {path.readlink()}"
        else:
            content = "folder" if path.is_dir() else sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(folder))] = content
    return found


def unfinished(folder: Path) -> list[str]:
    """Files that were being written: none may be left."""
    return [path for path in contents(folder) if path.endswith((".tmp", ".lock"))]
