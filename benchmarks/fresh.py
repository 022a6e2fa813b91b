"""Runs functions in a fresh Python process, in which nothing is imported, compiled or cached."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.absolute()


class FreshError(Exception):
    """The process failed or timed out; the message is its last line of standard error, or the time limit."""


def run(code: str, *arguments: str, timeout: float) -> Any:  # noqa: ANN401 - whatever JSON it prints last
    """Runs Python code with these arguments and returns the JSON of its last line of output.

    Raises:
        FreshError: it failed, or took longer than `timeout` seconds.
    """
    with tempfile.TemporaryDirectory() as cache:
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache, "PYTHONPATH": paths}
        command = [sys.executable, "-c", code, *arguments]
        try:
            done = subprocess.run(  # noqa: S603 - this interpreter, code of this folder
                command, cwd=cache, env=environment, capture_output=True, text=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired:
            raise FreshError(f"not done in {timeout:.0f} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise FreshError(lines[-1] if lines else f"exit status {done.returncode}")
    return json.loads(done.stdout.strip().splitlines()[-1])
