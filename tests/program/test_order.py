"""Graphs and programs share one stable order and one definition of reach."""

from __future__ import annotations

from graphlib import CycleError

import pytest

from archspec.program.order import in_order, reached

READS = {"d": ["b", "c"], "c": ["a"], "b": ["a"], "a": []}


def test_what_is_read_comes_first_and_rank_decides_the_rest() -> None:
    """Both orders of b and c are valid; the rank decides."""
    assert in_order(READS, rank=str) == ("a", "b", "c", "d")
    assert in_order(READS, rank="adcb".index) == ("a", "c", "b", "d")


def test_a_thing_waits_for_its_rank_only_while_another_is_ready() -> None:
    """An item that could come early comes late if its rank is high."""
    assert in_order({1: [], 2: [3], 3: [], 4: []}, rank=int) == (1, 3, 2, 4)


def test_a_cycle_is_named() -> None:
    """The error lists the cycle; its first member is repeated at the end."""
    with pytest.raises(CycleError) as error:
        in_order({"a": ["b"], "b": ["a"], "c": []}, rank=str)
    cycle = error.value.args[1]
    assert cycle[0] == cycle[-1]
    assert set(cycle) == {"a", "b"}


def test_reach_is_the_start_and_all_behind_it() -> None:
    """Each node occurs once, also in cycles; nodes that cannot be reached from the start are omitted."""
    edges = {"a": ["b"], "b": ["c", "a"], "c": [], "x": ["a"]}
    assert list(reached(["a"], lambda name: edges[name])) == ["a", "b", "c"]
    assert list(reached([], lambda name: edges[name])) == []
