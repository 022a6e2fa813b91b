"""Shared by the fuzz tests: the number of inputs, the time limit per input, and the contents of a folder.

By default each test draws the same fixed number of inputs; `HYPOTHESIS_PROFILE=nightly pytest -k fuzz` draws many new
ones.
"""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING

from click.testing import CliRunner, Result
from hypothesis import HealthCheck, Phase, settings

from archspec.cli.app import archspec
from tests.limited import limited

if TYPE_CHECKING:
    from pathlib import Path

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
LONGEST = 2.0
"""Seconds of processor time that an input may take, so that a busy machine changes nothing."""


def fuzz(by_day: int, by_night: int) -> settings:
    """Settings for this many inputs. By default the first failure is shown as drawn: shrinking takes long."""
    return settings(
        max_examples=int(os.environ.get("FUZZ", by_night)) if NIGHTLY else by_day,
        derandomize=not NIGHTLY,
        phases=tuple(Phase) if NIGHTLY else (Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )


def run_command(*words: str, stdin: bytes = b"", seconds: float = LONGEST) -> Result:
    """Runs `archspec WORDS...` in this process; only errors that are not archspec's own exits are raised."""
    with limited(seconds):
        return CliRunner().invoke(archspec, words, input=stdin, catch_exceptions=False)


def contents(folder: Path) -> dict[str, str]:
    """The files in a folder and below: a digest of each, by path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            content = f"link to {path.readlink()}"
        else:
            content = "folder" if path.is_dir() else sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(folder))] = content
    return found


def unfinished(folder: Path) -> list[str]:
    """Files that were left half-written; there must be none."""
    return [path for path in contents(folder) if path.endswith((".tmp", ".lock"))]
