"""Comparisons of two specs as data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

import archspec
from archspec.compiler.comparison import (
    ChangeInWords,
    Comparison,
    NodeChange,
    Nodes,
    OldWeights,
    Reshaped,
    Side,
    compare,
)
from archspec.graph.load import load_graph
from archspec.plugins import load

if TYPE_CHECKING:
    from archspec.nn.module import Compiled

PLE = (Path(__file__).resolve().parents[2] / "specs" / "ple.yaml").read_text(encoding="utf-8")


def compared(old: str, new: str) -> Comparison:
    """The comparison of two texts."""
    return compare(load_graph(old, None, load()), load_graph(new, None, load()))


def loaded(old: str, new: str, names: list[str]) -> Compiled:
    """The new model with the old model's weights of the given names."""
    model = archspec.compile(new, seed=1)
    weights = dict(archspec.compile(old, seed=0).named_weights())
    model.load_weights({name: weights[name] for name in names}, strict=False)
    return model


@pytest.mark.parametrize(
    "new", [PLE.replace("[64, 32]", "[64, 48]"), PLE.replace("vtr", "click"), PLE.replace("repeat: 2", "repeat: 1")],
)  # fmt: skip
def test_what_is_said_to_load_does_load(new: str) -> None:
    """The weights listed in `load` are copied, those of another shape are rejected, and there are no others."""
    found = compared(PLE, new).weights
    before, after = (dict(archspec.compile(text, seed=0).named_weights()) for text in (PLE, new))
    model = dict(loaded(PLE, new, found.load).named_weights())
    assert all(torch.equal(model[name], before[name]) for name in found.load)
    assert {*found.load, *(one.weight for one in found.reshaped), *found.unused} == set(before)
    assert {*found.load, *(one.weight for one in found.reshaped), *found.missing} == set(after)
    assert found.loaded == sum(before[name].numel() for name in found.load)
    assert found.saved == sum(value.numel() for value in before.values())
    for one in found.reshaped:
        assert (one.old, one.new) == (list(before[one.weight].shape), list(after[one.weight].shape))
        with pytest.raises(ValueError, match="weights do not fit"):
            loaded(PLE, new, [one.weight])


def test_nodes_of_renamed_blocks_are_nodes_of_both() -> None:
    """Renaming a block neither adds nor removes a node."""
    nodes = compared(PLE, PLE.replace("vtr", "click")).nodes
    assert (nodes.added, nodes.removed) == ([], [])
    assert [node.node for node in nodes.changed] == ["tasks.click"]


def test_nodes_that_came_and_went() -> None:
    """An additional expert is an additional node; costs are given for both specs."""
    found = compared(PLE, PLE.replace("count: 3", "count: 4"))
    assert found.nodes.added == ["level1.experts.shared.3", "level2.experts.shared.3"]
    assert compared(PLE.replace("count: 3", "count: 4"), PLE).nodes.removed == found.nodes.added
    assert (found.new.parameters or 0) > (found.old.parameters or 0) == 121914
    assert found.new.tables == found.old.tables == 48000


def test_every_key_is_documented() -> None:
    """Every key of the JSON is documented."""
    for model in (Comparison, Side, ChangeInWords, Nodes, NodeChange, OldWeights, Reshaped):
        assert [key for key, field in model.model_fields.items() if not field.description] == []
