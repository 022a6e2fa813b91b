"""Checks that columns have types that their readers accept; values are checked later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.data.values import is_list, is_scalar, is_text
from archspec.diagnostics import Diagnostics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from archspec.data.requirements import ColumnRequirement
    from archspec.data.tables import Table
    from archspec.data.values import Array


def check_types(tables: Iterable[Table], requirements: Mapping[str, ColumnRequirement]) -> None:
    """Raises SpecError if columns have types that their readers do not accept: all of them at once."""
    problems = Diagnostics()
    for table in tables:
        for chunk in table.chunks(requirements):
            for column, array in chunk.columns.items():
                if not _fits(requirements[column], array):
                    _report(problems, table, requirements[column], array)
            break  # all chunks of a file have the same types
    problems.raise_errors(status=2)


def _fits(requirement: ColumnRequirement, array: Array) -> bool:
    if requirement.several:
        return is_scalar(array.type.value_type) if is_list(array) else is_text(array) or array.type == "null"
    return is_scalar(array.type)


def _report(problems: Diagnostics, table: Table, requirement: ColumnRequirement, array: Array) -> None:
    numbers = f"{requirement.width} numbers" if requirement.several else "one value"
    reads = "a list" if requirement.use in {"lists", "amounts"} else numbers
    lists = "give it a list of numbers or texts in each row; in a CSV file, items with spaces between"
    problems.error(
        "AS703", f"column `{requirement.column}` of `{table.file}` holds {array.type}; {requirement.reader} reads "
        f"{reads} a row",
        help=lists if requirement.several else "name another column with `column:`, or convert it",
    )  # fmt: skip
