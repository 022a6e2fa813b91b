"""The networkx graph."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import pytest

import archspec
from archspec.graph.load import graph_of, load

SPECS = Path(__file__).parents[2] / "specs"


@pytest.mark.parametrize("name", ["ple", "esmm", "meituan_search", "cross_stitch"])
def test_attributes(name: str) -> None:
    """Each node has category, kind, level, width and tasks; the graph is acyclic and equals the checked one."""
    spec = load(SPECS / f"{name}.yaml")
    exported = archspec.build_graph(spec)
    assert nx.is_directed_acyclic_graph(exported)
    assert set(exported) == set(graph_of(spec).nodes)
    for _, data in exported.nodes(data=True):
        assert {"category", "kind", "level", "width", "tasks"} <= data.keys()
        assert isinstance(data["width"], int)
    assert exported.graph["digest"] == spec.digest


def test_edges_merge_roles() -> None:
    """A gate that reads a stream in two roles has one edge with both."""
    exported = archspec.build_graph(load(SPECS / "ple.yaml"))
    roles = {role for *_, data in exported.edges(data=True) for role in data["roles"]}
    assert {"from", "selector", "sees", "output"} <= roles
