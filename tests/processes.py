"""Processes of one distributed run on this machine (gloo, CPU)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[1]


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def threads() -> list[str]:
    """The names of this process's threads, those of C++ too; empty on a system without /proc."""
    return [file.read_text(encoding="utf-8").strip() for file in Path("/proc/self/task").glob("*/comm")]


def leave(result: Any) -> NoReturn:  # noqa: ANN401 - whatever JSON holds
    """Prints the result of one process of a run as JSON and ends the process, as the command line does: at once.

    DDP and FSDP2 keep gloo's threads alive, and one that takes the lock of an interpreter in finalization aborts it.
    """
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()
    os._exit(0)


def printed_by(words: Sequence[str], processes: int) -> list[Any]:
    """The last line that each process of a run prints, read as JSON; `words` are Python's arguments.

    Its program ends with `leave`.
    """
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(processes)}
    started = [
        subprocess.Popen(
            [sys.executable, *words],
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    outputs = [process.communicate(timeout=240)[0] for process in started]
    assert [process.returncode for process in started] == [0] * processes
    return [json.loads(output.splitlines()[-1]) for output in outputs]
