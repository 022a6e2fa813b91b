"""Descriptions of differences in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from archspec.graph.difference import difference
from archspec.graph.load import load_graph
from archspec.graph.statements import Statement, shown, statements
from archspec.plugins import load

ROOT = Path(__file__).resolve().parents[2]
PLE = (ROOT / "specs" / "ple.yaml").read_text(encoding="utf-8")
MEITUAN = (ROOT / "specs" / "meituan_search.yaml").read_text(encoding="utf-8")


NAMES = "towers.ctr.cases.flash, towers.ctr.cases.grocery, towers.ctr.cases.takeaway"


def said(old: str, new: str) -> tuple[Statement, ...]:
    """The differences between two specs in words."""
    return statements(difference(load_graph(old, None, load()), load_graph(new, None, load())))


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("[64, 32]", "[128, 32]", "changed  `units` of all 6 expert groups: [64, 32] -> [128, 32]"),
        ("shared: {sees: all}", "shared: {sees: all, temperature: 0.5}",
         "changed  `temperature` of level1.gates.shared: 1.0 -> 0.5"),
        ("[$task, shared]}", "[$task, shared], kind: topk, k: 2}",
         "changed  `kind` of gates vtr and vcr at levels 1 and 2: softmax -> topk (with k: 2, balance: 0.0)"),
        ("[$task, shared]}", "shared}",
         "changed  `sees` of gates vtr and vcr at levels 1 and 2: no longer its own group"),
        ("vcr: {kind: regression", "vcr: {kind: regression, when: vtr", "added    `when` of tasks.vcr: vtr"),
        ("  vcr:", "  share: {}\n  vcr:",
         "added    `share`: task and tower; expert groups and gates at levels 1 and 2"),
        ("  vcr:", "  share: {}\n  like: {}\n  vcr:",
         "added    `share` and `like`: task and tower; expert groups and gates at levels 1 and 2"),
        ("  vcr:", "  share: {}\n  vcr:", "changed  `sees` of level1.gates.shared: also share"),
        ("repeat: 2", "repeat: 3", "added    level 3: expert groups vtr, vcr and shared; gates vtr and vcr"),
        ("inputs:\n", "inputs:\n  city: {kind: dense, dim: 2}\n",
         "added    inputs.city: {kind: dense, column: city, dim: 2}"),
        ("archspec: 1", "archspec: 1\nbalance: uncertainty", "changed  `balance`: sum -> uncertainty"),
    ],
)  # fmt: skip
def test_a_change_is_said_once(old: str, new: str, text: str) -> None:
    """A change is described in one line for any number of blocks, and so is the reverse change."""
    assert old in PLE
    there, back = said(PLE, PLE.replace(old, new)), said(PLE.replace(old, new), PLE)
    assert [str(one).startswith(text) for one in there].count(True) == 1, [str(one) for one in there]
    assert len(there) == len(back)


def test_places_are_complete() -> None:
    """A statement lists all blocks that it applies to, even if its text names only some."""
    (units,) = said(PLE, PLE.replace("[64, 32]", "[128, 32]"))
    assert units.places == tuple(f"level{n}.experts.{name}" for n in (1, 2) for name in ("vtr", "vcr", "shared"))
    assert (units.setting, units.old, units.new) == ("units", [64, 32], [128, 32])


def test_lists_that_gain_the_same_name_are_said_together() -> None:
    """Gates that gain the same name share a line; values that differ from place to place are not listed."""
    found = said(PLE, PLE.replace("[$task, shared]", "[vtr, vcr, shared]"))
    assert [str(one) for one in found] == [
        "changed  `sees` of level1.gates.vtr and level2.gates.vtr: also vcr",
        "changed  `sees` of level1.gates.vcr and level2.gates.vcr: also vtr",
    ]
    several = said(MEITUAN, MEITUAN.replace("[64, 32]", "[64, 16]"))
    assert [one.text for one in several] == [
        "`units` of level2.experts.ctr, level2.experts.cvr and level2.experts.shared: [64, 32] -> [64, 16]",
        f"`units` of 6 towers ({NAMES} and 3 more): [64, 32] -> [64, 16]",
    ]


def test_levels_that_are_gone_are_one_line() -> None:
    """A removed level is one line that includes its blocks."""
    texts = [str(one) for one in said(PLE, PLE.replace("repeat: 2", "repeat: 1"))]
    assert "removed  level 2: expert groups vtr, vcr and shared; gates vtr and vcr" in texts


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([64, "relu", 0.5], "[64, relu, 0.5]"),
        ({"kind": "dense", "dim": 2}, "{kind: dense, dim: 2}"),
        ("level1.experts.a.0", "level1.experts.a.0"),
        ("a b", '"a b"'),
        ("", '""'),
        (True, "true"),
    ],
)
def test_values_are_written_as_in_a_spec(value: object, text: str) -> None:
    """Names are printed bare, other texts quoted."""
    assert shown(value) == text
