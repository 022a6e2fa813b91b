"""Encodings: how the values of a column become the ids and numbers of a batch. Their fields are learned from data."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from archspec.data.numerals import numeral
from archspec.data.values import NONE, NONE_OF_NAMES, Array, Mask, Reading, floats, missing, texts, whole

Encoded = NDArray[Any]
"""Ids in int64, or numbers in float32."""


class Encoding(BaseModel):
    """Base class of all encodings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def encode(self, array: Array) -> tuple[Encoded, Mask]:
        """Values `[N]` as ids or numbers `[N]`, and which of them fit. Values that do not fit become legal ones."""
        raise NotImplementedError

    @property
    def none(self) -> tuple[str, ...]:
        """The texts for a missing value."""
        return NONE

    def absent(self, array: Array) -> Mask:
        """Which values are missing."""
        return missing(array, self.none)

    def texts(self, array: Array) -> Array:
        """Values as texts `[N]`, read as the encoding reads them; missing ones are null."""
        return texts(array, "texts", self.none)

    def refusal(self) -> str:
        """Why a value does not fit, as the end of a sentence: `is not a number`."""
        raise NotImplementedError

    def text(self) -> str:
        """The encoding in words, which is printed before training starts."""
        raise NotImplementedError


class Ids(Encoding):
    """Whole numbers that are ids already, 0 to high-1."""

    kind: Literal["ids"] = "ids"
    high: int | None = None

    def encode(self, array: Array) -> tuple[Encoded, Mask]:
        """The numbers themselves."""
        numbers, known = whole(array)
        fits = known & (numbers >= 0) & (numbers < (np.iinfo(np.int64).max if self.high is None else self.high))
        return np.where(fits, numbers, 0), fits

    def refusal(self) -> str:
        """The range."""
        return "is not a whole number of at least 0" if self.high is None else f"is not an id in 0..{self.high - 1}"

    def text(self) -> str:
        """The range."""
        return "unchanged ids" if self.high is None else f"unchanged ids, 0..{self.high - 1}"


class Vocabulary(Encoding):
    """Values numbered from 1; 0 is any other value, and a missing value unless `missing` gives that an id."""

    kind: Literal["vocabulary"] = "vocabulary"
    values: tuple[str, ...]
    others: int = 0
    """Number of distinct values that were seen but did not fit."""
    reading: Reading = "verbatim"
    """How the texts of the column are read."""
    missing: bool = False
    """Whether a missing value has its own id, the one after those of the values."""
    names: bool = False
    """Whether values are names, so that `NA` is a value and not missing."""

    @cached_property
    def _known(self) -> Array:
        """The values as an Arrow array, which is made once and not for each chunk."""
        import pyarrow as pa

        return pa.array(self.values, pa.string())

    def encode(self, array: Array) -> tuple[Encoded, Mask]:
        """The id of each value."""
        ids = indices(self.texts(array), self._known) + 1
        if self.missing:
            ids[self.absent(array)] = len(self.values) + 1
        return ids, np.ones(len(ids), dtype=np.bool_)

    @property
    def none(self) -> tuple[str, ...]:
        """The texts for a missing value, among names without `NA`."""
        return NONE_OF_NAMES if self.names else NONE

    def texts(self, array: Array) -> Array:
        """Values as texts `[N]`, by the column's reading."""
        return texts(array, self.reading, self.none)

    def refusal(self) -> str:
        """Never used: every value has an id."""
        return "is unknown"

    def text(self) -> str:
        """The number of known values."""
        left = f"; {self.others:,} rarer ones share id 0 with unknown values" if self.others else ""
        return f"vocabulary of {len(self.values):,} values{', and an id for missing ones' * self.missing}{left}"


class Buckets(Encoding):
    """Numbers by the bucket that they fall in, numbered from 1; 0 is a missing value."""

    kind: Literal["buckets"] = "buckets"
    edges: tuple[float, ...]

    def encode(self, array: Array) -> tuple[Encoded, Mask]:
        """One more than the number of edges at or below each value."""
        numbers, known = floats(array)
        places = np.searchsorted(np.asarray(self.edges), np.where(known, numbers, 0), side="right") + 1
        return np.where(known, places, 0), known | missing(array)

    def refusal(self) -> str:
        """The values that it accepts."""
        return "is not a finite number"

    def text(self) -> str:
        """The number of buckets."""
        return f"{len(self.edges) + 1} buckets with about equally many rows"


