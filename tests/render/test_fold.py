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


def steered_by_inputs() -> graphs.Graph:
    """PLE whose second gate of ctr is steered by the raw input, as in ML-MMoE."""
    graph = graphs.ple()
    graph.remove_edge("level1.gates.ctr", "level2.gates.ctr")
    graph.nodes["level2.gates.ctr"]["steered"] = ("by inputs",)
    for name in ("user", "item", "ctx"):
        graph.add_edge(f"inputs.{name}", "level2.gates.ctr", roles=("selector",), detached=False)
    return graph


def test_another_stream_as_selector_stands_in_the_box_of_the_gate() -> None:
    """It is said in words; with `selectors` it is an arrow, and nothing is said twice."""
    figure = fold(steered_by_inputs())
    assert figure.blocks["level2.gates.ctr"].small == ("by inputs",)
    assert not [arrow for arrow in figure.arrows if arrow.controls]
    shown = fold(steered_by_inputs(), selectors=True)
    assert Arrow("inputs.user", "level2.gates.ctr", "selector") in shown.arrows
    assert not shown.blocks["level2.gates.ctr"].small


def test_what_the_experts_read_is_expected_of_a_selector() -> None:
    """Whatever a gate's experts read may steer it without a word (POSO, HiNet), unless its gradient stops there."""
    graph = graphs.mmoe()
    context = graphs.Builder("", (), 0).node("inputs.context", "input", "sparse", 0, width=8)
    graph.add_node("inputs.context", **graphs.ple().nodes["inputs.user"])
    graph.add_edge(context, "towers.ctr", roles=("from",), detached=False)
    assert not fold(graph).blocks["level1.gates.ctr"].small
    for name in ("user", "item"):
        graph.edges[f"inputs.{name}", "level1.gates.ctr"]["detached"] = True
    assert fold(graph).blocks["level1.gates.ctr"].small == ("by user, item",)


def test_a_gate_that_steers_another_says_its_name() -> None:
    """So that the words of the other have something to point at."""
    graph = graphs.ple()
    graph.add_edge("level1.gates.cvr", "level2.gates.ctr", roles=("selector",), detached=False)
    blocks = fold(graph).blocks
    assert blocks["level1.gates.cvr"].small == ("cvr",)
    assert not blocks["level1.gates.shared"].small


def test_an_input_that_only_steers_has_its_arrow() -> None:
    """A box without an arrow would look forgotten."""
    graph = steered_by_inputs()
    graph.add_node("inputs.scene", **(graph.nodes["inputs.user"] | {"width": 4}))
    graph.add_edge("inputs.scene", "level2.gates.ctr", roles=("selector",), detached=False)
    assert Arrow("inputs.scene", "level2.gates.ctr", "selector") in fold(graph).arrows


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


def test_an_expert_stands_above_the_expert_that_it_reads() -> None:
    """Within a level too the flow is upwards (MTAN's masks, AITM's chain)."""
    b = graphs.Builder("chain", ("ctr",), 1)
    below = b.experts(1, "u", 1, b.inputs(x=8))
    gate = b.gate(1, "ctr", below, below)
    b.experts(1, "p", 1, [gate])
    rows = [[block.name.rpartition(".")[2] for block in row] for row in fold(b.done()).rows(1)]
    assert rows == [["u"], ["ctr"], ["p"]]


def test_shared_blocks_stand_in_the_middle_of_what_they_feed() -> None:
    """Experts that two of four tasks see stand between these two, and outputs are in the order of the spec."""
    b = graphs.Builder("groups", ("a", "b", "c", "d"), 1)
    inputs = b.inputs(x=8)
    pairs = {name: b.experts(1, name, 1, inputs) for name in ("cd", "ab")}
    for task in b.tasks:
        gate = b.gate(1, task, [*b.experts(1, task, 1, inputs), *pairs["ab" if task in "ab" else "cd"]], inputs)
        b.task(task, b.tower(task, [gate]))
    figure = fold(b.done())
    assert [block.name.rpartition(".")[2] for block in figure.rows(1)[0]] == ["a", "ab", "b", "c", "cd", "d"]
    outputs = figure.across(block for block in figure.blocks.values() if block.form == "output")
    assert [block.title for block in outputs] == ["p(a)", "p(b)", "p(c)", "p(d)"]


def test_what_two_towers_make_together_stands_between_them() -> None:
    """ESCM2's ctcvr, the third task, is drawn between ctr and cvr, where no arrow crosses another."""
    b = graphs.Builder("escm2", ("ctr", "cvr", "ctcvr"), 0)
    inputs = b.inputs(user=18)
    towers = [b.tower(name, inputs) for name in ("ctr", "cvr")]
    for name, source in (("ctr", towers[0]), ("cvr", towers[1]), ("ctcvr", b.fusion("ctcvr", towers))):
        b.task(name, source)
    figure = fold(b.done())
    outputs = figure.across(block for block in figure.blocks.values() if block.form == "output")
    assert [block.title for block in outputs] == ["p(ctr)", "p(ctcvr)", "p(cvr)"]


def test_a_fusion_that_only_adds_to_the_loss_is_no_output() -> None:
    """AITM's order of tasks is a penalty: it has no name on top, and it is drawn as what it is."""
    graph = graphs.meituan()
    graph.nodes["fusion.rank"]["penalty"] = True
    figure = fold(graph)
    assert figure.blocks["fusion.rank"].form == "penalty"
    assert "fusion.rank.score" not in figure.blocks


def test_a_gate_has_the_colour_of_the_one_task_whose_experts_it_sees() -> None:
    """AdaTT's mix of a task's own experts is that task's, whatever its name and however many tasks train it."""
    b = graphs.Builder("adatt", ("ctr", "cvr"), 1)
    inputs = b.inputs(x=8)
    groups = {task: b.experts(1, task, 2, inputs) for task in b.tasks}
    own = b.gate(1, "own_ctr", groups["ctr"], [])
    for task in b.tasks:
        gate = b.gate(1, task, [*groups["ctr"], *groups["cvr"]], inputs)
        b.edges([own], gate, "residual")
        b.task(task, b.tower(task, [gate]))
    assert fold(b.done()).blocks[own].owner == "ctr"


def test_one_bar_of_inputs_at_most() -> None:
    """A box that alone feeds several groups is a bar below them; of two such boxes neither is."""
    assert fold(graphs.ple()).bar == (
        "inputs.user", ["level1.experts.ctr", "level1.experts.shared", "level1.experts.cvr"],
    )  # fmt: skip
    b = graphs.Builder("two", ("ctr", "cvr"), 0)
    first, second = b.inputs(x=8), b.inputs(y=8)
    for task in b.tasks:
        b.task(task, b.tower(task, [*first, *second]))
    b.task("third", b.tower("third", second))
    assert fold(b.done()).bar is None
