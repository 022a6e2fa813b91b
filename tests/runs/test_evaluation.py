"""Metrics of a run on other rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from archspec.data import distinct
from archspec.diagnostics import SpecError
from tests.runs.clicks import SPEC, rows, trained

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.runs.trained import Trained


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A run that was validated on `new.parquet`."""
    folder = tmp_path_factory.mktemp("run")
    parquet.write_table(pa.table(rows(200, 1)), folder / "new.parquet")
    return trained(folder, validation=(str(folder / "new.parquet"),), grouped_by="user")


def test_the_rows_of_validation_give_the_metrics_of_the_run(run: Trained) -> None:
    """On the files that the run was validated on, every metric equals that of results.json."""
    kept = json.loads((run.folder / "results.json").read_text())["best"]
    found = run.evaluate(run.folder.parent / "new.parquet")
    assert (found.whole.rows, found.skipped, found.groups) == (200, 0, {})
    assert {"click/grouped_auc", "buy/auc", "stars/accuracy", "task_losses"} <= found.whole.metrics.keys()
    for name, value in found.whole.metrics.items():
        assert value == pytest.approx(kept[f"validation/{name}"], abs=1e-6), name


def test_groups_are_measured_alone(run: Trained) -> None:
    """With a column, there are metrics for the rows of each value; rows without a value form a group."""
    data = rows(200, 2)
    data["scene"] = [None if row % 5 == 0 else scene for row, scene in enumerate(data["scene"])]
    found = run.evaluate(data, by="scene")
    assert list(found.groups) == ["home", "search", None]
    assert sum(group.rows for group in found.groups.values()) == found.whole.rows == 200
    for value, group in found.groups.items():
        chosen = np.flatnonzero([scene == value for scene in data["scene"]])
        alone = run.evaluate({name: [values[row] for row in chosen] for name, values in data.items()})
        assert alone.whole.rows == group.rows
        assert alone.whole.metrics == pytest.approx(group.metrics, abs=1e-6)


def test_groups_of_numbers_are_in_the_order_of_their_size(run: Trained) -> None:
    """Hours are sorted as numbers (2, 10), not as texts."""
    data = {**rows(60, 3), "hour": [10, 2, 7] * 20}
    assert list(run.evaluate(data, by="hour").groups) == ["2", "7", "10"]


@pytest.mark.parametrize("encoding", ["vocabulary", "hash"])
def test_a_column_of_the_run_is_read_as_the_run_reads_it(tmp_path: Path, encoding: str) -> None:
    """`NA` among names is a value, as in the run; in a column that the run does not read, it is a missing value."""
    run = trained(tmp_path, data=rows(300, 0, ("ann", "NA", "bob")), choices={"user": encoding, "seen": encoding})
    data = {**rows(6, 1), "user": ["NA", "ann", None, "bob", "NA", " "], "scene": ["NA", "home"] * 3}
    assert {value: group.rows for value, group in run.evaluate(data, by="user").groups.items()} == {
        "NA": 2, "ann": 1, "bob": 1, None: 2,
    }  # fmt: skip
    assert list(run.evaluate(data, by="scene").groups) == ["home", None]


def test_groups_have_the_texts_of_the_run(tmp_path: Path) -> None:
    """A vocabulary of numbers reads 7, 7.0 and `007` as one value, and so are they one group."""
    data = {**rows(300, 0), "user": [7, 12, 30] * 100}
    run = trained(tmp_path, SPEC.replace("table: user", "vocab: 20, dim: 4"), data, choices={"user": "vocabulary"})
    found = run.evaluate({**rows(4, 1), "user": ["7", "7.0", "007", "12"]}, by="user")
    assert {value: group.rows for value, group in found.groups.items()} == {"7": 3, "12": 1}


def test_a_metric_without_rows_has_no_value(run: Trained) -> None:
    """Without clicks `buy` has no rows, so the metric is None, as in results.json."""
    data = {**rows(20, 4), "click": [0] * 20}
    found = run.evaluate(data).whole.metrics
    assert (found["buy/auc"], found["buy/loss"], found["click/auc"]) == (None, None, None)
    assert found["click/log_loss"] is not None


def test_rows_that_do_not_fit(run: Trained) -> None:
    """They raise an error, or are skipped and counted."""
    data = {**rows(20, 5), "click": [3, *[1] * 19]}
    with pytest.raises(SpecError, match="row 1: `3` is neither 0 nor 1"):
        run.evaluate(data)
    found = run.evaluate(data, bad="skip")
    assert (found.whole.rows, found.skipped, [w.code for w in found.warnings]) == (19, 1, ["AS704"])


def test_labels_are_needed(run: Trained) -> None:
    """A missing label column is an error that names the task."""
    data = rows(20, 5)
    del data["stars"]
    with pytest.raises(SpecError, match=r"AS702.*task `stars` reads"):
        run.evaluate(data)


def test_too_many_groups(run: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column with a different value in each row is refused before memory is full."""
    monkeypatch.setattr(distinct, "MOST", 3)
    with pytest.raises(SpecError, match="AS804"):
        run.evaluate({**rows(20, 5), "row": list(range(20))}, by="row")


def test_groups_are_single_values(run: Trained) -> None:
    """A column of lists is refused in words."""
    with pytest.raises(SpecError, match=r"AS703.*the column to group by has the type list<item: string>"):
        run.evaluate(rows(20, 5), by="seen")


def test_a_balance_that_learns_changes_no_metric(tmp_path: Path) -> None:
    """A run's weights do not include the state of the balance: values that depend on it are not reported."""
    run = trained(tmp_path, SPEC + "balance: uncertainty\n")
    found = run.evaluate(tmp_path / "day.parquet").whole.metrics
    assert "loss" not in found
    assert found["task_losses"] == pytest.approx(sum(found[f"{task}/loss"] or 0 for task in run.graph.spec.tasks))
