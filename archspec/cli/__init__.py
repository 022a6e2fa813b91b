"""The command line: one file per group of commands; heavy imports are inside the commands that need them.

This package defines what is printed where, and the exit statuses. It must not check, count, draw or compile specs
itself.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys


def main() -> int:
    """Runs the command line on `sys.argv`; returns the exit status.

    0: success. 1: a spec has errors, or `diff` found a difference. 2: wrong usage, or a file that cannot be read or
    written.
    """
    from archspec.cli.app import run

    status: int | None = None
    atexit.register(lambda: _leave(status))  # registered before all others, so it is called after them
    if sys.argv[1:2] == ["train"]:
        from archspec.cli.allocator import keep_large_blocks

        keep_large_blocks()
    status = run()
    return status


def _leave(status: int | None) -> None:
    """Shortens Python's finalization; ends one of several processes of a training run without it.

    Gloo's threads outlive `destroy_process_group` if DDP or FSDP2 was used. A thread that still has to free a tensor
    takes the interpreter's lock, and if the interpreter is being finalized, that ends the thread in the middle of C++
    code, and with it the process: "terminate called without an active exception", status 134.
    """
    several = os.environ.get("WORLD_SIZE", "1") != "1"  # torchrun sets it, and Lightning in all of its processes
    if several and status is not None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)
    gc.freeze()  # Python's last collection would look for cycles among all objects, while the process ends anyway
