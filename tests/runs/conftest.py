"""The graph of a test module's `TEXT`, a small table of clicks, and a run by the module's `RECIPE`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archspec.data.prepare import Source
from archspec.graph.load import load_graph
from archspec.plugins import load
from archspec.runs.training import train

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.graph.graph import Graph


@pytest.fixture(scope="module")
def graph(request: pytest.FixtureRequest) -> Graph:
    """The graph of the module's `TEXT`."""
    return load_graph(request.module.TEXT, None, load([]))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """300 rows."""
    path = tmp_path_factory.mktemp("rows") / "a.csv"
    path.write_text("user,click\n" + "".join(f"{i % 50},{i % 2}\n" for i in range(300)))
    return Source((str(path),))


@pytest.fixture(scope="module")
def unbroken(
    request: pytest.FixtureRequest, graph: Graph, source: Source, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of an uninterrupted run by the module's `RECIPE`."""
    folder = tmp_path_factory.mktemp("run") / "unbroken"
    train(graph, source, request.module.RECIPE, folder)
    return folder
