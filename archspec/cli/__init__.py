"""The command line: one file per group of commands; every heavy import stands inside the command that needs it.

Lives here: what is printed where, and exit statuses. May not know how a spec is checked, counted, drawn or compiled.
"""

from __future__ import annotations


def main() -> int:
    """Run the command line on `sys.argv`; the exit status.

    0: fine. 1: a spec has errors, or `diff` found a difference. 2: wrong usage, or a file that cannot be read or
    written.
    """
    from archspec.cli.app import run

    return run()
