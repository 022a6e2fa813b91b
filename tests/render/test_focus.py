"""Highlighting parts of a figure, and numbers in blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import pytest

from archspec.diagnostics import SpecError
from archspec.render import drawing
from tests.render import graphs

if TYPE_CHECKING:
    from archspec.render import Options


def shown(graph: graphs.Graph, **options: Unpack[Options]) -> set[str]:
    """The blocks and lines that are not faded."""
    items = drawing(graph, **options).scene.items
    return {item.data["id"] for item in items if "id" in item.data and "opacity" not in item.data}


def test_what_a_task_needs() -> None:
    """For cvr of PLE everything is shown except ctr's output, tower, gates, and experts of the last level."""
    whole, front = shown(graphs.ple()), shown(graphs.ple(), focus="task=cvr")
    assert {name for name in whole - front if name.startswith("node-")} == {
        "node-tasks.ctr", "node-towers.ctr", "node-level2.gates.ctr", "node-level2.experts.ctr",
        "node-level1.gates.ctr",
    }  # fmt: skip
    assert "wire-sees-level1.experts.ctr-level1.experts.cvr-level1.gates.shared" in front


def test_a_node_with_its_neighbours() -> None:
    """Around a gate: the experts it sees, its selector and its readers, and only lines that end at the gate."""
    front = shown(graphs.ple(), focus="node=level1.gates.cvr")
    blocks = {name for name in front if name.startswith("node-")}
    assert blocks == {
        "node-inputs.user", "node-level1.experts.cvr", "node-level1.experts.shared", "node-level1.gates.cvr",
        "node-level2.experts.cvr", "node-level2.gates.cvr",
    }  # fmt: skip
    assert "wire-from-inputs.user-level1.experts.cvr" not in front
    assert "wire-from-level1.gates.cvr-level2.experts.cvr" in front


def test_what_a_loss_trains() -> None:
    """Parts that the loss reads without a gradient are not shown, nor lines along which no gradient flows."""
    graph = graphs.ple()
    for index in range(2):
        graph.remove_edge(f"level2.experts.shared.{index}", "level2.gates.ctr", key="sees")
        graphs.join(graph, f"level2.experts.shared.{index}", "level2.gates.ctr", "sees", detached=True)
        graph.nodes[f"level2.experts.shared.{index}"]["tasks"] = ("cvr",)
    front = shown(graph, trained_by="ctr")
    assert "node-level2.experts.shared" not in front
    assert "node-level1.experts.cvr" in front
    assert "wire-sees-detached-level2.experts.shared-level2.gates.ctr" not in front


def test_a_task_in_front_is_not_folded_away() -> None:
    """If one of twelve equal tasks is highlighted, all are drawn."""
    graph = graphs.mmoe(tuple(f"t{i}" for i in range(12)))
    assert "node-tasks.t7" not in shown(graph)
    assert "node-tasks.t7" in shown(graph, focus="task=t7")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"focus": "task=crt"}, "did you mean `ctr`"),
        ({"focus": "node=level1.gates.all"}, "no node `level1.gates.all`"),
        ({"focus": "ctr"}, "write `task=NAME` or `node=NAME`"),
        ({"trained_by": "nobody"}, "tasks here: ctr, cvr"),
    ],
)
def test_names_that_the_figure_does_not_have(options: Options, said: str) -> None:
    """Unknown names are refused, with the most similar known names."""
    with pytest.raises(SpecError, match=said) as problem:
        drawing(graphs.ple(), **options)
    assert problem.value.diagnostics[0].code == "AS607"


def test_numbers_in_blocks() -> None:
    """A group's parameters are the sum over its experts, its width is that of one expert; an unknown number is `?`."""
    graph = graphs.ple()
    for name in graph:
        graph.nodes[name]["params"] = 6_200 if "experts" in name else None if name == "towers.ctr" else 0
    texts = [text.text for text in drawing(graph, annotate="params").scene.texts()]
    assert texts.count("12.4K params") == 6
    assert texts.count("? params") == 1
    assert [text.text for text in drawing(graph, annotate="width").scene.texts()].count("→ 128") == 11
