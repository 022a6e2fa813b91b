"""Helpers for the examples' results: cells of a table, and the sections of docs/results.md."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout, without an installation

from archspec.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence


def spread(values: Sequence[float], form: str = ".4f") -> str:
    """Mean and standard deviation over runs; for a single run, only the mean."""
    deviation = f" ± {stdev(values):{form.lstrip('+')}}" if len(values) > 1 else ""
    return f"{mean(values):{form}}{deviation}"


def write_section(path: Path, name: str, text: str) -> None:
    """Puts the text between the file's markers of this name, or at the end if there are none; keeps the rest.

    Raises ValueError if the first marker has no second one.
    """
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    old = path.read_text(encoding="utf-8") if path.exists() else "# Results\n"
    head, found, rest = old.partition(start)
    _, closed, tail = rest.partition(end)
    if found and not closed:
        raise ValueError(f"{path}: `{start.strip()}` has no `{end.strip()}` after it")
    gap = "" if found else "\n"
    write_whole(path, f"{head}{gap}{start}{text}{end}{tail}", parents=True)
