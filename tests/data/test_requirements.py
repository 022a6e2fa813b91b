"""The columns that a spec requires of a data table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from archspec import plugins
from archspec.data.requirements import column_requirements
from archspec.graph.load import load_graph

if TYPE_CHECKING:
    from archspec.graph.graph import Graph

ROOT = Path(__file__).resolve().parents[2]


def of_spec(name: str, *plugin: str) -> dict[str, str]:
    """Column -> use, for a spec of the repository."""
    graph = load_graph(ROOT / "specs" / f"{name}.yaml", None, plugins.load([ROOT / "plugins" / p for p in plugin]))
    return {column: requirement.use for column, requirement in column_requirements(graph).items()}


def test_every_kind_of_column_is_asked_for(graph: Graph) -> None:
    """Inputs, labels, sample spaces and row weights require their columns, each with its use."""
    found = {column: requirement.use for column, requirement in column_requirements(graph).items()}
    assert found == {
        "user": "ids", "city": "ids", "age": "ids", "visited": "lists", "scene": "ids", "price": "numbers",
        "place": "numbers", "click": "label", "buy": "label", "value": "weight", "watch": "label", "rating": "class",
    }  # fmt: skip


def test_columns_that_share_a_table_share_ids(graph: Graph) -> None:
    """A sequence that uses another input's table has the family and the range of ids of that input."""
    found = column_requirements(graph)
    assert found["visited"].family == found["city"].family != found["user"].family
    assert (found["visited"].high, found["visited"].width) == (5, 3)


def test_several_tables_of_one_column_ask_once() -> None:
    """STEM reads one column into a table for each task, but the column is required once."""
    assert of_spec("stem")["user"] == "ids"


def test_a_label_that_is_a_sample_space_too_stays_a_label() -> None:
    """In the census chain one task's label is the sample space of the next: it must still be 0 or 1."""
    spec = """
archspec: 1
name: chain
inputs: {x: {kind: dense, dim: 2}}
tasks: {buy: {when: click}, click: {}}
towers: {$task: {units: [2]}}
"""
    found = column_requirements(load_graph(spec, None, plugins.load([])))
    assert (found["click"].use, found["click"].high, found["buy"].space) == ("label", 2, "click")


def test_a_column_that_a_loss_names_is_asked_for() -> None:
    """The column that ESCM2's loss names, which says which rows were observed, is required."""
    assert of_spec("escm2", "escm2.py")["click"] == "label"


def test_an_input_that_nothing_reads_asks_for_nothing() -> None:
    """The column of an input that nothing reads is not required."""
    spec = """
archspec: 1
name: idle
inputs: {x: {kind: dense, dim: 2}, y: {kind: dense, dim: 2}}
tasks: {click: {}}
towers: {click: {from: x, units: [2]}}
"""
    assert set(column_requirements(load_graph(spec, None, plugins.load([])))) == {"x", "click"}


def test_the_column_of_groups_may_hold_anything(graph: Graph) -> None:
    """Grouped AUC requires its column, which may contain anything and may be read by an input."""
    assert column_requirements(graph, "session")["session"].use == "key"
    assert column_requirements(graph, "user")["user"].use == "ids"
