"""The encoding that is chosen for a column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from archspec.data.choices import Requests
from archspec.data.encodings import Buckets, Ids, Standard, Vocabulary
from archspec.data.profiles import Profile
from archspec.data.requirements import ColumnRequirement
from archspec.data.survey import learned
from archspec.data.tables import Chunk
from archspec.diagnostics import Diagnostics

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

CITY = ColumnRequirement("city", "ids", "input `city`", high=4, family="city")
VISITED = ColumnRequirement("visited", "lists", "input `visited`", width=3, high=4, family="city")
PRICE = ColumnRequirement("price", "numbers", "input `price`")


def encoding(values: list[Any], requirement: ColumnRequirement = CITY, kind: str | None = None) -> Any:  # noqa: ANN401 - any encoding, with its own fields
    """The encoding of a column with these values, read in chunks of two."""
    name = requirement.column

    def read(_columns: Collection[str]) -> Iterator[Chunk]:
        for start in range(0, len(values), 2):
            part = values[start : start + 2]
            yield Chunk("f", start, len(part), {name: pa.array(part)})

    return learned(read, {name: requirement}, {} if kind is None else {name: kind}).encodings[name]


def test_what_values_suggest() -> None:
    """Whole numbers are ids, other numbers get buckets, and texts a vocabulary, whatever their type."""
    assert encoding([1, 2, 3]) == encoding(["1", "2", "3"]) == encoding([1.0, None, 3.0]) == Ids(high=4)
    assert isinstance(encoding([1.5, 2.0, 3.0]), Buckets)
    assert isinstance(encoding(["1.5", "2", "3"]), Buckets)
    assert isinstance(encoding(["1", "2", "x"]), Vocabulary)


def test_a_vocabulary_keeps_the_most_frequent_values() -> None:
    """Ids are ordered by frequency, then by name; 0 is reserved, and values without room are counted."""
    found = encoding(["d", "b", "b", "c", "c", "a", "c", "e"])
    assert found == Vocabulary(values=("c", "b", "a"), others=2, reading="texts", names=True)


def test_what_is_asked_for_wins() -> None:
    """A requested encoding is used: integers can have a vocabulary or buckets."""
    assert encoding([900, 7, 900], kind="vocabulary") == Vocabulary(values=("900", "7"), reading="numbers")
    assert encoding([1, 2, 3, 4, 5, 6], kind="buckets") == Buckets(edges=(3.0, 5.0))


def test_buckets_hold_about_as_many_rows_each() -> None:
    """Every id except 0 is used, for about equally many rows."""
    values = np.random.default_rng(0).exponential(size=1000).tolist()
    ids, _ = encoding(values, ColumnRequirement("x", "ids", "x", high=6, family="x"), kind="buckets").encode(
        pa.array(values)
    )
    assert np.bincount(ids, minlength=6).tolist() == [0, 200, 200, 200, 200, 200]


def test_a_frequent_value_has_a_bucket_of_its_own() -> None:
    """If most values are 0, the others share the remaining buckets; there may be fewer distinct values than buckets."""
    requirement = ColumnRequirement("x", "ids", "x", high=4, family="x")
    assert encoding([0.0] * 90 + [1.5, 2, 3, 4], requirement, kind="buckets") == Buckets(edges=(1.5, 3.0))
    assert encoding([0.5, 0.5], requirement, kind="buckets") == Buckets(edges=())


def test_standard_numbers() -> None:
    """Mean and deviation cover all values and do not depend on the chunks."""
    values = [1.0, 5.0, None, 7.0, 11.0]
    found = encoding(values, PRICE, "standard")
    assert isinstance(found, Standard)
    assert (found.mean, found.deviation) == pytest.approx((6.0, np.std([1, 5, 7, 11])))
    assert encoding([3.0, 3.0], PRICE, "standard").deviation == 1.0


def test_a_family_has_one_encoding() -> None:
    """A column of lists and the column whose table it shares get one vocabulary from both."""

    def read(_columns: Collection[str]) -> Iterator[Chunk]:
        columns = {"city": pa.array(["a", "a", "a"]), "visited": pa.array([["b", "b"], None, ["c", "a", "b", "b"]])}
        yield Chunk("f", 0, 3, columns)

    found = learned(read, {"city": CITY, "visited": VISITED}, {})
    assert (
        found.encodings["city"]
        == found.encodings["visited"]
        == Vocabulary(values=("a", "b", "c"), reading="texts", names=True)
    )
    assert found.longest == {"visited": 4}


def test_many_numbers_are_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bucket edges come from a sample of limited size that is spread evenly over all rows."""
    monkeypatch.setattr("archspec.data.profiles._KEPT", 100)
    profile = Profile()
    for start in range(0, 10_000, 37):
        profile.measure(np.arange(start, min(start + 37, 10_000), dtype=np.float64))
    assert sum(map(len, profile.sample)) <= 150
    assert profile.edges(2)[0] == pytest.approx(5000, rel=0.05)
    assert profile.mean == pytest.approx(4999.5)


def test_encodings_that_cannot_be() -> None:
    """For an unread column or an impossible encoding, the error lists the possible ones."""
    problems = Diagnostics()
    requests = Requests(choices={"citi": "ids", "price": "buckets", "visited": "buckets", "city": "vocabluary"})
    requests.check({"city": CITY, "price": PRICE, "visited": VISITED}, problems)
    messages = sorted((item.message, item.help) for item in problems.items if item.code == "AS705")
    assert messages == [
        (
            "column `city` cannot be encoded as `vocabluary`",
            "did you mean `vocabulary`? input `city` takes ids, vocabulary, hash, buckets, hour, weekday",
        ),
        ("column `price` cannot be encoded as `buckets`", "input `price` takes numbers, standard, log1p, age"),
        ("column `visited` cannot be encoded as `buckets`", "input `visited` takes ids, vocabulary, hash"),
        ("the spec reads no column `citi`", "did you mean `city`?"),
    ]
