"""Which epoch's weights a run keeps, and how this is reported."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from safetensors.torch import load_file

from archspec.data.prepare import Source
from archspec.lightning.checkpoint import read_checkpoint
from archspec.lightning.measures import Measures
from archspec.lightning.metrics import METRICS
from archspec.runs.checkpoints import CheckpointCallback
from archspec.runs.files import LAST, WEIGHTS
from archspec.runs.monitor import higher_is_better, improves
from archspec.runs.recipe import Recipe
from archspec.runs.training import Progress, train

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.graph.graph import Graph
    from archspec.runs.checkpoints import Step

TEXT = """
archspec: 1
name: t
inputs: {u: {kind: sparse, vocab: 100, dim: 4}, x: {kind: dense, dim: 1}}
tasks: {a: {kind: binary}, b: {kind: binary, label: a}}
towers: {$task: {from: inputs}}
"""
"""A small model."""
RECIPE = Recipe(epochs=5, batch=100, patience=2, monitor="validation/a/auc")


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """400 training rows with both labels, and 40 validation rows with one of them."""
    lines = [f"{i % 40},{i / 400},{i % 2}\n" for i in range(400)]
    (tmp_path / "ok.csv").write_text("u,x,a\n" + "".join(lines))
    (tmp_path / "neg.csv").write_text("u,x,a\n" + "".join(lines[0:80:2]))
    return Source((str(tmp_path / "ok.csv"),), (str(tmp_path / "neg.csv"),))


def test_a_metric_without_a_value_stops_nothing(graph: Graph, source: Source, tmp_path: Path) -> None:
    """There is one warning after the first epoch; all epochs are trained, and the last weights are kept."""
    lines: list[str] = []
    progress = Progress(say=lines.append, warn=lambda items: lines.extend(item.code for item in items))
    found = train(graph, source, RECIPE, tmp_path / "run", progress=progress)
    told = [line for line in lines if line.startswith(("AS736", "epoch"))]
    assert [line.partition(":")[0] for line in told] == ["AS736", *(f"epoch {epoch}" for epoch in range(1, 6))]
    assert all(line.endswith("(kept)") for line in told[1:])
    assert found.best["epoch"] == 5
    assert found.reason == "the last one: validation/a/auc has no value"
    longer = replace(RECIPE, monitor="validation/task_losses", patience=None)
    train(graph, source, longer, tmp_path / "other")
    one, other = (load_file(tmp_path / name / WEIGHTS) for name in ("run", "other"))
    assert all(one[name].equal(other[name]) for name in one)  # the loss falls in every epoch


@pytest.mark.parametrize(
    ("values", "best", "epochs", "reason"),
    [
        ((None, 0.6, None, None, None), 2, 5, "the best validation/a/auc, 0.60000"),
        ((0.6, None, 0.5, None, 0.5), 1, 5, "the best validation/a/auc, 0.60000"),
        ((0.6, 0.5, 0.5, 0.9, 0.9), 1, 3, "the best validation/a/auc, 0.60000"),
        ((None, None, 0.5, 0.6, None), 4, 5, "the best validation/a/auc, 0.60000"),
        ((0.6, float("nan"), float("nan"), float("nan"), 0.7), 5, 5, "the best validation/a/auc, 0.70000"),
    ],
)  # fmt: skip
def test_the_best_epoch_is_chosen_among_those_with_a_value(  # noqa: PLR0913, PLR0917 - one argument per column
    graph: Graph,
    source: Source,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    values: tuple[float | None, ...],
    best: int,
    epochs: int,
    reason: str,
) -> None:
    """Patience counts epochs with a value; the first value replaces weights that were kept without a value."""
    given, real = iter(values), Measures.found

    def found(self: Measures, criterion: object) -> dict[str, object]:
        measured: dict[str, object] = {**real(self, criterion)}  # type: ignore[arg-type] # the module's criterion
        value = next(given)
        return measured | ({"a/auc": value} if value is not None else {})

    monkeypatch.setattr(Measures, "found", found)
    results = train(graph, source, RECIPE, tmp_path / "run")
    assert (results.best["epoch"], len(results.history["validation/loss"]), results.reason) == (best, epochs, reason)


BOTH = "validation/a/auc,validation/b/auc"


@pytest.mark.parametrize(
    ("monitor", "first", "second", "best", "epochs"),
    [
        (BOTH, (0.9, 0.8, 0.8, 0.8, 0.8, 0.8), (0.5, 0.6, 0.6, 0.7, 0.7, 0.7), 1, 6),
        ("validation/a/auc", (0.9, 0.8, 0.8, 0.8, 0.8, 0.8), (0.5, 0.6, 0.6, 0.7, 0.7, 0.7), 1, 3),
        (BOTH, (0.5, 0.6, 0.7, 0.7, 0.7, 0.7), (0.9, 0.8, 0.8, 0.8, 0.8, 0.8), 3, 5),
        (BOTH, (0.9, 0.8, 0.8, 0.8, 0.8, 0.8), (0.6, 0.5, 0.6, 0.6, 0.7, 0.8), 1, 3),
        (BOTH, (0.9, None, None, 0.8, 0.8, 0.8), (None, None, 0.5, None, None, None), 1, 5),
        (BOTH, (None, None, None, None, None, None), (0.5, 0.5, 0.5, 0.5, 0.5, 0.5), 6, 6),
        ("validation/a/log_loss, validation/b/auc", (0.6, 0.5, 0.4, 0.3, 0.3, 0.3), (0.5,) * 6, 4, 6),
    ],
)  # fmt: skip
@pytest.mark.parametrize("broken", [False, True])
def test_training_goes_on_while_any_monitored_metric_improves(  # noqa: PLR0913, PLR0917 - one argument per column
    graph: Graph,
    source: Source,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    monitor: str,
    first: tuple[float | None, ...],
    second: tuple[float | None, ...],
    best: int,
    epochs: int,
    *,
    broken: bool,
) -> None:
    """It stops when none has improved for `patience` epochs, also in a resumed run; the first one chooses the epoch."""
    passes, real = [*zip(first, second, strict=True)], Measures.found
    waiting, name = iter(passes), monitor.partition(",")[0].removeprefix("validation/")

    def found(self: Measures, criterion: object) -> dict[str, object]:
        measured: dict[str, object] = {**real(self, criterion)}  # type: ignore[arg-type] # the module's criterion
        one, two = next(waiting)
        return measured | {key: value for key, value in ((name, one), ("b/auc", two)) if value is not None}

    monkeypatch.setattr(Measures, "found", found)
    recipe = replace(RECIPE, epochs=6, monitor=monitor)
    if broken:
        train(graph, source, replace(recipe, epochs=2), tmp_path / "run")
        waiting = iter(passes[1:])  # the last checkpoint is of the second epoch's first step
    results = train(graph, source, recipe, tmp_path / "run", resume=broken)
    assert (results.best["epoch"], len(results.history["validation/loss"])) == (best, epochs)


@pytest.mark.parametrize(
    ("aucs", "waits", "falls"),
    [
        ((0.5, 0.6, 0.6, 0.6, 0.7, 0.7), 1, [3, 4, 6]), ((0.5, 0.6, 0.6, 0.6, 0.7, 0.7), 2, [4]),
        ((0.9, None, 0.8, None, 0.8, 0.8), 2, [5]), ((None, None, None, None, None, None), 1, []),
    ],
)  # fmt: skip
@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("warmup", [0, 6])
def test_the_learning_rate_falls_on_a_plateau(  # noqa: PLR0913, PLR0917 - one argument per column
    graph: Graph,
    source: Source,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    aucs: tuple[float | None, ...],
    waits: int,
    falls: list[int],
    warmup: int,
    *,
    broken: bool,
) -> None:
    """After so many epochs without improvement the rate is a tenth; a resumed run continues the count."""
    real, waiting = Measures.found, iter(aucs)

    def found(self: Measures, criterion: object) -> dict[str, object]:
        measured: dict[str, object] = {**real(self, criterion)}  # type: ignore[arg-type] # the module's criterion
        value = next(waiting)
        return measured | ({"a/auc": value} if value is not None else {})

    monkeypatch.setattr(Measures, "found", found)
    lines: list[str] = []
    recipe = replace(
        RECIPE, epochs=6, patience=None, schedule="plateau", plateau_patience=waits, plateau_factor=0.1, warmup=warmup
    )
    if broken:
        train(graph, source, replace(recipe, epochs=3), tmp_path / "run", progress=Progress(say=lines.append))
        waiting, lines = iter(aucs[2:]), lines[:2]
    train(graph, source, recipe, tmp_path / "run", resume=broken, progress=Progress(say=lines.append))
    told = [line for line in lines if line.startswith("epoch")]
    assert [number for number, line in enumerate(told, 1) if line.endswith("learning rate times 0.1")] == falls
    (group,) = {
        group["lr"] for group in read_checkpoint(tmp_path / "run" / LAST)["optimizer_states"][0]["param_groups"]
    }
    assert group == pytest.approx(1e-3 * 0.1 ** len([epoch for epoch in falls if epoch < 6]))


def test_every_metric_is_better_in_its_own_direction() -> None:
    """Each metric that is measured has a direction, or is known to have none; the best value is chosen by it."""
    known = {
        name: higher_is_better(f"validation/task/{name}")
        for name in (*METRICS, "grouped_auc", "ndcg@5", "recall@20", "loss")
    }
    assert {name for name, higher in known.items() if higher is None} == {"pcoc", "coverage"}
    assert {name for name, higher in known.items() if higher} == {
        "auc", "grouped_auc", "ndcg@5", "recall@20", "accuracy", "r2", "rank_correlation",
    }  # fmt: skip
    assert improves("validation/watch/r2", 0.5, [0.4, float("nan")])
    assert not improves("validation/watch/rmse", 0.5, [0.4])
    assert not improves("validation/watch/rmse", float("nan"), [])


def test_steps_are_counted_from_one(graph: Graph, source: Source, tmp_path: Path) -> None:
    """A progress bar is called once per step of each epoch; a resumed run continues the count."""
    steps: list[tuple[int, int, int, int]] = []

    def count(step: Step) -> None:
        steps.append((step.epoch, step.epochs, step.step, step.steps))

    recipe = replace(RECIPE, epochs=2, patience=None)
    train(graph, source, recipe, tmp_path / "run", progress=Progress(step=count))
    assert steps == [(epoch, 2, step, 4) for epoch in (1, 2) for step in (1, 2, 3, 4)]
    steps.clear()
    train(graph, source, replace(recipe, epochs=3), tmp_path / "run", resume=True, progress=Progress(step=count))
    assert steps[-1] == (3, 3, 4, 4)


@pytest.mark.parametrize("leads", [True, False])
def test_a_process_that_fails_alone_ends_the_others(tmp_path: Path, *, leads: bool) -> None:
    """Only the first process writes; if its disk is full, the other processes do not wait forever."""
    killed: list[int] = []
    launcher = SimpleNamespace(kill=killed.append)
    trainer: Any = SimpleNamespace(strategy=SimpleNamespace(launcher=launcher), is_global_zero=leads)
    callback = CheckpointCallback(
        tmp_path,
        interval=1,
        monitor="validation/loss",
        patience=None,
        seed=0,
        epoch=lambda _: None,
        warn=lambda _: None,
    )
    module: Any = None
    callback.on_exception(trainer, module, OSError())
    assert len(killed) == leads
    trainer.strategy.launcher = None  # only one process
    callback.on_exception(trainer, module, OSError())
