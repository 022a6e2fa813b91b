"""Metrics, the module and runs with one to four tasks of any kinds."""

from __future__ import annotations

import json
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

import archspec
from archspec import plugins
from archspec.data.prepare import Source
from archspec.graph.load import load_graph
from archspec.lightning import MultiTaskModule
from archspec.lightning.measures import Measures
from archspec.runs.recipe import Recipe
from archspec.runs.trained import load_run
from archspec.runs.training import train
from archspec.train.criterion import MultiTaskLoss
from tests.drawn import BALANCES, ONE_TO_FOUR, Drawn, tasks
from tests.lightning.loops import Loader, fitted, logged

if TYPE_CHECKING:
    from pathlib import Path

METRICS = {
    "binary": {"loss", "auc", "log_loss", "normalized_entropy", "pcoc", "ece"},
    "regression": {"loss", "rmse", "mae", "r2", "rank_correlation"},
    "multiclass": {"loss", "log_loss", "accuracy"},
}


@given(drawn=tasks(), seed=st.integers(0, 99), cuts=st.lists(st.integers(0, 9), max_size=3).map(sorted))
@settings(max_examples=40)
def test_what_is_measured_depends_on_the_rows_alone(drawn: Drawn, seed: int, cuts: list[int]) -> None:
    """One to four tasks, with rows split into batches in any way, even empty ones, give the values of a single batch.

    A task without rows in its sample space has no value at all, and no value is NaN.
    """
    batch, logits = drawn.rows(9, seed), drawn.logits(9, seed)
    criterion = MultiTaskLoss(archspec.load(drawn.text()))
    found = []
    for edges in ([0, 9], [0, *cuts, 9]):
        measures = Measures(archspec.load(drawn.text()))
        for start, end in pairwise(edges):
            part = {name: value[start:end] for name, value in batch.items()}
            measures.add({name: value[start:end] for name, value in logits.items()}, part, {}, criterion)
        found.append({name: float(value) for name, value in measures.found(criterion).items()})
    assert found[1] == pytest.approx(found[0], abs=1e-5)
    for place, name in enumerate(drawn.names):
        there = bool(batch[f"in{place}"].any()) or not drawn.spaces[place]
        assert any(metric.startswith(f"{name}/") for metric in found[0]) == there
    assert all(value == value for value in found[0].values())  # noqa: PLR0124 - NaN is not itself


@pytest.mark.parametrize(("drawn", "balance"), [*((drawn, "sum") for drawn in ONE_TO_FOUR),
    *((ONE_TO_FOUR[0], balance) for balance in BALANCES[1:])], ids=str)  # fmt: skip
def test_any_tasks_train(drawn: Drawn, balance: str) -> None:
    """Two epochs under a Trainer, with any balance and one or more tasks, measure every task and lower its loss."""
    module = MultiTaskModule(drawn.text(balance), seed=0, learning_rate=0.03)
    rows = Loader([drawn.rows(32)] * 4)
    found = logged(fitted(module, rows, rows, max_epochs=2))
    for name, kind in zip(drawn.names, drawn.kinds, strict=True):
        metrics = {metric.rpartition("/")[2] for metric in found if metric.startswith(f"validation/{name}/")}
        assert metrics == METRICS[kind]
    before = MultiTaskModule(drawn.text(balance), seed=0)
    before.measures.add(before(rows.batches[0]), rows.batches[0], {}, before.criterion)
    first = before.measures.found(before.criterion)
    assert found["validation/task_losses"] < float(first["task_losses"])


@pytest.mark.parametrize("drawn", ONE_TO_FOUR, ids=str)
def test_any_tasks_make_a_run(drawn: Drawn, tmp_path: Path) -> None:
    """A run of one epoch from a Parquet file measures every task, and the kept weights load."""
    columns = {name: list(value.numpy()) for name, value in drawn.rows(60).items()}
    parquet.write_table(pa.table(columns), tmp_path / "rows.parquet")
    graph = load_graph(drawn.text(), None, plugins.load([]))
    grouped_by = "user" if "binary" in drawn.kinds else None
    source = Source((str(tmp_path / "rows.parquet"),), share=0.4, grouped_by=grouped_by)
    results = train(graph, source, Recipe(epochs=1, batch=16), tmp_path / "run")
    for name, kind in zip(drawn.names, drawn.kinds, strict=True):
        assert {f"validation/{name}/{metric}" for metric in METRICS[kind]} <= set(results.best)
    trained = load_run(tmp_path / "run")
    scores = trained.model.predict(next(iter(trained.validation())))
    assert all(torch.isfinite(scores[name]).all() for name in drawn.names)


