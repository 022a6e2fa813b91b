"""Validation rows of a run, measured by the values of a column: `archspec train --by COLUMN`."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from archspec import plugins
from archspec.data import distinct
from archspec.data.prepare import Source
from archspec.diagnostics import SpecError
from archspec.graph.load import load_graph
from archspec.runs.files import RESULTS
from archspec.runs.recipe import Recipe
from archspec.runs.trained import load_run
from archspec.runs.training import train
from tests.runs.clicks import SPEC, rows

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.runs.results import Results


def run(folder: Path, by: str, text: str = SPEC, resume: bool = False, **options: Any) -> Results:  # noqa: ANN401, FBT001, FBT002 - of Source; as train
    """A run of two epochs in `folder/run`; some rows of `new.parquet` have no scene."""
    data = rows(200, 1)
    data["scene"] = [None if row % 5 == 0 else scene for row, scene in enumerate(data["scene"])]
    days = [date(2026, 11, 1 + row % 2) for row in range(300)]
    parquet.write_table(pa.table({**data, "row": list(range(200)), "day": days[:200]}), folder / "new.parquet")
    parquet.write_table(pa.table({**rows(300, 0), "row": list(range(300)), "day": days}), folder / "day.parquet")
    source = Source((str(folder / "day.parquet"),), (str(folder / "new.parquet"),), **options)
    graph = load_graph(text, None, plugins.load([]))
    return train(graph, source, Recipe(epochs=2, batch=50, by=by), folder / "run", resume=resume)


@pytest.mark.parametrize("by", ["scene", "user", "day"])
def test_each_value_is_measured_like_by_evaluate(tmp_path: Path, by: str) -> None:
    """The metrics of a value, or of rows without one, are those of `archspec evaluate --by` on the same file.

    The model need not read the column; it trains as without the option.
    """
    found = run(tmp_path, by, grouped_by="user")
    evaluated = load_run(tmp_path / "run").evaluate(tmp_path / "new.parquet", by=by)
    assert list(found.groups) == list(evaluated.groups)
    assert (None in found.groups) == (by == "scene")
    for value, measured in found.groups.items():
        assert measured.rows == evaluated.groups[value].rows
        assert measured.metrics == pytest.approx(evaluated.groups[value].metrics, abs=1e-6)
    assert {
        "click/auc",
        "click/pcoc",
        "click/grouped_auc",
        "click/ndcg@10",
        "stars/accuracy",
    } <= measured.metrics.keys()
    written = json.loads((tmp_path / "run" / RESULTS).read_text())
    assert written["by"] == by
    assert [group["value"] for group in written["groups"]] == list(found.groups)
    assert written["groups"][0]["metrics"] == next(iter(found.groups.values())).metrics
    assert found.whole().metrics["click/auc"] == pytest.approx(evaluated.whole.metrics["click/auc"], abs=1e-6)
    again = run(tmp_path, by, resume=True, grouped_by="user")
    assert again.groups == found.groups


@pytest.mark.parametrize(
    ("by", "words"),
    [
        ("row", "AS804.*more than 3 values"),
        ("seen", "AS731.*`--by seen`: input `seen` reads this column as lists"),
        ("place", "AS702.*no column `place`, which `--by` reads"),
    ],
)
def test_columns_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str, words: str) -> None:
    """Each is one clear error before training, and no folder is left behind."""
    monkeypatch.setattr(distinct, "MOST", 3)
    with pytest.raises(SpecError, match=words):
        run(tmp_path, by)
    assert not (tmp_path / "run").exists()
