"""The table of the data's columns and their encodings."""

from __future__ import annotations

import shutil
import sys
from io import StringIO
from typing import TYPE_CHECKING, Final

from archspec.diagnostics import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.data.columns import ColumnReport

_WIDTH: Final = 100
_LISTED: Final = 24


def columns_table(reports: Sequence[ColumnReport]) -> str:
    """The table as text, as wide as the terminal but at most 100 characters; of many columns, lists only the first."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE, pad_edge=False, show_edge=False)
    for name in ("column", "contains", "becomes", "because"):
        table.add_column(name, overflow="fold")
    for name in ("missing", "unknown"):
        table.add_column(name, justify="right", no_wrap=True)
    for report in reports[:_LISTED]:
        texts = (report.column, report.holds, report.encoding, report.why)
        table.add_row(*map(visible, texts), _share(report.missing), _share(report.unknown))
    width = min(_WIDTH, shutil.get_terminal_size((_WIDTH, 24)).columns) if sys.stderr.isatty() else _WIDTH
    console = Console(file=StringIO(), width=width, markup=False, highlight=False, emoji=False, color_system=None)
    with console.capture() as capture:
        console.print(table)
    more = [f"and {len(reports) - _LISTED} more: see columns.json"] if len(reports) > _LISTED else []
    return "\n".join(["", *(line.rstrip() for line in capture.get().splitlines()), *more, ""])


def _share(value: float | None) -> str:
    """A share in percent; empty for zero or None."""
    written = f"{value or 0:.1%}"
    return "" if not value else "<0.1%" if written == "0.0%" else written
