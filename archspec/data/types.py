"""Checks that columns have types that their readers accept; values are checked later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archspec.data.moments import MOMENTS, is_moment
from archspec.data.values import is_list, is_scalar, is_text
from archspec.diagnostics import Diagnostics

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from archspec.data.requirements import ColumnRequirement
    from archspec.data.tables import Table
    from archspec.data.values import Array


def check_types(
    tables: Iterable[Table], requirements: Mapping[str, ColumnRequirement], timed: Collection[str] = ()
) -> None:
    """Raises SpecError if columns have types that their readers do not accept: all of them at once.

    Args:
        tables: the files.
        requirements: the columns that the spec reads.
        timed: the columns whose values are dates and times.
    """
    problems = Diagnostics()
    for table in tables:
        for chunk in table.chunks(requirements):
            for column, array in chunk.columns.items():
                if not (_tells_time(array.type) if column in timed else _fits(requirements[column], array)):
                    _report(problems, table, requirements[column], array)
            break  # all chunks of a file have the same types
    problems.raise_errors(status=2)


def _fits(requirement: ColumnRequirement, array: Array) -> bool:
    if requirement.several:
        return is_scalar(array.type.value_type) if is_list(array) else is_text(array) or array.type == "null"
    return is_scalar(array.type)


def _tells_time(kind: Any) -> bool:  # noqa: ANN401 - pyarrow comes without types
    """Whether an Arrow type has a date, a time, a text or a number per row, or a pair of these."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return all(_tells_time(field.type) for field in kind)
    return is_moment(kind) or is_scalar(kind)


def _report(problems: Diagnostics, table: Table, requirement: ColumnRequirement, array: Array) -> None:
    numbers = f"{requirement.width} numbers" if requirement.several else "one value"
    reads = "a list" if requirement.use in {"lists", "amounts"} else numbers
    kinds = [kind for kind in MOMENTS if kind in requirement.choices] if is_moment(array.type) else []
    ways = " or ".join(f"`--encode {requirement.column}={kind}`" for kind in kinds)
    timed = f"{ways} converts it to a number" if ways else ""
    lists = "write a list of numbers or texts in each row; in a CSV file, items separated by spaces"
    problems.error(
        "AS703", f"column `{requirement.column}` of `{table.file}` has the type {array.type}, "
        f"but {requirement.reader} reads {reads} per row",
        help=timed or (lists if requirement.several else "name another column with `column:`, or convert it"),
    )  # fmt: skip
