"""Logs of a run: what they contain, that a resumed run continues them, and what is refused."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from safetensors.torch import load_file

from archspec.diagnostics import SpecError
from archspec.runs import trackers
from archspec.runs.checks import check_recipe
from archspec.runs.files import LOG, WEIGHTS
from archspec.runs.recipe import Recipe
from archspec.runs.trackers import tracker_of
from archspec.runs.training import train
from tests.runs.killed import killed_and_resumed

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.data.prepare import Source
    from archspec.graph.graph import Graph

TEXT = """
archspec: 1
name: t
inputs: {user: {kind: sparse, vocab: 50, dim: 4}}
tasks: {click: {kind: binary}}
towers: {$task: {from: inputs}}
"""
RECIPE = Recipe(epochs=3, batch=10, interval=4, patience=None)


def lines(folder: Path) -> list[dict[str, str]]:
    """The lines of a log in CSV."""
    with (folder / LOG / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("moment", [None, 30, 40])
def test_a_log_in_csv(  # noqa: PLR0913, PLR0917 - fixtures
    graph: Graph, source: Source, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int | None
) -> None:
    """Losses and metrics are logged by step, once each, also in a run that was killed; the weights stay the same."""
    recipe = replace(RECIPE, log="csv")
    train(graph, source, recipe, tmp_path / "whole")
    if moment is None:
        train(graph, source, recipe, tmp_path / "run", resume=True)
    else:
        killed_and_resumed(graph, source, recipe, tmp_path / "run", monkeypatch, moment)
    found = lines(tmp_path / "run")
    assert found == lines(tmp_path / "whole")
    history = json.loads((unbroken / "history.json").read_text())["history"]["validation/click/auc"]
    assert [float(line["validation/click/auc"]) for line in found if line["validation/click/auc"]] == pytest.approx(
        [value for _, value in history]
    )
    assert all(line["train/loss"] or line["validation/loss"] for line in found)
    expected, other = load_file(unbroken / WEIGHTS), load_file(tmp_path / "run" / WEIGHTS)
    assert all(expected[name].equal(other[name]) for name in expected)


def test_a_log_for_tensorboard(graph: Graph, source: Source, tmp_path: Path) -> None:
    """The events are in the folder of the run; a resumed run adds a file."""
    recipe = replace(RECIPE, log="tensorboard", epochs=1)
    train(graph, source, recipe, tmp_path / "run")
    train(graph, source, replace(recipe, epochs=2), tmp_path / "run", resume=True)
    assert len([*(tmp_path / "run" / LOG).glob("events.out.tfevents.*")]) == 2


@pytest.mark.parametrize(("name", "package"), [("tensorboard", "tensorboardX"), ("wandb",) * 2, ("mlflow",) * 2])
def test_a_missing_package_is_refused_before_anything_is_written(  # noqa: PLR0913, PLR0917 - fixtures
    graph: Graph,
    source: Source,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: Any,  # noqa: ANN401 - a choice
    package: str,
) -> None:
    """The message has the command that installs it."""
    monkeypatch.setattr(trackers, "find_spec", lambda _: None)
    with pytest.raises(SpecError) as caught:
        train(graph, source, replace(RECIPE, log=name), tmp_path / "run")
    (item,) = caught.value.diagnostics
    assert (item.code, item.help) == ("AS709", f"pip install {package}")
    assert list(tmp_path.iterdir()) == []
    check_recipe(graph, replace(RECIPE, log="csv"), None)


def test_a_server_knows_a_resumed_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loggers of servers get the id that the run had before, and write below its folder."""
    asked: list[dict[str, Any]] = []

    def logger(**words: Any) -> SimpleNamespace:  # noqa: ANN401 - of any logger
        asked.append(words)
        return SimpleNamespace(run_id=words.get("run_id") or "m1")

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("lightning.pytorch.loggers.WandbLogger", logger)
    monkeypatch.setattr("lightning.pytorch.loggers.MLFlowLogger", logger)
    for name in ("wandb", "mlflow"):
        folder = tmp_path / name
        folder.mkdir()
        for _ in range(2):
            tracker_of(name, folder, "ple")
    one, two, three, four = asked
    assert one["id"] == two["id"]
    assert (one["resume"], one["project"], one["name"]) == ("allow", "ple", "wandb")
    assert one["save_dir"] == tmp_path / "wandb" / LOG
    assert (three["run_id"], four["run_id"]) == (None, "m1")
    assert three["tracking_uri"] == (tmp_path / "mlflow" / LOG / "mlruns").as_uri()


@pytest.mark.parametrize("text", ["", "[]", "{}", "{"])
def test_a_damaged_identity_is_named(text: str, tmp_path: Path) -> None:
    """A log that cannot be continued is refused, instead of starting another one silently."""
    (tmp_path / LOG).mkdir()
    (tmp_path / LOG / "identity.json").write_text(text)
    with pytest.raises(SpecError, match=r"AS733.*is damaged"):
        tracker_of("wandb", tmp_path, "ple")


def test_a_version_that_lightning_does_not_support(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its message is passed on, with the command that updates the package."""

    def old(**_: object) -> None:
        raise ModuleNotFoundError("needs wandb>=0.12.10")

    monkeypatch.setattr("lightning.pytorch.loggers.WandbLogger", old)
    with pytest.raises(SpecError) as caught:
        tracker_of("wandb", tmp_path, "ple")
    assert caught.value.diagnostics[0].help == "pip install -U wandb"
