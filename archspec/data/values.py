"""Converts Arrow columns to numbers, whole numbers, texts and lists, and reports which values cannot be converted."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from archspec.data.numerals import numeral, spelled

if TYPE_CHECKING:
    from collections.abc import Collection

Mask = NDArray[np.bool_]
Array = Any
"""An Arrow array: pyarrow has no type annotations."""
Reading = Literal["verbatim", "texts", "numbers"]
"""How the texts of a column are read; `verbatim` is for old vocabularies, which do not record it."""

NONE: Final = (
    "", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "Null", "null", "None", "NaT", r"\N",
)  # fmt: skip
"""Texts for a missing value, as pandas, R, Spark and databases write it."""
NONE_OF_NAMES: Final = tuple(text for text in NONE if text != "NA")
"""The same for a column of names, where NA is a value: the code of Namibia and of North America."""
VALUE, UNTIL = "value", "until"
"""The fields of a column that consists of two: a moment, and the moment that days are counted to."""
EXACT: Final = 2**53
"""From this number on, floats cannot represent every whole number."""
_HIGHEST: Final = 2**63 - 1
_NUMBER: Final = r"^[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|(?i:inf(inity)?))$"
_DIGITS: Final = re.compile(r"[+-]?\d{1,40}")
_WRITTEN: Final = {"numbers": r"^(0|-?[1-9]\d*)$", "texts": r"^(?i:true|false)$|^-?\d+\.0*$"}
"""A pattern of canonical texts, for `numbers`; of texts that may not be canonical, for `texts`."""


def trimmed(texts: Array) -> Array:
    """Texts without surrounding white space; a text of only white space is a missing value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    bare = pc.utf8_trim_whitespace(texts)
    return pc.if_else(pc.equal(bare, ""), pa.scalar(None, pa.string()), bare)


def plain(kind: Any) -> Any:  # noqa: ANN401 - pyarrow comes without types
    """An Arrow type without a dictionary."""
    import pyarrow as pa

    return kind.value_type if pa.types.is_dictionary(kind) else kind


def decoded(array: Array) -> Array:
    """A column without a dictionary (pandas categories have one)."""
    import pyarrow as pa

    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def is_text(array: Array) -> bool:
    """Whether a column contains texts."""
    import pyarrow as pa

    kind = plain(array.type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_list(array: Array) -> bool:
    """Whether a column contains a list in each row."""
    import pyarrow as pa

    types, kind = pa.types, array.type
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def is_scalar(kind: Any) -> bool:  # noqa: ANN401 - pyarrow comes without types
    """Whether an Arrow type has a single number, boolean or text per row."""
    import pyarrow as pa

    types, kind = pa.types, plain(kind)
    number = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)
    text = types.is_string(kind) or types.is_large_string(kind)
    return bool(text or number or types.is_null(kind))


def cleaned(array: Array, none: Collection[str] = NONE) -> Array:
    """A column without a dictionary, with trimmed texts; NaN and the texts in `none` are null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = decoded(array)
    if is_text(array):
        bare = pc.utf8_trim_whitespace(array)
        return pc.if_else(pc.is_in(bare, value_set=pa.array(none, bare.type)), pa.scalar(None, bare.type), bare)
    if pa.types.is_floating(array.type):
        return pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    return array


def missing(array: Array, none: Collection[str] = NONE) -> Mask:
    """Which values are missing; `none` are the texts for a missing value."""
    found: Mask = cleaned(array, none).is_null().to_numpy(zero_copy_only=False)
    return found


def floats(array: Array) -> tuple[NDArray[np.float64], Mask]:
    """Values as numbers `[N]`, and which of them are finite numbers; `true` is 1 and `false` 0, even as a text.

    Other values are NaN.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    array = cleaned(array)
    if is_text(array):
        fits = pc.match_substring_regex(array, _NUMBER)
        if pc.all(fits).as_py() is False:
            for number, word in enumerate(("false", "true")):
                array = pc.if_else(pc.match_substring_regex(array, rf"^(?i:{word})$"), str(number), array)
            fits = pc.match_substring_regex(array, _NUMBER)
            array = pc.if_else(pc.fill_null(fits, fill_value=False), array, pa.scalar(None, array.type))
    numbers = pc.fill_null(pc.cast(array, pa.float64(), safe=False), float("nan")).to_numpy(zero_copy_only=False)
    return numbers, np.isfinite(numbers)


