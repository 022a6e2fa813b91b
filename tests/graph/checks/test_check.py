"""Checks of a graph: columns that several inputs share."""

from __future__ import annotations

import pytest

from archspec.diagnostics import SpecError
from archspec.graph.load import load

SHARED = """archspec: 1
name: x
inputs:
  item: {{kind: sparse, vocab: 9, dim: 2}}
  one: {{kind: {one}}}
  two: {{kind: {two}, column: one}}
tasks: {{y: {{}}}}
towers: {{y: {{from: inputs}}}}
"""
ANY, THREE, FOUR = (f"sequence, table: item{length}" for length in ("", ", length: 3", ", length: 4"))
IDS, DENSE = "sparse, vocab: 9, dim: 2", "dense, dim: 3"


@pytest.mark.parametrize(("one", "two"), [(ANY, THREE), (THREE, ANY), (ANY, ANY), (THREE, THREE), (IDS, IDS)])
def test_a_column_that_can_be_both_is_shared(one: str, two: str) -> None:
    """A sequence without a length may share the column of one with a length, in either order."""
    spec = load(SHARED.format(one=one, two=two))
    assert [spec.inputs[name].common.column for name in ("one", "two")] == ["one", "one"]


@pytest.mark.parametrize(
    ("one", "two", "message"),
    [
        (THREE, FOUR, r"as ids \[B, 4\], input `one` as ids \[B, 3\]"),
        (THREE, DENSE, r"as numbers \[B, 3\], input `one` as ids \[B, 3\]"),
        (IDS, ANY, r"as ids \[B, L\], input `one` as ids \[B\]"),
        (DENSE, "dense, dim: 2", r"as numbers \[B, 2\], input `one` as numbers \[B, 3\]"),
    ],
)
def test_a_column_that_cannot_be_both_is_named(one: str, two: str, message: str) -> None:
    """One column cannot be used with two lengths, as ids and numbers, or as a single id and a sequence."""
    with pytest.raises(SpecError, match="AS217") as raised:
        load(SHARED.format(one=one, two=two))
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(str(raised.value))
