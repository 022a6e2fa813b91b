"""A canonical name is a string that also knows its parts."""

from __future__ import annotations

import copy
import pickle

import pytest

from archspec.program.nodes import NodeName, owner_of

NAMES = {
    "inputs.user": NodeName("inputs", "user"),
    "groups.profile": NodeName("groups", "profile"),
    "feature_gates.scene": NodeName("feature_gates", "scene"),
    "level2.experts.shared": NodeName("experts", "shared", level=2),
    "level12.experts.shared.3": NodeName("experts", "shared", level=12, number=3),
    "level1.gates.ctr": NodeName("gates", "ctr", level=1),
    "towers.ctr": NodeName("towers", "ctr"),
    "towers.ctr.cases.home": NodeName("towers", "ctr", case="home"),
    "fusion.ctcvr": NodeName("fusion", "ctcvr"),
    "tasks.ctr": NodeName("tasks", "ctr"),
}


def parts(name: NodeName) -> tuple[object, ...]:
    """All parts of a name."""
    return name.section, name.name, name.level, name.number, name.case, name.part


@pytest.mark.parametrize("text", NAMES)
def test_a_name_is_its_text_and_is_read_back(text: str) -> None:
    """A plain string finds the name in a mapping, and parsing it gives the same parts."""
    name, read = NAMES[text], NodeName.parse(text)
    assert name == text
    found: dict[str, int] = {name: 1}
    assert found[text] == 1
    assert read is not None
    assert parts(read) == parts(name)


@pytest.mark.parametrize(
    "text",
    ["", "ctr", "level0.gates.ctr", "level1.gates.ctr.0", "inputs.user.0", "level1.towers.ctr", "gates.ctr",
     "towers.ctr.cases", "inputs.user.cases.home", "inputs.User", "level1.experts.shared.-1", "level1.experts.a.0.b",
     f"level{'9' * 5000}.gates.ctr", f"level1.experts.a.{'9' * 5000}"],
)  # fmt: skip
def test_what_is_no_name_is_not_read(text: str) -> None:
    """Strings that no node can have as a name parse to None, whatever their length."""
    assert NodeName.parse(text) is None


def test_a_part_knows_its_node() -> None:
    """A part of a part is a path; its node is the whole name; a whole name is its own node."""
    tower = NodeName("towers", "ctr", case="home")
    part = tower.child("modulate.0").child("down")
    assert (part, part.part, part.node) == ("towers.ctr.cases.home.modulate.0.down", "modulate.0.down", tower)
    assert parts(part.node) == parts(tower)
    assert tower.node is tower


def test_relatives_keep_section_and_level() -> None:
    """A sibling has another name in the same section and level; a member is one expert of a group."""
    group = NodeName("experts", "shared", level=2)
    assert (group.sibling("ctr"), group.member(1)) == ("level2.experts.ctr", "level2.experts.shared.1")
    assert parts(group.member(1)) == ("experts", "shared", 2, 1, None, "")


@pytest.mark.parametrize("name", NAMES.values())
def test_copies_know_the_same(name: NodeName) -> None:
    """Copies and pickles, also of parts, keep all information."""
    part = name.child("layers.0")
    for found in (copy.copy(part), copy.deepcopy(part), pickle.loads(pickle.dumps(part))):  # noqa: S301 - just dumped
        assert (found, parts(found)) == (part, parts(part))


def test_the_owner_is_the_longest_name() -> None:
    """The owner of a weight is the node with the longest name that is a prefix of the weight's name, up to a dot."""
    nodes = {"towers.ctr", "towers.ctr.cases.home", "inputs.a"}
    assert owner_of("towers.ctr.cases.home.head.weight", nodes) == "towers.ctr.cases.home"
    assert owner_of("towers.ctr", nodes) == "towers.ctr"
    assert owner_of("inputs.ab.weight", nodes) is None
