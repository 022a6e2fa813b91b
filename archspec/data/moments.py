"""Encodings of timestamps: the hour of the day, the day of the week, and the days since."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from archspec.data.encodings import Encoded, Encoding
from archspec.data.values import UNTIL, VALUE, Array, Mask, cleaned, floats, is_text, missing

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DAY: Final = 86_400
_UNITS: Final = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
"""(least Unix time, units per second): times of at least the first number are in these units, otherwise seconds."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def is_moment(kind: Any) -> bool:  # noqa: ANN401 - pyarrow comes without types
    """Whether an Arrow type is a date or a timestamp."""
    import pyarrow as pa

    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def moments(array: Array) -> tuple[NDArray[np.float64], NDArray[np.float64], Mask]:
    """Seconds since 1970 of each value in local time `[N]`, in UTC `[N]`, and which values are moments.

    Dates and timestamps; texts in ISO 8601, such as `2026-11-27 05:30` or `2026-11-27T05:30:00+01:00`; Unix times in
    seconds, milli-, micro- or nanoseconds, by their size. Without a time zone, a moment is in UTC.
    """
    array = cleaned(array)
    if is_moment(array.type):
        return _typed(array)
    if is_text(array):
        return _written(array)
    numbers, known = floats(array)
    seconds = np.where(known, numbers, 0)
    for least, parts in _UNITS:
        seconds = np.where(np.abs(seconds) >= least, seconds / parts, seconds)
    return seconds, seconds, known


def _typed(array: Array) -> tuple[NDArray[np.float64], NDArray[np.float64], Mask]:
    import pyarrow as pa
    import pyarrow.compute as pc

    def seconds(values: Array) -> NDArray[np.float64]:
        values = pc.cast(values, pa.timestamp("s")) if pa.types.is_date(values.type) else values
        parts = pc.fill_null(pc.cast(values, pa.int64()), 0).to_numpy(zero_copy_only=False)
        found: NDArray[np.float64] = parts / {"s": 1e0, "ms": 1e3, "us": 1e6, "ns": 1e9}[values.type.unit]
        return found

    zoned = pa.types.is_timestamp(array.type) and array.type.tz is not None
    own = seconds(pc.local_timestamp(array) if zoned else array)
    return own, seconds(array), array.is_valid().to_numpy(zero_copy_only=False)


def _written(array: Array) -> tuple[NDArray[np.float64], NDArray[np.float64], Mask]:
    """The same for texts; texts of digits are Unix times."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return _typed(pc.cast(array, pa.timestamp("us")))
    except pa.ArrowInvalid:  # some have a time zone, or are no moments
        pass
    coded = array.dictionary_encode()
    found = np.asarray([*map(_read, coded.dictionary.to_pylist()), (np.nan, np.nan)], dtype=np.float64).reshape(-1, 2)
    places = pc.fill_null(coded.indices, len(found) - 1).to_numpy(zero_copy_only=False)
    own, universal = found[places].T
    plain = np.isnan(own)
    if plain.any():
        numbers, _, known = moments(pa.array(floats(array)[0]))
        fits = plain & known
        own, universal = np.where(fits, numbers, own), np.where(fits, numbers, universal)
    known = ~np.isnan(own)
    return np.where(known, own, 0), np.where(known, universal, 0), known


def _read(text: str) -> tuple[float, float]:
    """Parses a text in ISO 8601; NaN for any other text, and for digits alone, which are a number."""
    if text.isdecimal():
        return np.nan, np.nan
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return np.nan, np.nan
    offset = found.utcoffset() or timedelta(0)
    own = (found.replace(tzinfo=UTC) - _EPOCH).total_seconds()
    return own, own - offset.total_seconds()


class Moment(Encoding):
    """Base class of the encodings of timestamps."""

    def refusal(self) -> str:
        """The values that it accepts."""
        return "is not a date or time, such as a timestamp, a text like `2026-11-27 05:30`, or a Unix time"


class Hour(Moment):
    """The hour of the day, 1 to 24: 1 is the hour after midnight; 0 is a missing value."""

    kind: Literal["hour"] = "hour"

    def encode(self, array: Array) -> tuple[Encoded, Mask]:
        """The hour plus one, in the value's own time zone."""
        own, _, known = moments(array)
        return np.where(known, (own // 3600 % 24).astype(np.int64) + 1, 0), known | missing(array)

    def text(self) -> str:
        """The range."""
        return "hour of the day: 1 from midnight, ..., 24"


class Weekday(Moment):
    """The day of the week as in ISO 8601, 1 (Monday) to 7; 0 is a missing value."""

    kind: Literal["weekday"] = "weekday"

    def encode(self, array: Array) -> tuple[Encoded, Mask]:
        """The day, in the value's own time zone; 1970 began on a Thursday."""
        own, _, known = moments(array)
        return np.where(known, (own // _DAY + 3).astype(np.int64) % 7 + 1, 0), known | missing(array)

    def text(self) -> str:
        """The range."""
        return "day of the week: 1 is Monday, ..., 7"


class Age(Moment):
    """Days from the value to another moment, which is fixed or in a column."""

    kind: Literal["age"] = "age"
    until: float | None = None
    """The fixed moment, in seconds since 1970; None: each row has its own."""
    column: str = ""
    """The column with the moment of each row."""

    def encode(self, array: Array) -> tuple[Encoded, Mask]:
        """The days, in single precision; negative for a value after the other moment.

        Without a fixed moment, `array` has the fields `value` and `until`.
        """
        import pyarrow as pa

        until, fits = np.asarray(self.until), np.ones(len(array), dtype=np.bool_)
        if pa.types.is_struct(array.type):
            _, until, fits = moments(array.field(UNTIL))
            array = array.field(VALUE)
        _, universal, known = moments(array)
        fits = fits & known
        return np.where(fits, (until - universal) / _DAY, 0).astype(np.float32), fits

    def text(self) -> str:
        """The moment that days are counted to."""
        if self.until is None:
            return f"days until `{self.column}`"
        return f"days until {(_EPOCH + timedelta(seconds=self.until)).isoformat(sep=' ').removesuffix('+00:00')}"


MOMENTS: Final = ("hour", "weekday", "age")
"""Encodings of timestamps, by their names in `--encode`."""
LEAST: Final = {"hour": 25, "weekday": 8}
"""How many ids they need."""


def moment_of(text: str) -> float | None:
    """Seconds since 1970 of a text in ISO 8601, in UTC; None if it is not one."""
    seconds = _read(text)[1]
    return None if np.isnan(seconds) else float(seconds)