class Words(Encoding):
    """Names of a domain's values, or whole numbers that index them."""

    kind: Literal["words"] = "words"
    words: tuple[str, ...]
    first: Literal[0, 1] | None = 0
    """The number of the first name; None if the names are numbers."""

    def encode(self, array: Array) -> tuple[Encoded, Mask]:
        """The index of each word."""
        places = indices(texts(array, "texts"), self.words)
        if self.first is None:
            numerals = tuple(map(numeral, self.words))
            more = indices(texts(array, "numbers"), numerals if len({*numerals}) == len(numerals) else self.words)
        else:
            numbers, known = whole(array)
            counted = known & (numbers >= self.first) & (numbers < self.first + len(self.words))
            more = np.where(counted, numbers - self.first, -1)
        places = np.where(places >= 0, places, more)
        return np.where(places >= 0, places, 0), places >= 0

    def refusal(self) -> str:
        """The words."""
        count = f" (or a number in 1..{len(self.words)})" if self.first else " (or their index)"
        return f"is not one of {', '.join(self.words)}{'' if self.first is None else count}"

    def text(self) -> str:
        """The words."""
        counted = f", counted from 1: 1 is {self.words[0]}" if self.first == 1 else ""
        return f"one of {', '.join(self.words)}{counted}"


class Numbers(Encoding):
    """Finite numbers, unchanged, from `low` to `high`."""

    kind: Literal["numbers"] = "numbers"
    low: float | None = None
    high: float | None = None

    def encode(self, array: Array) -> tuple[Encoded, Mask]:
        """The numbers in single precision; one that does not fit is 0."""
        numbers, fits = floats(array)
        fits = fits & (np.abs(numbers) <= np.finfo(np.float32).max)
        if self.low is not None:
            fits = fits & (numbers >= self.low)
        if self.high is not None:
            fits = fits & (numbers <= self.high)
        return np.where(fits, numbers, 0).astype(np.float32), fits

    def refusal(self) -> str:
        """The range."""
        if self.low is None:
            return "is not a finite number"
        if self.high is None:
            return f"is not a number of at least {self.low:g}"
        return f"is outside {self.low:g}..{self.high:g}"

    def text(self) -> str:
        """How the values are encoded."""
        return "unchanged numbers"


class Log(Encoding):
    """The natural logarithm of 1 + x, for nonnegative numbers with a long tail: counts, prices, durations."""

    kind: Literal["log1p"] = "log1p"

    def encode(self, array: Array) -> tuple[Encoded, Mask]:
        """`log(1 + x)`, in single precision; one that does not fit is 0."""
        numbers, fits = floats(array)
        fits = fits & (numbers >= 0)
        return np.log1p(np.where(fits, numbers, 0)).astype(np.float32), fits

    def refusal(self) -> str:
        """The range."""
        return "is not a number of at least 0, which log1p requires"

    def text(self) -> str:
        """The formula."""
        return "log(1 + x)"


class Standard(Encoding):
    """Numbers minus their mean, in standard deviations; a missing value counts as the mean."""

    kind: Literal["standard"] = "standard"
    mean: float
    deviation: float

    def encode(self, array: Array) -> tuple[Encoded, Mask]:
        """`(x - mean) / deviation`, in single precision."""
        numbers, known = floats(array)
        scaled = (np.where(known, numbers, self.mean) - self.mean) / self.deviation
        fits = np.abs(scaled) <= np.finfo(np.float32).max
        return np.where(fits, scaled, 0).astype(np.float32), fits & (known | missing(array))

    def refusal(self) -> str:
        """The values that it accepts."""
        return "is not a finite number"

    def text(self) -> str:
        """Mean and deviation."""
        return f"(number - {self.mean:.4g}) / {self.deviation:.4g}"


class Flag(Encoding):
    """1 where the value is 1, else 0: whether a row belongs to a sample space."""

    kind: Literal["flag"] = "flag"

    def encode(self, array: Array) -> tuple[Encoded, Mask]:
        """1 or 0; a missing value is 0."""
        numbers, known = floats(array)
        return (known & (numbers == 1)).astype(np.float32), known | missing(array)

    def refusal(self) -> str:
        """The values that it accepts."""
        return "is not a number"

    def text(self) -> str:
        """The rows that count."""
        return "rows where it is 1"


def indices(array: Array, values: tuple[str, ...] | Array) -> NDArray[np.int64]:
    """The index of each text in the values, texts or an Arrow array of them; -1 if it is not one of them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    known = pa.array(values, pa.string()) if isinstance(values, tuple) else values
    found = pc.index_in(array, value_set=known, skip_nulls=True)
    places: NDArray[np.int64] = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return places
