"""The summary as data."""

from __future__ import annotations

from pathlib import Path

import pytest

from archspec.compiler.count import count
from archspec.compiler.summary import NodeSummary, Summary, TaskSummary, summarize
from archspec.graph.load import load_graph
from archspec.plugins import load
from tests.published import plugins_of

ROOT = Path(__file__).resolve().parents[2]
SPECS = sorted((ROOT / "specs").glob("*.yaml"))


def summary_of(path: Path) -> Summary:
    """The summary of a spec of the repository, with the plugins that it requires."""
    return summarize(load_graph(path, None, load(plugins_of(path))))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_numbers_add_up(path: Path) -> None:
    """The nodes add up to the total, and so do tables and dense weights; no task trains more than the total."""
    found = summary_of(path)
    parameters = [node.parameters for node in found.nodes]
    assert None not in parameters
    assert sum(number or 0 for number in parameters) == found.total.parameters
    assert found.tables + (found.dense or 0) == found.total.parameters
    alone = sum(task.alone or 0 for task in found.by_task)
    for task in found.by_task:
        parts = (task.alone or 0) + (task.shared or 0) + (task.untrained or 0)
        # The loss of DCMT's cvr also trains a counterfactual tower, which the score does not need.
        assert task.parameters == parts or (found.name == "dcmt" and (task.parameters or 0) < parts)
        assert alone + (task.shared or 0) <= (found.total.parameters or 0)
        assert (task.flops or 0) <= (found.total.flops or 0)


DETACHED = """\
archspec: 1
name: detached
inputs:
  user: {kind: sparse, vocab: 10, dim: 4}
  item: {kind: sparse, vocab: 20, dim: 4}
tasks: {ctr: {}, cvr: {}}
towers:
  ctr: {from: [user, item], units: []}
  cvr: {from: {detach: [user, item]}, units: []}
"""


def test_a_detached_stream_trains_nothing() -> None:
    """A task that reads tables behind a detached stream needs them, but does not train them."""
    ctr, cvr = summarize(load_graph(DETACHED, None, load())).by_task
    assert (ctr.alone, ctr.shared, ctr.untrained) == (40 + 80 + 9, 0, 0)
    assert (cvr.parameters, cvr.alone, cvr.shared, cvr.untrained) == (129, 9, 0, 120)


def test_a_loss_does_not_count_as_serving() -> None:
    """ESCM2's loss for conversions reads the click tower, but serving a conversion rate does not need the tower."""
    cvr = {task.task: task for task in summary_of(ROOT / "specs" / "escm2.yaml").by_task}["cvr"]
    assert (cvr.parameters, cvr.untrained) == (55073, 0)


def test_the_schema_is_the_data() -> None:
    """The JSON reads back as the same summary, and every key is documented."""
    found = summary_of(ROOT / "specs" / "ple.yaml")
    assert Summary.model_validate_json(found.model_dump_json()) == found
    for model in (Summary, NodeSummary, TaskSummary):
        assert [key for key, field in model.model_fields.items() if not field.description] == []
    assert found.total.parameters == count(load_graph(ROOT / "specs" / "ple.yaml", None, load())).total.parameters
