"""Tasks, domains and levels with the same structure are drawn once."""

from __future__ import annotations

import archspec
from archspec.render import drawing
from archspec.render.alike import classes, fold_alike
from archspec.render.levels import fold_levels
from tests.compiler.models import spec_of
from tests.render import graphs, stress


def ple(tasks: int, levels: int = 2) -> graphs.Graph:
    """The exported graph of PLE with this number of tasks."""
    return archspec.build_graph(archspec.load(stress.ple(tasks, levels)))


def test_more_than_eight_alike_tasks_are_one() -> None:
    """The first task keeps its experts, gates and tower, each of which represents twelve; the caption mentions it."""
    folded = fold_alike(ple(12), 8)
    assert folded.graph["tasks"] == ("t0",)
    assert {name: node["times"] for name, node in folded.nodes(data=True) if "times" in node}.keys() == {
        name for name in folded if name.rpartition(".")[2] == "t0" or ".t0." in name
    }  # fmt: skip
    assert folded.nodes["level1.experts.t0.0"]["trained"] == "all 12"
    assert not folded.nodes["level2.experts.t0.0"]["trained"]
    assert "level1.experts.shared.0" in folded
    assert folded.graph["remarks"] == ("12 tasks of equal structure are drawn as one (t0, t1, t2, …, t11).",)


def test_eight_tasks_are_drawn_one_by_one() -> None:
    """Twelve tasks that all differ are drawn one by one, too."""
    for graph in (ple(8), archspec.build_graph(archspec.load(stress.different(12)))):
        assert fold_alike(graph, 8) is graph


def test_a_setting_sets_a_task_apart() -> None:
    """Eleven equal tasks are folded; the twelfth, which has its own weight, is drawn separately."""
    text = stress.ple(12).replace("t11: {kind: binary}", "t11: {kind: binary, weight: 0.5}")
    folded = fold_alike(archspec.build_graph(archspec.load(text)), 8)
    assert folded.graph["tasks"] == ("t0", "t11")
    assert "11 tasks" in folded.graph["remarks"][0]


def test_groups_of_tasks_fold_with_what_is_theirs() -> None:
    """HoME's four tasks form two groups; folding removes the second group's experts with their readers."""
    folded = fold_alike(archspec.build_graph(spec_of("home")), 1)
    assert folded.nodes["level2.experts.watching.0"]["times"] == 2
    assert not [name for name in folded if "acting" in name]


def test_a_domain_counts_as_one_only_where_gates_choose_by_it() -> None:
    """SAR-Net's shared experts have the scene experts' settings, but the gate sees them in any scene: not alike."""
    kinds = classes(archspec.build_graph(spec_of("sarnet")))
    assert kinds["level1.experts.home.0"] == kinds["level1.experts.search.0"] != kinds["level1.experts.shared.0"]


def test_equal_levels_are_one() -> None:
    """Of PLE's five levels, the second and the third are equal; the others differ in what they read or train."""
    folded = fold_levels(ple(2, 5))
    assert folded.graph["spans"] == {2: 3}
    assert not [name for name in folded if name.startswith("level3.")]
    assert folded.has_edge("level2.gates.t0", "level4.experts.t0.0")
    texts = [text.text for text in drawing(ple(2, 5)).scene.texts()]
    assert "Levels 2 to 3" in texts
    assert "Levels 2 to 3 are equal and drawn once." in " ".join(texts)
    assert "Level 3" in [text.text for text in drawing(ple(2, 5), detail="full").scene.texts()]


def test_two_levels_of_ple_are_two() -> None:
    """PLE with two levels is not folded by levels."""
    graph = ple(2)
    assert fold_levels(graph) is graph


def test_a_thousand_tasks_are_drawn() -> None:
    """The figure has a sentence about what was folded."""
    made = drawing(graphs.mmoe(tuple(f"t{i}" for i in range(1000))))
    assert any("1000 tasks of equal structure" in text.text for text in made.scene.texts())
    assert made.scene.width < 600
