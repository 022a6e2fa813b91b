"""The command line: one file per group of commands; heavy imports are inside the commands that need them.

This package defines what is printed where, and the exit statuses. It must not check, count, draw or compile specs
itself.
"""

from __future__ import annotations


def main() -> int:
    """Runs the command line on `sys.argv`; returns the exit status.

    0: success. 1: a spec has errors, or `diff` found a difference. 2: wrong usage, or a file that cannot be read or
    written.
    """
    from archspec.cli.app import run

    return run()
