"""Encodings that continue those of an earlier run."""

from __future__ import annotations

import pyarrow as pa
import pytest

from archspec.data.encodings import Buckets, Encoding, Ids, Standard, Vocabulary, Words
from archspec.data.extend import extended, places
from archspec.data.hashing import Hashed
from archspec.data.labels import Labels

OLD = Vocabulary(values=("b", "a"), reading="texts")


def test_known_values_keep_their_ids_and_new_ones_follow() -> None:
    """Known values keep their ids whatever their frequency; new ones follow, the most frequent first."""
    fresh = Vocabulary(values=("c", "a", "d"), reading="texts")
    found = extended(OLD, fresh, None, extend=True)
    assert found == Vocabulary(values=("b", "a", "c", "d"), reading="texts")
    ids, _ = found.encode(pa.array(["a", "b", "c", "d", "e"]))
    assert ids.tolist() == [2, 1, 3, 4, 0]


def test_a_full_vocabulary_takes_no_new_values() -> None:
    """If there is room for three values, the rarest new value is unknown and counted."""
    fresh = Vocabulary(values=("c", "a", "d"), reading="texts")
    assert extended(OLD, fresh, 4, extend=True) == Vocabulary(values=("b", "a", "c"), others=1, reading="texts")
    assert extended(OLD, fresh, 2, extend=True) == Vocabulary(values=("b",), others=3, reading="texts")


def test_without_extension_new_values_are_unknown() -> None:
    """Without extension the old encoding is used unchanged."""
    fresh = Vocabulary(values=("c", "a"), reading="texts", missing=True)
    found = extended(OLD, fresh, 10, extend=False)
    assert isinstance(found, Vocabulary)
    assert (found.values, found.missing) == (OLD.values, False)


def test_a_missing_value_has_the_id_after_all_others() -> None:
    """Missing values need their own id, even if they first occur in the new rows."""
    fresh = Vocabulary(values=("c", "d"), reading="texts", missing=True)
    found = extended(OLD, fresh, 5, extend=True)
    assert found == Vocabulary(values=("b", "a", "c"), others=1, reading="texts", missing=True)
    assert found.encode(pa.array([None, "c"]))[0].tolist() == [4, 3]


def test_numbers_are_new_values_only_if_they_are_other_numbers() -> None:
    """An old vocabulary of numbers reads 7.0 and 007 as 7, so they are not new values."""
    old = Vocabulary(values=("7", "12"), reading="numbers")
    found = extended(old, Vocabulary(values=("007", "x", "12.0"), reading="texts"), None, extend=True)
    assert isinstance(found, Vocabulary)
    assert found.values == ("7", "12", "x")


@pytest.mark.parametrize(
    ("old", "fresh", "expected"),
    [
        (Buckets(edges=(1.0, 2.0)), Buckets(edges=(5.0,)), Buckets(edges=(1.0, 2.0))),
        (Standard(mean=1, deviation=2), Standard(mean=0, deviation=1), Standard(mean=1, deviation=2)),
        (Words(words=("a", "b"), first=1), Words(words=("a", "b", "c")), Words(words=("a", "b", "c"), first=1)),
        (Labels(high=2, values=("no", "yes")), Labels(high=2), Labels(high=2, values=("no", "yes"))),
        (Labels(high=2, values=("no", "yes")), Labels(high=3), Labels(high=3)),
        (Ids(high=5), Ids(high=9), Ids(high=9)),
        (Buckets(edges=(1.0, 2.0)), Vocabulary(values=("a",)), Vocabulary(values=("a",))),
    ],
)
def test_what_was_learned_is_kept(old: Encoding, fresh: Encoding, expected: Encoding) -> None:
    """Buckets, means and the values of classes are kept; names of a domain and ranges come from the new spec."""
    assert extended(old, fresh, 9, extend=True) == expected


def test_buckets_that_a_smaller_table_cannot_hold_are_learned_again() -> None:
    """Three buckets need ids 0 to 3, so a table of three rows gets new buckets."""
    old, fresh = Buckets(edges=(1.0, 2.0)), Buckets(edges=(5.0,))
    assert extended(old, fresh, 4, extend=True) == old
    assert extended(old, fresh, 3, extend=True) == fresh


def test_rows_move_by_value() -> None:
    """Row 0 stays; each known value takes its old row along, a new value has none, and missing values move too."""
    old = Vocabulary(values=("b", "a"), reading="texts", missing=True)
    new = Vocabulary(values=("a", "c", "b"), reading="texts", missing=True)
    assert places(old, new, (6, 7)).tolist() == [0, 2, -1, 1, 3, 5, -1]
    assert places(old, new.model_copy(update={"missing": False}), (6, 5)).tolist() == [0, 2, -1, 1, 4]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (Ids(high=3), Ids(high=5), [0, 1, 2, -1]),
        (None, None, [0, 1, 2, -1]),
        (Words(words=("a", "b", "c")), Words(words=("b", "d", "a", "c")), [1, -1, 0, 2]),
        (Hashed(high=4), Hashed(high=4), [0, 1, 2, -1]),
        (Hashed(high=4), Hashed(high=5), [-1] * 4),
        (Buckets(edges=(1.0,)), Buckets(edges=(2.0,)), [-1] * 4),
        (Buckets(edges=(1.0,)), Buckets(edges=(1.0,)), [0, 1, 2, -1]),
        (Ids(high=3), OLD, [-1] * 4),
    ],
)
def test_rows_of_other_encodings(old: Encoding | None, new: Encoding | None, expected: list[int]) -> None:
    """Rows are copied only if an id means the same before and after; names of a domain move by name."""
    assert places(old, new, (3, 4)).tolist() == expected
