"""The command line: one file per group of commands; every heavy import is inside the command that needs it.

This package defines what is printed where, and the exit statuses. It does not check, count, draw or compile specs.
"""

from __future__ import annotations


def main() -> int:
    """Runs the command line on `sys.argv`; returns the exit status.

    0: success. 1: a spec has errors, or `diff` found a difference. 2: wrong usage, or a file that cannot be read or
    written.
    """
    from archspec.cli.app import run

    return run()
