"""The networkx graph."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import pytest

import archspec
from archspec.graph.load import graph_of, load

SPECS = Path(__file__).parents[2] / "specs"
PLUGINS = SPECS.parent / "plugins"


@pytest.mark.parametrize("name", ["ple", "esmm", "meituan_search", "cross_stitch"])
def test_attributes(name: str) -> None:
    """Each node has category, kind, level, width and tasks; the graph is acyclic and equals the checked graph."""
    spec = load(SPECS / f"{name}.yaml")
    exported = archspec.build_graph(spec)
    assert nx.is_directed_acyclic_graph(exported)
    assert set(exported) == set(graph_of(spec).nodes)
    for _, data in exported.nodes(data=True):
        assert {"category", "kind", "level", "width", "tasks"} <= data.keys()
        assert isinstance(data["width"], int)
    assert exported.graph["digest"] == spec.digest


def test_two_nodes_may_be_joined_in_several_roles() -> None:
    """PEPNet's gate reads its fields as data and, without a gradient, as its selector: that makes two edges."""
    exported = archspec.build_graph(load(SPECS / "pepnet.yaml"))
    edges = exported["inputs.user"]["feature_gates.personal"].values()
    assert sorted((data["role"], data["detached"]) for data in edges) == [("from", False), ("selector", True)]
    roles = {data["role"] for *_, data in exported.edges(data=True)}
    assert {"from", "selector", "modulate.selector", "output"} <= roles


def test_settings_that_differ_from_their_defaults() -> None:
    """A node has as attributes the settings that differ from the defaults of its kind, also nested ones."""
    home = archspec.build_graph(load(SPECS / "home.yaml")).nodes["level1.experts.shared.0"]
    assert home["changed"]["modulate"] == {"rank": 4, "at": "input"}
    assert home["changed"]["norm"] == "batch"
    assert "dropout" not in home["changed"]
    assert home["settings"]["dropout"] == 0.0
    ple = archspec.build_graph(load(SPECS / "ple.yaml"))
    assert ple.nodes["tasks.vcr"]["changed"] == {"label": "vcr"}
    assert ple.graph["balance"] == {"kind": "sum"}


def test_what_a_figure_says_in_words() -> None:
    """Attributes say what selects a gate's weights, a tower's kind if it is unusual, and that a fusion is a penalty."""
    hinet = archspec.build_graph(load(SPECS / "hinet.yaml"))
    assert hinet.nodes["level2.gates.others"]["steered"] == ("by scene", "not own scene")
    assert hinet.nodes["level3.gates.home_buy"]["steered"] == ("by others, own, shared",)
    m3oe = archspec.build_graph(load(SPECS / "m3oe.yaml")).nodes
    assert m3oe["level1.gates.at_home"]["steered"] == ()
    assert m3oe["level2.gates.shared_home_buy"]["steered"] == ("by sg(inputs)",)
    star = archspec.build_graph(load(SPECS / "star.yaml", plugins=[str(PLUGINS / "star.py")])).nodes
    assert (star["towers.main"]["detail"], star["towers.auxiliary"]["detail"]) == ("STAR, 64, 32, 1", "16, 1")
    aitm = archspec.build_graph(load(SPECS / "aitm.yaml", plugins=[str(PLUGINS / "aitm.py")])).nodes
    assert aitm["fusion.in_order"]["penalty"]
    assert not star["fusion.click"]["penalty"]
    assert aitm["fusion.in_order"]["detail"]


def test_what_a_node_is_among_its_like() -> None:
    """An expert's group and index, a case's value and a task's node are attributes, which other nodes do not have."""
    ple = archspec.build_graph(load(SPECS / "ple.yaml")).nodes
    assert [ple[f"level1.experts.shared.{i}"]["index"] for i in range(3)] == [0, 1, 2]
    assert {ple[f"level1.experts.shared.{i}"]["group"] for i in range(3)} == {"shared"}
    for name, data in ple.items():
        assert (data["index"] is None) is (data["category"] != "expert"), name
        assert data["case"] is None
    hinet = archspec.build_graph(load(SPECS / "hinet.yaml")).nodes
    cases = [data["case"] for name, data in hinet.items() if ".cases." in name]
    assert cases == [name.rpartition(".")[2] for name in hinet if ".cases." in name]
    assert cases


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        ("x", "by x"),
        ("[x, y]", "by x, y"),
        ("{sum: [x, y]}", "by x + y"),
        ("[x, {detach: y}]", "by x, sg(y)"),
        ("level1.experts.shared.1", "by shared"),
        ("level1.gates.low", "by low"),
    ],
)
def test_a_selector_is_a_formula(selector: str, words: str) -> None:
    """Selectors of added, concatenated or detached streams are shown as a formula, with names instead of indices."""
    spec = load(
        "archspec: 1\nname: steered\ninputs: {x: {kind: dense, dim: 2}, y: {kind: dense, dim: 2}}\ntasks: {t: {}}\n"
        "levels:\n  - experts: {shared: {count: 2, units: [2]}}\n    gates: {low: {sees: all, selector: x}}\n"
        f"  - experts: {{shared: {{from: low, units: [2]}}}}\n    gates: {{t: {{sees: all, selector: {selector}}}}}\n"
        "towers: {t: {}}\n"
    )
    assert archspec.build_graph(spec).nodes["level2.gates.t"]["steered"] == (words,)
