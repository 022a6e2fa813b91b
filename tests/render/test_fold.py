"""How the nodes and edges of a graph appear in a figure."""

from __future__ import annotations

import pytest

from archspec.render.figure import Arrow
from archspec.render.fold import fold
from tests.render import graphs


def test_one_arrow_stands_for_a_whole_group() -> None:
    """A gate that sees all experts of a group has a single arrow, from the group."""
    figure = fold(graphs.ple())
    arrows = [arrow for arrow in figure.arrows if arrow.head == "level1.gates.ctr" and not arrow.controls]
    assert arrows == [
        Arrow("level1.experts.ctr", "level1.gates.ctr", "sees", own=True),
        Arrow("level1.experts.shared", "level1.gates.ctr", "sees"),
    ]


def test_a_part_of_a_group_is_drawn_expert_by_expert() -> None:
    """A gate that sees only some experts of a group has an arrow from each of these and from no other."""
    graph = graphs.mmoe()
    graph.remove_edge("level1.experts.shared.1", "level1.gates.ctr")
    figure = fold(graph)
    ports = {arrow.tail_port for arrow in figure.arrows if arrow.head == "level1.gates.ctr" and not arrow.controls}
    assert ports == {"e0", "e2", "e3"}


@pytest.mark.parametrize("graph", [graphs.ple(), graphs.mmoe(), graphs.esmm(), graphs.meituan()], ids=lambda g: g.name)
def test_no_edge_is_lost_or_invented(graph: graphs.Graph) -> None:
    """With every selector shown, unfolding the arrows gives exactly the pairs of blocks connected in the graph."""
    figure = fold(graph, selectors=True)
    homes = {name: graphs.home(graph, name) for name in graph}
    boxes = {frozenset(graph.successors(name)): name for name in figure.blocks if name in graph}
    for name in homes:
        if name.startswith("inputs."):
            homes[name] = boxes[frozenset(graph.successors(name))]
    expected = {(homes[tail], homes[head]) for tail, head in graph.edges() if graph.nodes[tail]["case"] is None}
    drawn = {(arrow.tail, arrow.head) for arrow in figure.arrows if not arrow.head.endswith(".score")}
    assert drawn == expected


def test_own_stream_selectors_show_only_when_asked() -> None:
    """In PLE's first level one selector steers all gates and is drawn; above, gates select by their experts' stream."""
    steered = {arrow.head for arrow in fold(graphs.ple()).arrows if arrow.controls}
    assert steered == {"level1.gates.ctr", "level1.gates.cvr", "level1.gates.shared"}
    shown = [arrow for arrow in fold(graphs.ple(), selectors=True).arrows if arrow.controls]
    assert ("level1.gates.ctr", "level2.gates.ctr") in {(arrow.tail, arrow.head) for arrow in shown}


def test_another_stream_as_selector_is_drawn() -> None:
    """If PLE's second gate of ctr is steered by the raw input, as in ML-MMoE, this selector has an arrow."""
    graph = graphs.ple()
    graph.remove_edge("level1.gates.ctr", "level2.gates.ctr", key="selector")
    for name in ("user", "item", "ctx"):
        graphs.join(graph, f"inputs.{name}", "level2.gates.ctr", "selector")
    steered = [arrow for arrow in fold(graph).arrows if arrow.controls and arrow.head.startswith("level2")]
    assert steered == [Arrow("inputs.user", "level2.gates.ctr", "selector")]


def test_a_selector_without_a_gradient_is_drawn() -> None:
    """It is drawn even if it is the stream that the experts read, because the gradient differs."""
    graph = graphs.ple()
    graph.remove_edge("level1.gates.ctr", "level2.gates.ctr", key="selector")
    graphs.join(graph, "level1.gates.ctr", "level2.gates.ctr", "selector", detached=True)
    assert Arrow("level1.gates.ctr", "level2.gates.ctr", "selector", detached=True) in fold(graph).arrows


def test_one_stream_in_two_roles_has_two_arrows() -> None:
    """PEPNet's feature gate reads its fields twice: once as fields, and without a gradient as its selector."""
    b = graphs.Builder("two", ("ctr",), 0)
    fields = b.inputs(user=8)
    gate = b.node("feature_gates.personal", "feature_gate", "sigmoid", 0, width=8)
    b.edges(fields, gate, "from")
    b.edges(fields, gate, "selector", detached=True)
    b.task("ctr", b.tower("ctr", [gate]))
    found = [(arrow.role, arrow.detached) for arrow in fold(b.done()).arrows if arrow.head == gate]
    assert sorted(found) == [("from", False), ("selector", True)]


def test_domains_that_a_gate_leaves_out_are_words() -> None:
    """`exclude` is written in the gate's box; an edge for it would hide the gate's selector."""
    graph = graphs.meituan()
    graphs.join(graph, "inputs.business", "level1.gates.ctr", "exclude")
    graph.nodes["level1.gates.ctr"]["steered"] = ("by common", "not own business")
    figure = fold(graph)
    assert figure.blocks["level1.gates.ctr"].small == ("not own business",)
    assert not [arrow for arrow in figure.arrows if arrow.role == "exclude"]
    assert [arrow for arrow in fold(graph, selectors=True).arrows if arrow.role == "exclude"]


def test_inputs_with_the_same_readers_share_a_box() -> None:
    """Fourteen inputs that all experts read share one box with their number and total width."""
    b = graphs.Builder("wide", ("ctr",), 0)
    b.task("ctr", b.tower("ctr", b.inputs(**{f"f{i}": 10 for i in range(14)})))
    boxes = [block for block in fold(b.done()).blocks.values() if block.form == "inputs"]
    assert [(box.title, box.detail) for box in boxes] == [("14 inputs", "140")]


