"""Statistics of the values of a column, or of all columns that share their ids."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from archspec.data.hashing import hashes
from archspec.data.moments import moments
from archspec.data.numerals import numeral, padded
from archspec.data.values import NONE_OF_NAMES, floats, is_list, is_text, lists, missing, texts, unbroken

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from archspec.data.values import Array, Reading

_KEPT: Final = 1_000_000
"""How many numbers are kept to compute the edges of buckets."""
_PARTS: Final = 16
"""How many arrays of hashes are merged at once."""
LARGEST: Final = float(np.finfo(np.float32).max)


@dataclass
class Profile:
    """Statistics of the values of a family of columns, over all training files."""

    counts: Counter[str] = field(default_factory=Counter)
    """How often each value occurs, by its canonical text."""
    uncounted: bool = False
    """Whether some values are not counted yet: numbers are only counted if the column also has texts."""
    only_whole: bool = True
    only_numbers: bool = True
    moments: bool = False
    """Whether the values are read as dates and times."""
    texts: bool = False
    """Whether some values are texts."""
    typed: bool = False
    """Whether some values have a numeric type."""
    missing: int = 0
    rounded: float | None = None
    """A whole number that was rounded as a float."""
    low: float = np.inf
    high: float = -np.inf
    """The lowest and the highest whole number."""
    least: float = np.inf
    """The smallest distance of a whole number from 0."""
    longest: int = 0
    total: int = 0
    mean: float = 0.0
    squares: float = 0.0
    sample: list[NDArray[np.float64]] = field(default_factory=list)
    stride: int = 1
    latest: float = 0.0
    """The latest moment, in seconds since 1970."""
    _hashes: list[NDArray[np.uint64]] = field(default_factory=list)

    def look(self, array: Array, *, counted: bool) -> None:
        """Adds more values; with `counted`, counts the distinct ones."""
        if is_list(array):
            offsets, array = lists(array)
            self.longest = max(self.longest, int(np.diff(offsets).max(initial=0)))
        absent = missing(array)
        self.missing += int(absent.sum())
        if absent.all():
            return
        self.texts |= is_text(array)
        self.typed |= not is_text(array)
        numbers, known = floats(array)
        self._measure_whole(array, absent, numbers)
        self.only_numbers = self.only_numbers and not bool((np.isnan(numbers) & ~absent).any())
        if counted:
            self.count(array)
        self.uncounted |= not counted
        known &= np.abs(numbers) <= LARGEST
        if known.any():
            self.measure(numbers[known])

    def look_at_moments(self, array: Array) -> None:
        """Adds more dates and times."""
        absent = missing(array)
        self.missing += int(absent.sum())
        self.typed |= not absent.all()
        self.only_numbers = False
        self.moments = True
        _, seconds, known = moments(array)
        if known.any():
            self.latest = max(self.latest, float(seconds[known].max()))

    def hash(self, array: Array) -> None:
        """Adds the hashes of more values."""
        found, known = hashes(lists(array)[1] if is_list(array) else array)
        self._hashes.append(np.unique(found[known]))
        if sum(map(len, self._hashes)) > _KEPT and len(self._hashes) > _PARTS:
            self._hashes = [self.hashes()]

    def hashes(self) -> NDArray[np.uint64]:
        """The distinct hashes, sorted."""
        return np.unique(np.concatenate([np.empty(0, dtype=np.uint64), *self._hashes]))

    def count(self, array: Array) -> None:
        """Counts the distinct values."""
        if is_list(array):
            array = lists(array)[1]
        found = texts(array, "texts", NONE_OF_NAMES).drop_null().value_counts()
        self.counts.update(dict(zip(found.field(0).to_pylist(), found.field(1).to_pylist(), strict=True)))

    @property
    def names(self) -> bool:
        """Whether the values are names, so that `NA` is one of them: some other value is not a number."""
        return not self.only_numbers

    def values(self, reading: Reading) -> Counter[str]:
        """The counts by text; of numbers, `12` and `12.0` are counted together."""
        if self.names and reading != "numbers":
            return self.counts  # without a copy: there may be millions
        found: Counter[str] = Counter()
        for text, count in self.counts.items():
            if self.names or text != "NA":
                found[numeral(text) if reading == "numbers" else text] += count
        return found

    def absent(self) -> int:
        """How many values are missing."""
        return self.missing - self.names * self.counts["NA"]

    def padded(self) -> str | None:
        """A counted text that is a number with leading zeros."""
        return next(filter(padded, self.counts), None)

    @cached_property
    def twins(self) -> tuple[str, str] | None:
        """Two counted texts that are the same number, such as `7` and `007`; `true` and `1` are not the same."""
        seen: dict[str, str] = {}
        for text in self.counts:
            number = text if text in {"true", "false"} else numeral(text)
            other = seen.setdefault(number, text)
            if other != text:
                return other, text
        return None

    def _measure_whole(self, array: Array, absent: NDArray[np.bool_], numbers: NDArray[np.float64]) -> None:
        near, rounded = unbroken(array, numbers)
        self.only_whole = self.only_whole and bool((near | absent).all())
        if rounded.any() and self.rounded is None:
            self.rounded = float(numbers[rounded][0])
        if near.any():
            found = numbers[near]
            self.low, self.high = min(self.low, found.min()), max(self.high, found.max())
            self.least = min(self.least, np.abs(found).min())

    def measure(self, numbers: NDArray[np.float64]) -> None:
        """Adds numbers to mean and deviation (Chan et al., 1979), and every stride-th of them to the sample."""
        count, mean = len(numbers), float(numbers.mean())
        step = mean - self.mean
        whole_count = self.total + count
        self.squares += float(np.square(numbers - mean).sum()) + step * step * self.total * count / whole_count
        self.mean += step * count / whole_count
        self.sample.append(numbers[(-self.total) % self.stride :: self.stride])
        self.total = whole_count
        if sum(map(len, self.sample)) > _KEPT:
            self.sample = [np.concatenate(self.sample)[::2]]
            self.stride *= 2

    def edges(self, buckets: int) -> tuple[float, ...]:
        """Where buckets begin, except the first. They have about the same number of rows, but never share a value.

        A frequent value, such as the 0 of most amounts, gets its own bucket, and the others share the rest.
        """
        if not self.sample:
            return ()
        values, counts = np.unique(np.concatenate(self.sample), return_counts=True)
        upto = np.cumsum(counts)
        found: list[float] = []
        last = -1
        for left in range(buckets, 1, -1):
            taken = upto[last] if last >= 0 else 0
            last = max(int(np.searchsorted(upto, taken + (upto[-1] - taken) / left)), last + 1)
            if last + 1 >= len(values):
                break
            found.append(float(values[last + 1]))
        return tuple(found)
