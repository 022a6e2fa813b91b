"""Whether columns are of types that their readers can take; what is in them is looked at later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.data.values import is_list, is_scalar, is_text
from archspec.diagnostics import Diagnostics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from archspec.data.demands import Demand
    from archspec.data.tables import Table
    from archspec.data.values import Array


def check_types(tables: Iterable[Table], demands: Mapping[str, Demand]) -> None:
    """Raises SpecError where a column is of a type that its reader cannot take: all of them at once."""
    problems = Diagnostics()
    for table in tables:
        for piece in table.pieces(demands):
            for column, array in piece.columns.items():
                if not _fits(demands[column], array):
                    _report(problems, table, demands[column], array)
            break  # all pieces of a file have its types
    problems.raise_errors(status=2)


def _fits(demand: Demand, array: Array) -> bool:
    if demand.several:
        return is_scalar(array.type.value_type) if is_list(array) else is_text(array) or array.type == "null"
    return is_scalar(array.type)


def _report(problems: Diagnostics, table: Table, demand: Demand, array: Array) -> None:
    reads = "a list" if demand.use == "lists" else f"{demand.width} numbers" if demand.several else "one value"
    lists = "give it a list of numbers or texts in each row; in a CSV file, items with spaces between"
    problems.error(
        "AS703", f"column `{demand.column}` of `{table.file}` holds {array.type}; {demand.reader} reads {reads} a row",
        help=lists if demand.several else "name another column with `column:`, or convert it",
    )  # fmt: skip
