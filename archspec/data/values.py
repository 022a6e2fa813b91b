"""Arrow columns as numbers, whole numbers, texts and lists; with them, which values could not be read as such."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Array = Any
"""An Arrow array: pyarrow comes without types."""

_NUMBER: Final = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_SEPARATORS: Final = r"[\s|;,]+"
"""Between the items of a list that is written as text."""


def trimmed(texts: Array) -> Array:
    """Texts without white space around them; a text of nothing else is no value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    bare = pc.utf8_trim_whitespace(texts)
    return pc.if_else(pc.equal(bare, ""), pa.scalar(None, pa.string()), bare)


def is_text(array: Array) -> bool:
    """Whether a column holds texts."""
    import pyarrow as pa

    kind = _plain(array.type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_list(array: Array) -> bool:
    """Whether a column holds a list in each row."""
    import pyarrow as pa

    types, kind = pa.types, array.type
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def is_scalar(kind: Any) -> bool:  # noqa: ANN401 - pyarrow comes without types
    """Whether values of an Arrow type are numbers, truth values or texts, one by one."""
    import pyarrow as pa

    types, kind = pa.types, _plain(kind)
    number = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)
    text = types.is_string(kind) or types.is_large_string(kind)
    return bool(text or number or types.is_null(kind))


def texts(array: Array) -> Array:
    """Values as texts; a float that is whole as one without a point."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = _decoded(array)
    if pa.types.is_floating(array.type):
        numbers, known = floats(array)
        if bool((numbers[known] == np.floor(numbers[known])).all()):
            array = pa.array(np.where(known, numbers, 0).astype(np.int64), mask=~known)
    return pc.cast(array, pa.string())


def floats(array: Array) -> tuple[NDArray[np.float64], Mask]:
    """Values as numbers `[N]`, and which of them are finite numbers; `true` is 1 and `false` 0, as a text too."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = _decoded(array)
    if is_text(array):
        for number, word in enumerate(("false", "true")):
            array = pc.if_else(pc.equal(pc.utf8_lower(array), word), str(number), array)
        fits = pc.fill_null(pc.match_substring_regex(array, _NUMBER), fill_value=False)
        array = pc.if_else(fits, array, pa.scalar(None, array.type))
    numbers = pc.fill_null(pc.cast(array, pa.float64(), safe=False), float("nan")).to_numpy(zero_copy_only=False)
    return numbers, np.isfinite(numbers)


def whole(array: Array) -> tuple[NDArray[np.int64], Mask]:
    """Values as whole numbers `[N]`, and which of them are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = _decoded(array)
    if pa.types.is_integer(array.type) and not pa.types.is_uint64(array.type):
        known = pc.is_valid(array).to_numpy(zero_copy_only=False)
        return pc.fill_null(pc.cast(array, pa.int64()), 0).to_numpy(zero_copy_only=False), known
    numbers, known = floats(array)
    # Beyond 2^53 a float no longer knows every whole number.
    known = known & (np.floor(numbers) == numbers) & (np.abs(numbers) <= 2**53)
    return np.where(known, numbers, 0).astype(np.int64), known


def lists(array: Array) -> tuple[NDArray[np.int64], Array]:
    """Where each row's list begins in the array of all items, `[N + 1]`, and that array; no value is an empty list."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if is_text(array):
        array = pc.split_pattern_regex(pc.utf8_trim(_decoded(array), " \t[]()|;,"), _SEPARATORS)
        lengths = pc.fill_null(pc.list_value_length(array), 0)
        # Splitting an empty text gives one empty item.
        first = pc.list_element(pc.if_else(pc.greater(lengths, 0), array, pa.scalar([""], array.type)), 0)
        array = pc.if_else(pc.equal(first, ""), pa.scalar(None, array.type), array)
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]), pc.list_flatten(array)


def _plain(kind: Any) -> Any:  # noqa: ANN401 - pyarrow comes without types
    import pyarrow as pa

    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _decoded(array: Array) -> Array:
    """A column without a dictionary; categories of pandas are such."""
    import pyarrow as pa

    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
