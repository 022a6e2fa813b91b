"""Arrow columns as numbers, texts and lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from archspec.data.items import ListForm
from archspec.data.values import floats, lists, trimmed, whole


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1, None, 3]),
        pa.array([1, None, 3], pa.uint8()),
        pa.array([1.0, None, 3.0]),
        pa.array(["1", None, "3"]),
        pa.array(["1", "x", "3.0"]),
        pa.array(["1", None, "3"]).dictionary_encode(),
        pa.array([1.0, 2.5, 3.0]),
        pa.array([1.0, float("inf"), 3.0]),
    ],
)
def test_whole_numbers_of_all_types(array: Any) -> None:  # noqa: ANN401 - pyarrow comes without types
    """Integers, whole floats and their texts are whole numbers; everything else is not."""
    numbers, known = whole(array)
    assert known.tolist() == [True, False, True]
    assert numbers[known].tolist() == [1, 3]


def test_numbers_in_texts() -> None:
    """The usual spellings of numbers are read; truth values in any case are 1 and 0."""
    numbers, known = floats(pa.array(["-1.5", "+2", ".5", "1e-3", "True", "false", "inf", "1,5", "", None]))
    assert known.tolist() == [True] * 6 + [False] * 4
    assert numbers[known].tolist() == [-1.5, 2.0, 0.5, 1e-3, 1.0, 0.0]


def test_large_ids_keep_their_digits() -> None:
    """An int64 beyond the precision of a float is read exactly."""
    assert whole(pa.array([2**62 + 1]))[0].tolist() == [2**62 + 1]


def test_lists_and_their_texts() -> None:
    """Lists are separated by spaces, bars, semicolons or commas, with or without brackets; a missing list is empty."""
    for array in (
        pa.array([["a", "b"], None, [], ["c"]]),
        pa.array([["a", "b"], [], [], ["c"]], pa.large_list(pa.string())),
        pa.array(["a b", None, "", "c"]),
        pa.array(["[a, b]", "[]", " ", "|c|"]),
    ):
        offsets, items = lists(ListForm().real(array))
        assert offsets.tolist() == [0, 2, 2, 2, 3]
        assert items.to_pylist() == ["a", "b", "c"]


def test_white_space_is_no_value() -> None:
    """Spaces around a value are ignored; a text of only spaces is a missing value."""
    assert trimmed(pa.array([" a ", "  ", None])).to_pylist() == ["a", None, None]


def test_a_sliced_list_column_has_its_own_items() -> None:
    """A slice of a list column contains only the items of its own rows."""
    offsets, items = lists(pa.array([[1, 2], [3], [4, 5]])[1:])
    assert (np.diff(offsets).tolist(), items.to_pylist()) == ([1, 2], [3, 4, 5])