def test_a_large_group_becomes_one_box_with_a_count() -> None:
    """Forty-one experts are drawn as one box, six as six; `collapse` changes the limit."""
    (part,) = fold(graphs.mmoe(count=41)).blocks["level1.experts.shared"].parts
    assert part.title == "MLP × 41"
    assert len(fold(graphs.mmoe(count=6)).blocks["level1.experts.shared"].parts) == 6
    assert len(fold(graphs.mmoe(count=6), collapse=5).blocks["level1.experts.shared"].parts) == 1


def test_many_groups_are_folded() -> None:
    """With sixteen tasks every group of a level is one box, to keep the figure legible."""
    figure = fold(graphs.ple(tuple(f"t{i}" for i in range(16))))
    assert {len(block.parts) for block in figure.blocks.values() if block.form == "group"} == {1}


def test_a_block_that_one_task_trains_has_its_hue() -> None:
    """ESMM's cvr tower, named after no task, has the hue of ctcvr, which alone trains it; shared parts have none."""
    blocks = fold(graphs.esmm()).blocks
    assert blocks["towers.cvr"].owner == "ctcvr"
    assert fold(graphs.ple()).blocks["level1.experts.shared"].owner is None


def test_a_score_gets_its_name_on_top() -> None:
    """A fusion without a loss is still an output."""
    figure = fold(graphs.meituan())
    assert figure.blocks["fusion.rank.score"].title == "rank"
    assert Arrow("fusion.rank", "fusion.rank.score", "output") in figure.arrows


def test_residual_gates_stand_above_the_gates_they_read() -> None:
    """A gate that adds another gate of its level (AdaTT) is in its own row above."""
    graph = graphs.ple(levels=1)
    graphs.join(graph, "level1.gates.ctr", "level1.gates.cvr", "residual")
    rows = [[block.name.rpartition(".")[2] for block in row] for row in fold(graph).rows(1)]
    assert rows == [["ctr", "shared", "cvr"], ["ctr"], ["cvr"]]


def test_an_expert_stands_above_the_expert_that_it_reads() -> None:
    """The flow is upwards within a level, too (MTAN's masks, AITM's chain)."""
    b = graphs.Builder("chain", ("ctr",), 1)
    below = b.experts(1, "u", 1, b.inputs(x=8))
    gate = b.gate(1, "ctr", below, below)
    b.experts(1, "p", 1, [gate])
    rows = [[block.name.rpartition(".")[2] for block in row] for row in fold(b.done()).rows(1)]
    assert rows == [["u"], ["ctr"], ["p"]]


def test_shared_blocks_stand_in_the_middle_of_what_they_feed() -> None:
    """Experts that two of four tasks see are between these two; outputs are in the order of the spec."""
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
    """ESCM2's ctcvr, the third task, is drawn between ctr and cvr, so that no arrow crosses another."""
    b = graphs.Builder("escm2", ("ctr", "cvr", "ctcvr"), 0)
    inputs = b.inputs(user=18)
    towers = [b.tower(name, inputs) for name in ("ctr", "cvr")]
    for name, source in (("ctr", towers[0]), ("cvr", towers[1]), ("ctcvr", b.fusion("ctcvr", towers))):
        b.task(name, source)
    figure = fold(b.done())
    outputs = figure.across(block for block in figure.blocks.values() if block.form == "output")
    assert [block.title for block in outputs] == ["p(ctr)", "p(ctcvr)", "p(cvr)"]


def test_a_fusion_that_only_adds_to_the_loss_is_no_output() -> None:
    """AITM's order of tasks is a penalty: it has no name on top and is drawn as a penalty."""
    graph = graphs.meituan()
    graph.nodes["fusion.rank"]["penalty"] = True
    figure = fold(graph)
    assert figure.blocks["fusion.rank"].form == "penalty"
    assert "fusion.rank.score" not in figure.blocks


def test_a_gate_has_the_colour_of_the_one_task_whose_experts_it_sees() -> None:
    """AdaTT's mix of a task's own experts has this task's colour, whatever its name and however many tasks train it."""
    b = graphs.Builder("adatt", ("ctr", "cvr"), 1)
    inputs = b.inputs(x=8)
    groups = {task: b.experts(1, task, 2, inputs) for task in b.tasks}
    own = b.gate(1, "own_ctr", groups["ctr"], [])
    for task in b.tasks:
        gate = b.gate(1, task, [*groups["ctr"], *groups["cvr"]], inputs)
        b.edges([own], gate, "residual")
        b.task(task, b.tower(task, [gate]))
    assert fold(b.done()).blocks[own].owner == "ctr"


def test_a_stream_stays_in_its_column() -> None:
    """Each of Sluice's crossed experts is below the gate with its name, whichever other gates see it."""
    b = graphs.Builder("sluice", ("x", "y"), 1)
    inputs = b.inputs(u=8)
    groups = {name: b.experts(1, name, 1, inputs) for name in ("x_a", "y_a", "x_b", "y_b")}
    seen = [expert for group in groups.values() for expert in group]
    for task in b.tasks:
        gates = [b.gate(1, f"{task}_{part}", seen, inputs) for part in "ab"]
        b.task(task, b.tower(task, gates))
    row = fold(b.done()).rows(1)[0]
    assert [block.title for block in row] == ["x_a", "x_b", "y_a", "y_b"]
