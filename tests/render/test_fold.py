"""What a figure shows of a graph."""

from __future__ import annotations

import pytest

from archspec.render.figure import Arrow
from archspec.render.fold import fold
from tests.render import graphs


def test_one_arrow_stands_for_a_whole_group() -> None:
    """A gate that sees every expert of a group gets one arrow, from the group."""
    figure = fold(graphs.ple())
    arrows = [arrow for arrow in figure.arrows if arrow.head == "level1.gates.ctr"]
    assert arrows == [
        Arrow("level1.experts.ctr", "level1.gates.ctr", "sees", own=True),
        Arrow("level1.experts.shared", "level1.gates.ctr", "sees"),
    ]


def test_a_part_of_a_group_is_drawn_expert_by_expert() -> None:
    """A gate that sees some experts of a group gets an arrow from each of them and from no other."""
    graph = graphs.mmoe()
    graph.remove_edge("level1.experts.shared.1", "level1.gates.ctr")
    figure = fold(graph)
    ports = {arrow.tail_port for arrow in figure.arrows if arrow.head == "level1.gates.ctr"}
    assert ports == {"e0", "e2", "e3"}


@pytest.mark.parametrize("graph", [graphs.ple(), graphs.mmoe(), graphs.esmm(), graphs.meituan()], ids=lambda g: g.name)
def test_no_edge_is_lost_or_invented(graph: graphs.Graph) -> None:
    """With every selector shown, the arrows unfold to exactly the pairs of blocks that the graph's edges connect."""
    figure = fold(graph, selectors=True)
    homes = {name: graphs.home(graph, name) for name in graph}
    boxes = {frozenset(v for _, v in graph.out_edges(name)): name for name in figure.blocks if name in graph}
    for name in homes:
        if name.startswith("inputs."):
            homes[name] = boxes[frozenset(graph.successors(name))]
    expected = {(homes[tail], homes[head]) for tail, head in graph.edges}
    drawn = {(arrow.tail, arrow.head) for arrow in figure.arrows if not arrow.head.endswith(".score")}
    assert drawn == expected


def test_own_stream_selectors_show_only_when_asked() -> None:
    """PLE's selectors follow the default, so they are arrows only with `selectors`."""
    assert not [arrow for arrow in fold(graphs.ple()).arrows if arrow.controls]
    shown = [arrow for arrow in fold(graphs.ple(), selectors=True).arrows if arrow.controls]
    assert ("level1.gates.ctr", "level2.gates.ctr") in {(arrow.tail, arrow.head) for arrow in shown}


def test_another_stream_as_selector_always_shows() -> None:
    """A second-level gate that is steered by the raw input (ML-MMoE) says so."""
    graph = graphs.ple()
    graph.remove_edge("level1.gates.ctr", "level2.gates.ctr")
    for name in ("user", "item", "ctx"):
        graph.add_edge(f"inputs.{name}", "level2.gates.ctr", roles=("selector",), detached=False)
    steering = [arrow for arrow in fold(graph).arrows if arrow.controls]
    assert steering == [Arrow("inputs.user", "level2.gates.ctr", "selector")]


def test_inputs_with_the_same_readers_share_a_box() -> None:
    """Fourteen inputs that all experts read are one box with the first names, the count of the rest, and the width."""
    b = graphs.Builder("wide", ("ctr",), 0)
    b.task("ctr", b.tower("ctr", b.inputs(**{f"f{i}": 10 for i in range(14)})))
    boxes = [block for block in fold(b.done()).blocks.values() if block.form == "inputs"]
    assert [(box.title, box.detail) for box in boxes] == [("inputs", "f0, f1, +12 : 140")]


def test_a_large_group_becomes_one_box_with_a_count() -> None:
    """Forty-one experts are drawn as one; six are drawn as six; `collapse` moves the bound."""
    (part,) = fold(graphs.mmoe(count=41)).blocks["level1.experts.shared"].parts
    assert part.title == "MLP × 41"
    assert len(fold(graphs.mmoe(count=6)).blocks["level1.experts.shared"].parts) == 6
    assert len(fold(graphs.mmoe(count=6), collapse=5).blocks["level1.experts.shared"].parts) == 1


def test_many_groups_are_folded() -> None:
    """With sixteen tasks every group of a level is one box, so that the figure stays legible."""
    figure = fold(graphs.ple(tuple(f"t{i}" for i in range(16))))
    assert {len(block.parts) for block in figure.blocks.values() if block.form == "group"} == {1}


def test_a_block_that_one_task_trains_has_its_hue() -> None:
    """ESMM's cvr tower is named after no task, but only ctcvr trains it; what all train has no owner."""
    blocks = fold(graphs.esmm()).blocks
    assert blocks["towers.cvr"].owner == "ctcvr"
    assert fold(graphs.ple()).blocks["level1.experts.shared"].owner is None


def test_a_score_gets_its_name_on_top() -> None:
    """A fusion without a loss is an output all the same."""
    figure = fold(graphs.meituan())
    assert figure.blocks["fusion.rank.score"].title == "rank"
    assert Arrow("fusion.rank", "fusion.rank.score", "output") in figure.arrows


def test_residual_gates_stand_above_the_gates_they_read() -> None:
    """A gate that adds another gate of its level (AdaTT) is in a row of its own, above."""
    graph = graphs.ple(levels=1)
    graph.add_edge("level1.gates.ctr", "level1.gates.cvr", roles=("residual",), detached=False)
    rows = [[block.name.rpartition(".")[2] for block in row] for row in fold(graph).rows(1)]
    assert rows == [["ctr", "shared", "cvr"], ["ctr"], ["cvr"]]
