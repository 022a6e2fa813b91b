"""Encodings: the id or number of each value, and which values do not fit."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from archspec.data.encodings import (
    Buckets,
    Flag,
    Ids,
    Numbers,
    Standard,
    Vocabulary,
    Words,
)
from archspec.data.hashing import Key
from archspec.data.labels import Labels
from archspec.data.serialization import ENCODINGS, AnyEncoding

ALL: dict[str, AnyEncoding] = {
    "a": Ids(high=3),
    "b": Vocabulary(values=("x", "y\n"), others=2),
    "c": Buckets(edges=(0.5, 1.5)),
    "d": Words(words=("home", "shop")),
    "e": Numbers(low=0, high=1),
    "f": Standard(mean=2.0, deviation=4.0),
    "g": Flag(),
    "h": Key(),
    "i": Labels(high=2),
    "j": Labels(high=3, index=True, values=("1", "2", "5"), masked=True),
}


@pytest.mark.parametrize(
    ("encoding", "values", "encoded", "fits"),
    [
        (ALL["a"], [0, 2, 3, -1, None], [0, 2, 0, 0, 0], [1, 1, 0, 0, 0]),
        (ALL["b"], ["x", "y\n", "z", None], [1, 2, 0, 0], [1, 1, 1, 1]),
        (ALL["c"], [0.0, 0.5, 1.0, 1.5, 9.0, None], [1, 2, 2, 3, 3, 0], [1, 1, 1, 1, 1, 1]),
        (ALL["c"], ["0", "x"], [1, 0], [1, 0]),
        (ALL["d"], ["shop", "home", "1", "bar", None], [1, 0, 1, 0, 0], [1, 1, 1, 0, 0]),
        (ALL["d"], [0, 1, 2], [0, 1, 0], [1, 1, 0]),
        (ALL["e"], [0.0, 1.0, 1.5, float("nan"), None], [0, 1, 0, 0, 0], [1, 1, 0, 0, 0]),
        (Numbers(), [1e300, -2.0], [0, -2], [0, 1]),
        (ALL["f"], [2.0, 6.0, None], [0, 1, 0], [1, 1, 1]),
        (ALL["f"], ["6", "x"], [1, 0], [1, 0]),
        (ALL["g"], [1, 0, 2, None], [1, 0, 0, 0], [1, 1, 1, 1]),
        (ALL["h"], [7, 2**62, None], [7, 2**62, 0], [1, 1, 0]),
        (ALL["i"], [0, 1.0, 0.5, -1, 2, None], [0, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0]),
        (ALL["i"], ["1", "0.0", "True", "yes"], [1, 0, 1, 0], [1, 1, 1, 0]),
        (ALL["j"], [5, 1, 3, -1, None], [2, 0, 0, -1, -1], [1, 1, 0, 1, 1]),
        (Labels(high=2, soft=True), [0.15, 1.0, 1.5, None], [np.float32(0.15), 1, 0, 0], [1, 1, 0, 0]),
        (Labels(high=2, values=("no", "yes")), ["yes", "no", "-1", None], [1, 0, 0, 0], [1, 1, 0, 0]),
        (Labels(), [-1.0, 2.5, float("inf"), None], [-1, 2.5, 0, 0], [1, 1, 0, 0]),
    ],
)
def test_values(encoding: AnyEncoding, values: list[object], encoded: list[float], fits: list[int]) -> None:
    """Each value has its id or number; a value that does not fit is found, and gets a legal placeholder."""
    found, known = encoding.encode(pa.array(values))
    assert found.tolist() == encoded
    assert known.tolist() == [bool(fit) for fit in fits]


def test_no_rows() -> None:
    """Encoding a column without rows gives a column without rows."""
    for encoding in ALL.values():
        found, known = encoding.encode(pa.array([], pa.string()))
        assert len(found) == len(known) == 0


@pytest.mark.parametrize(
    "array",
    [
        pa.array([12, 3, 12]),
        pa.array(["12", "3", "12"]),
        pa.array([12.0, 3.0, 12.0]),
        pa.array([12, 3, 12], pa.uint64()),
        pa.array(["12", "3", "12"]).dictionary_encode(),
    ],
)
def test_keys_are_of_what_is_written(array: pa.Array) -> None:
    """User 12 has the same key in files of integers, texts, whole floats and categories."""
    keys, fits = Key().encode(array)
    assert fits.all()
    assert keys.tolist() == Key().encode(pa.array(["12", "3", "12"]))[0].tolist()


def test_keys_of_large_numbers_fractions_and_nothing() -> None:
    """A uint64 keeps its last digit; a fraction and a missing value have no key."""
    large, fits = Key().encode(pa.array([2**64 - 1, 2**64 - 2], pa.uint64()))
    assert fits.all()
    assert large[0] != large[1]
    _, fits = Key().encode(pa.array([0.5, 1.0, None]))
    assert fits.tolist() == [False, True, False]


def test_keys_of_texts() -> None:
    """Equal texts have the same key everywhere, different ones different keys; keys are not negative."""
    first, _ = Key().encode(pa.array(["a", "b", None, "a"]))
    again, _ = Key().encode(pa.array(["b", "a"]))
    assert first[0] == first[3] == again[1] != first[1] == again[0]
    assert (first >= 0).all()


def test_encodings_come_back_from_disk() -> None:
    """Encodings written as JSON read back unchanged."""
    assert ENCODINGS.validate_json(ENCODINGS.dump_json(ALL)) == ALL


def test_each_says_what_it_is() -> None:
    """Each encoding has a description in words, which is shown before training."""
    assert ALL["a"].text() == "unchanged ids, 0..2"
    assert ALL["b"].text() == "vocabulary of 2 values; 2 rarer ones share id 0 with unknown values"
    assert ALL["c"].text() == "3 buckets with about equally many rows"