def whole(array: Array) -> tuple[NDArray[np.int64], Mask]:
    """Values as whole numbers `[N]`, and which of them are 64-bit whole numbers with all digits known."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = cleaned(array)
    if pa.types.is_integer(array.type) and not pa.types.is_uint64(array.type):
        known = pc.is_valid(array).to_numpy(zero_copy_only=False)
        return pc.fill_null(pc.cast(array, pa.int64()), 0).to_numpy(zero_copy_only=False), known
    numbers, finite = floats(array)
    near = finite & (np.floor(numbers) == numbers)
    known = near & (np.abs(numbers) < EXACT)
    found = np.where(known, numbers, 0).astype(np.int64)
    places = np.flatnonzero(near & ~known)
    for place, value in zip(places, array.take(pa.array(places)).to_pylist(), strict=True):
        digits = exactly(value)
        if digits is not None and -_HIGHEST - 1 <= digits <= _HIGHEST:
            found[place], known[place] = digits, True
    return found, known


def exactly(value: object) -> int | None:
    """A large whole number, or its text, with all its digits. None for a float, or a text in a float's notation."""
    if isinstance(value, Decimal):
        return int(value)
    if isinstance(value, str):
        return int(value) if _DIGITS.fullmatch(value) else None
    return value if isinstance(value, int) else None


def unbroken(array: Array, numbers: NDArray[np.float64]) -> tuple[Mask, Mask]:
    """Which values are whole numbers of any size, and which of those are rounded: floats beyond 2^53 lose digits.

    `numbers` are the values as floats.
    """
    import pyarrow as pa

    near = np.isfinite(numbers) & (np.floor(numbers) == numbers)
    rounded = near & (np.abs(numbers) >= EXACT)
    if not pa.types.is_floating(array.type):
        places = np.flatnonzero(rounded)
        values = cleaned(array.take(pa.array(places))).to_pylist()
        rounded[places] = [exactly(value) is None for value in values]
    return near, rounded


def texts(array: Array, reading: Reading = "texts", none: Collection[str] = NONE) -> Array:
    """Values as texts `[N]`: equal values have equal texts, whatever their type and column; missing ones stay null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if reading == "verbatim":
        return _verbatim(array)
    array = cleaned(array, none)
    if pa.types.is_boolean(array.type) and reading == "numbers":
        array = pc.cast(array, pa.int8())
    if pa.types.is_floating(array.type):
        return _of_floats(array)
    if pa.types.is_decimal(array.type):
        return _each(pc.cast(array, pa.string()), "numbers")
    if is_text(array):
        return _each(array, reading)
    return pc.cast(array, pa.string())


def lists(array: Array) -> tuple[NDArray[np.int64], Array]:
    """Where each row's list begins in the array of all items, `[N + 1]`, and that array; a missing value is empty."""
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]), pc.list_flatten(array)


def _each(array: Array, reading: Reading) -> Array:
    """Canonical texts; only texts that may not be in canonical form are processed one by one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    matches = pc.match_substring_regex(array, _WRITTEN[reading])
    as_written = pc.all(matches) if reading == "numbers" else pc.invert(pc.any(matches))
    if array.null_count == len(array) or as_written.as_py():
        return pc.cast(array, pa.string())
    coded = array.dictionary_encode()
    write = numeral if reading == "numbers" else spelled
    return pa.array([write(text) for text in coded.dictionary.to_pylist()], pa.string()).take(coded.indices)


def _of_floats(array: Array) -> Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    known = array.is_valid().to_numpy(zero_copy_only=False)
    numbers = pc.fill_null(array, pa.scalar(0, array.type)).to_numpy(zero_copy_only=False)
    wide = numbers.astype(np.float64)
    if bool(((np.floor(wide) == wide) & (np.abs(wide) < EXACT)).all()):
        return pc.cast(pa.array(numbers.astype(np.int64), mask=~known), pa.string())
    values, places = np.unique(numbers, return_inverse=True)
    # The shortest text that reads back as the number in its own precision: 0.1, not 0.10000000149011612.
    written = pa.array([numeral(float(str(value))) for value in values], pa.string())
    return written.take(pa.array(places, mask=~known))


def _verbatim(array: Array) -> Array:
    """Texts for vocabularies that do not record how they are read: as written; whole floats without a point."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = decoded(array)
    written = pc.cast(array, pa.string())
    if not pa.types.is_floating(array.type):
        return written
    numbers = pc.fill_null(pc.cast(array, pa.float64()), float("nan")).to_numpy(zero_copy_only=False)
    whole = (np.floor(numbers) == numbers) & (np.abs(numbers) < EXACT)
    digits = pc.cast(pa.array(np.where(whole, numbers, 0).astype(np.int64)), pa.string())
    return pc.if_else(pa.array(whole), digits, written)
