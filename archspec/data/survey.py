"""Which encoding a column gets: what was asked for, or what fits all of its values in the files to train on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from archspec.data.encodings import Buckets, Encoding, Flag, Ids, Key, Numbers, Standard, Vocabulary, Words
from archspec.data.labels import check_listed, label_encoding
from archspec.data.values import floats, is_list, is_text, lists, texts, whole
from archspec.diagnostics import Diagnostics, suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from archspec.data.demands import Demand
    from archspec.data.tables import Read
    from archspec.data.values import Array

_KEPT: Final = 1_000_000
"""Numbers that are kept to find the edges of buckets."""
_BUCKETS: Final = 64
"""Buckets of a column whose input does not say how many ids there are."""


@dataclass
class Sight:
    """What was seen of the values of a family of columns."""

    counts: Counter[str] = field(default_factory=Counter)
    only_whole: bool = True
    only_numbers: bool = True
    longest: int = 0
    total: int = 0
    mean: float = 0.0
    squares: float = 0.0
    sample: list[NDArray[np.float64]] = field(default_factory=list)
    stride: int = 1

    def look(self, array: Array, *, counted: bool) -> None:
        """Takes some more values in; counts the distinct ones where asked."""
        if is_list(array):
            offsets, array = lists(array)
            self.longest = max(self.longest, int(np.diff(offsets).max(initial=0)))
        missing = array.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
        self.only_whole = self.only_whole and bool((whole(array)[1] | missing).all())
        numbers, known = floats(array)
        self.only_numbers = self.only_numbers and bool((known | missing).all())
        if counted:
            found = texts(array).drop_null().value_counts()
            self.counts.update(dict(zip(found.field(0).to_pylist(), found.field(1).to_pylist(), strict=True)))
        if known.any():
            self.measure(numbers[known])

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
        """Where buckets begin, less the first. Rows are shared out evenly, but a value is never cut in two.

        A frequent value, such as the 0 of most amounts, has a bucket of its own, and the others share what is left.
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


def check_choices(choices: Mapping[str, str], demands: Mapping[str, Demand]) -> None:
    """Raises SpecError where an encoding is asked for that a column cannot have."""
    problems = Diagnostics()
    for column, kind in choices.items():
        if column not in demands:
            near = suggest(column, demands)
            problems.error(
                "AS705", f"the spec reads no column `{column}`",
                help=f"did you mean `{near}`?" if near else f"it reads {', '.join(demands)}",
            )  # fmt: skip
        elif kind.partition(":")[0] not in (able := demands[column].choices):
            has = f"takes {', '.join(able)}" if able else "is read as it is"
            reader = demands[column].reader
            problems.error("AS705", f"column `{column}` cannot be encoded as `{kind}`", help=f"{reader} {has}")
        elif ":" in kind:
            check_listed(demands[column], kind, problems)
    problems.raise_errors(status=2)


def learned(
    read: Read, demands: Mapping[str, Demand], choices: Mapping[str, str]
) -> tuple[dict[str, Encoding], dict[str, int]]:
    """Encodings by column, and the longest list by column.

    Args:
        read: gives some columns of the rows to learn from, piece by piece.
        demands: what the spec reads.
        choices: encodings that were asked for, by column; one holds for all columns that share its ids.
    """
    by_home = {_home(demands[column]): kind for column, kind in choices.items()}
    by_home |= {_home(demand): "ids" for demand in demands.values() if demand.plain and demand.encodes}
    asked = {name: by_home.get(_home(demand)) for name, demand in demands.items()}
    looked = {name for name, d in demands.items() if (d.encodes and not d.words) or asked[name] == "standard"}
    sights = {_home(demands[name]): Sight() for name in looked}
    for piece in read(looked) if looked else ():
        for name in looked:
            array, kind = piece.columns[name], asked[name]
            if demands[name].use == "lists" and is_text(array):
                array = _as_lists(array)
            counted = kind == "vocabulary" or (kind is None and _texts(array))
            sights[_home(demands[name])].look(array, counted=counted)
    several = {_home(demand) for demand in demands.values() if demand.use == "lists"}
    found = {}
    for name, demand in demands.items():
        home = _home(demand)
        sight = sights.get(home, Sight())
        found[name] = _encoding(demand, asked[name] or _natural(sight, several=home in several), sight)
    return found, {name: sights[_home(demands[name])].longest for name in looked if demands[name].use == "lists"}


def _home(demand: Demand) -> str:
    return demand.family or demand.column


def _as_lists(array: Array) -> Array:
    import pyarrow as pa

    offsets, items = lists(array)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), items)


def _texts(array: Array) -> bool:
    return is_text(array.values if is_list(array) else array)


def _natural(sight: Sight, *, several: bool) -> str:
    """What ids are where nothing was asked: whole numbers stay, other numbers fall in buckets, texts are words."""
    if sight.only_whole:
        return "ids"
    return "buckets" if sight.only_numbers and not several else "vocabulary"


def _encoding(demand: Demand, kind: str, sight: Sight) -> Encoding:
    """The encoding of a column of given use."""
    if demand.encodes:
        return Words(words=demand.words) if demand.words else _of_ids(kind, sight, demand.high)
    if kind == "standard":
        return Standard(mean=sight.mean, deviation=(sight.squares / max(sight.total, 1)) ** 0.5 or 1.0)
    fixed: dict[str, Encoding] = {
        "numbers": Numbers(),
        "weight": Numbers(low=0),
        "space": Flag(),
        "column": Numbers(),
        "key": Key(),
    }
    return label_encoding(demand, None) if demand.tasks else fixed[demand.use]


def _of_ids(kind: str, sight: Sight, high: int | None) -> Encoding:
    if kind == "vocabulary":
        room = None if high is None else high - 1
        ranked = sorted(sight.counts.items(), key=lambda item: (-item[1], item[0]))
        values = tuple(value for value, _ in ranked[:room])
        return Vocabulary(values=values, others=len(ranked) - len(values))
    return Buckets(edges=sight.edges((high or _BUCKETS) - 1)) if kind == "buckets" else Ids(high=high)
