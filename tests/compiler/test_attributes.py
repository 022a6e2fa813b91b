"""Attributes of emitted files are named after what a weight is, not after the spelling of its canonical name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archspec.compiler.lower import lower
from archspec.compiler.names import heading, node_attribute, plural, storage_attribute
from archspec.graph.load import graph_of
from archspec.program import Init, Weight
from archspec.program.nodes import NodeName
from tests.compiler.models import NAMES, spec_of

if TYPE_CHECKING:
    from archspec.program.program import Role

NODES = {
    NodeName("towers", "ctr"): ("ctr_tower", "towers", "hidden"),
    NodeName("towers", "ctr", case="home"): ("ctr_home_tower", "towers", "hidden"),
    NodeName("feature_gates", "scene"): ("scene_factors", "feature gates", "h"),
    NodeName("gates", "ctr", level=2): ("level2_ctr_gate", "level 2", "weights"),
    NodeName("experts", "shared", level=1, number=0): ("level1_shared_0", "level 1", "experts"),
    NodeName("fusion", "ctcvr"): ("fusion_ctcvr", "fusion", "h"),
    NodeName("scores", "ctr"): ("scores_ctr", "", "h"),
}


@pytest.mark.parametrize("name", NODES)
def test_a_node_is_called_by_its_parts(name: NodeName) -> None:
    """Attribute, heading and plural of a node are derived from its section, its level and its own name."""
    assert (node_attribute(name), heading(name), plural(name)) == NODES[name]


def weight(owner: NodeName, path: str, role: Role) -> Weight:
    """A weight of a node."""
    return Weight(f"{owner}.{path}", (1,), Init("constant", 0.0), owner=owner, path=tuple(path.split(".")), role=role)


EXPERT, TOWER = NodeName("experts", "shared", level=1, number=0), NodeName("towers", "ctr")
WEIGHTS: tuple[tuple[Weight, str, str], ...] = (
    (weight(NodeName("inputs", "user"), "weight", "table"), "user_table", "tables"),
    (weight(EXPERT, "layers.1.bias", "layer"), "level1_shared_0_bias1", "level1_bias"),
    (weight(EXPERT, "norms.0.running_mean", "norm"), "level1_shared_0_running_mean0", "level1_running_mean"),
    (weight(TOWER, "modulate.0.layers.1.weight", "layer"), "ctr_tower_modulate_0_weight1", "tower_weight"),
    (weight(TOWER, "head.weight", "head"), "ctr_tower_weight", "tower_weight"),
    (weight(TOWER, "head.bias", "head"), "ctr_tower_head_bias", "tower_bias"),
    (weight(NodeName("feature_gates", "scene"), "head.weight", "head"), "scene_factors_weight", "feature_gate_weight"),
)


@pytest.mark.parametrize(("held", "alone", "first"), WEIGHTS, ids=[held.name for held, *_ in WEIGHTS])
def test_a_tensor_is_called_by_its_first_weight(held: Weight, alone: str, first: str) -> None:
    """A tensor of one weight is named after the whole weight; one of several, after the first one's place and kind."""
    assert storage_attribute(held, several=False) == alone
    assert storage_attribute(held, several=True) == first


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_knows_its_node_and_its_role(name: str) -> None:
    """Owner and path form the canonical name; the role is `table` for what is looked up, and `norm` for norms."""
    program = lower(graph_of(spec_of(name))).forward
    for canonical, held in program.weights.items():
        assert canonical == held.name == ".".join((held.owner, *held.path))
    read = {op.weights[0] for op in program.ops if op.kind in {"embed", "pool"}}
    assert {held.name for held in program.weights.values() if held.role == "table"} == read
    norms = {held for op in program.ops if op.kind.endswith("_norm") for held in op.weights}
    assert {held.name for held in program.weights.values() if held.role == "norm"} == norms