@pytest.mark.parametrize("balance", BALANCES)
@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_every_balance_trains_in_half_precision(balance: str, precision: Any) -> None:  # noqa: ANN401 - a literal
    """Gradients are combined in single precision whatever the model computes in, also with clipping."""
    drawn = ONE_TO_FOUR[4]
    rows = drawn.rows(16)
    if precision == "bf16-true":
        rows["x"] = rows["x"].bfloat16()
    module = MultiTaskModule(drawn.text(balance), seed=0)
    found = logged(fitted(module, Loader([rows] * 2), Loader([rows]), precision=precision, gradient_clip_val=0.5))
    assert all(isfinite(value) for value in found.values())
    assert int(module.criterion.steps) == 2


def test_a_run_tells_which_metrics_have_no_value(tmp_path: Path) -> None:
    """If all validation rows have one class, metrics without a value are `null` in results.json, neither 0 nor NaN."""
    drawn = Drawn(("binary", "regression"), (False, True), (False, False))
    columns = {name: list(value.numpy()) for name, value in drawn.rows(40).items()}
    parquet.write_table(pa.table(columns), tmp_path / "train.parquet")
    flat = columns | {"t0": [1.0] * 40, "in1": [0] * 40}
    parquet.write_table(pa.table(flat), tmp_path / "validation.parquet")
    source = Source((str(tmp_path / "train.parquet"),), (str(tmp_path / "validation.parquet"),), grouped_by="user")
    graph = load_graph(drawn.text(), None, plugins.load([]))
    results = train(graph, source, Recipe(epochs=1, batch=16), tmp_path / "run")
    text = (tmp_path / "run" / "results.json").read_text()
    best = json.loads(text, parse_constant=pytest.fail)["best"]
    assert best == results.measured()
    none = {name.removeprefix("validation/") for name, value in best.items() if value is None}
    assert none == {
        "t0/auc",
        "t0/normalized_entropy",
        "t0/grouped_auc",
        *(f"t1/{name}" for name in METRICS["regression"]),
    }
    assert best["validation/t0/log_loss"] > 0


WEIGHTING = ("sum", "uncertainty", "{kind: dwa, temperature: 0.05}", "{kind: gradnorm, rate: 0.5}")


@pytest.mark.parametrize(("balance", "decay"), [*((name, "") for name in WEIGHTING), ("sum", "0.9"), ("sum", "epoch")])
def test_the_kept_epoch_is_the_best_by_the_losses_of_the_tasks(balance: str, decay: str, tmp_path: Path) -> None:
    """Labels are noise, so losses rise after some epochs; weighting and decay do not change which epoch is the best."""
    rate = "{rate: 0.8, every: epoch}" if decay == "epoch" else decay
    drawn = Drawn(("binary", "regression"), (False, False), (False, False))
    text = drawn.text(balance).replace("binary", f"binary, weight: 2.0{f', decay: {rate}' if rate else ''}")
    text = text.replace("regression", f"regression{f', decay: {rate}' if rate else ''}")
    columns = {name: list(value.numpy()) for name, value in drawn.rows(80, seed=6).items()}
    parquet.write_table(pa.table(columns), tmp_path / "rows.parquet")
    source = Source((str(tmp_path / "rows.parquet"),), share=0.3)
    recipe = Recipe(epochs=12, batch=16, learning_rate=0.05, patience=None)
    found = train(load_graph(text, None, plugins.load([])), source, recipe, tmp_path / "run")
    losses = [[value for _, value in found.history[f"validation/{task}/loss"]] for task in drawn.names]
    sums = [2 * binary + regression for binary, regression in zip(*losses, strict=True)]
    assert found.best["epoch"] == 1 + sums.index(min(sums)) < len(sums)
