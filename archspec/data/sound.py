"""Checks that the data of a file is valid before any value is read: offsets within bounds, texts in UTF-8."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from archspec.diagnostics import unusable

if TYPE_CHECKING:
    from archspec.data.values import Array


def sound(array: Array, file: str, column: str, first: int) -> Array:
    """Checks a column, and converts string views to strings, which all of pyarrow's functions support.

    Args:
        array: some rows of a column.
        file: the file with the rows, for the message.
        column: its name.
        first: number of rows of the file before these.

    Raises:
        SpecError: AS715, with file, column and, for a text that is not in UTF-8, the row.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        array.validate(full=True)
    except pa.ArrowInvalid as error:
        row = _first_not_utf8(array)
        if row is not None:
            not_utf8(file, column, first + row + 1)
        reason = str(error).strip().rstrip(".")
        unusable("AS715", f"`{file}`, column `{column}` is broken: {reason}", help="write the file again")
    plain = _retyped(array.type, {pa.string_view(): pa.string()})
    return array if plain == array.type else pc.cast(array, plain)


def not_utf8(file: str, column: str, row: int) -> NoReturn:
    """Raises SpecError for a text that cannot be decoded; rows are counted from 1."""
    unusable(
        "AS715", f"`{file}`, column `{column}`, row {row:,}: the text is not in UTF-8",
        help="write the file again with its texts in UTF-8",
    )  # fmt: skip


def _first_not_utf8(array: Array) -> int | None:
    """The first row with a text that cannot be decoded; None if something else is broken."""
    import pyarrow as pa

    binary = {
        pa.string(): pa.binary(), pa.large_string(): pa.large_binary(), pa.string_view(): pa.binary_view(),
    }  # fmt: skip
    try:
        raw = array.view(_retyped(array.type, binary))
        raw.validate(full=True)
    except pa.ArrowException:
        return None
    return next((row for row, value in enumerate(raw) if not _decodes(value.as_py())), None)


def _decodes(value: Any) -> bool:  # noqa: ANN401 - bytes, a list of them, or nothing
    if isinstance(value, list):
        return all(map(_decodes, value))
    try:
        (value or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


def _retyped(kind: Any, types: dict[Any, Any]) -> Any:  # noqa: ANN401 - pyarrow comes without types
    """Replaces a type by another one, also within lists and dictionaries."""
    import pyarrow as pa

    if pa.types.is_list(kind):
        return pa.list_(_retyped(kind.value_type, types))
    if pa.types.is_large_list(kind):
        return pa.large_list(_retyped(kind.value_type, types))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_retyped(kind.value_type, types), kind.list_size)
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _retyped(kind.value_type, types))
    return types.get(kind, kind)
