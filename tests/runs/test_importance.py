"""Which inputs a run relies on, and the factors of its feature gates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from archspec.data.batches import table_batches
from archspec.diagnostics import SpecError
from archspec.runs.importance import feature_factors, importances
from tests.runs.clicks import trained

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.runs.trained import Trained

SPEC = """
archspec: 1
name: gated
inputs:
  scene: {kind: domain, values: [home, search], dim: 2}
  x: {kind: dense, dim: 1}
  y: {kind: dense, dim: 2}
  idle: {kind: sparse, vocab: 5, dim: 2}
groups: {numbers: [x, y]}
tasks: {click: {}, watch: {kind: regression}}
feature_gates:
  by_field: {from: [x, y, idle], selector: scene, kind: sigmoid, bias: true}
  by_element: {from: [y, idle], selector: scene, per: element, kind: sigmoid, scale: 2}
towers:
  click: {from: by_field, units: [4]}
  watch: {from: by_element, units: [4]}
"""


def rows(count: int, seed: int) -> dict[str, list[Any]]:
    """Rows in which `click` depends on x alone, and `watch` on y."""
    random = np.random.default_rng(seed)
    x, y = random.normal(size=count), random.normal(size=(count, 2))
    return {
        "scene": random.choice(["home", "search"], count).tolist(), "x": x.tolist(), "y": y.tolist(),
        "idle": random.integers(0, 5, count).tolist(), "click": (x > 0).astype(int).tolist(),
        "watch": (y[:, 0] - y[:, 1]).tolist(),
    }  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A run, trained until its scores depend on x and y as the labels do."""
    run = trained(tmp_path_factory.mktemp("run"), SPEC, rows(300, 0))
    optimizer = torch.optim.Adam(run.model.parameters(), lr=0.02)
    batch = run.encode(rows(500, 1))
    labels = {name: torch.tensor(values) for name, values in rows(500, 1).items() if name in {"click", "watch"}}
    for _ in range(150):
        logits = run.model(batch)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits["click"], labels["click"].float())
        loss = loss + (logits["watch"] - labels["watch"]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return run


def batches(run: Trained, count: int = 400) -> list[dict[str, torch.Tensor]]:
    """Rows with labels."""
    return [dict(batch) for batch in table_batches(rows(count, 2), run.encoder)]


def test_what_a_task_depends_on_is_important(run: Trained) -> None:
    """Permuting x lowers the AUC of `click`, y raises the RMSE of `watch`; their group affects both, `idle` nothing."""
    found = importances(run, batches(run))
    assert (found.rows, found.repeats, [each.name for each in found.inputs]) == (
        400,
        3,
        ["scene", "x", "y", "idle", "numbers"],
    )
    assert set(found.metrics) == {"click/auc", "click/log_loss", "watch/rmse"}
    change = {each.name: {key: mean or 0.0 for key, (mean, _) in each.changes.items()} for each in found.inputs}
    for name in ("x", "numbers"):
        assert change[name]["click/auc"] < -0.3
        assert change[name]["click/log_loss"] > 0.3
    for name in ("y", "numbers"):
        assert change[name]["watch/rmse"] > 0.5
    assert abs(change["y"]["click/auc"]) < 0.1
    assert change["x"]["watch/rmse"] == 0
    assert all(abs(value) < 0.1 for value in change["idle"].values())


def test_the_change_is_that_of_the_permuted_rows(run: Trained) -> None:
    """One repeat is the metric with the column permuted by the seed, minus the metric on the unchanged rows."""
    data = batches(run, 60)
    found = importances(run, data, names=["x"], repeats=1, seed=5)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(5))
    plain = rows(60, 2)
    permuted = {**plain, "x": [plain["x"][place] for place in order]}
    expected = run.evaluate(permuted).whole.metrics["click/auc"]
    base = run.evaluate(plain).whole.metrics["click/auc"]
    assert expected is not None
    assert base is not None
    mean, deviation = found.inputs[0].changes["click/auc"]
    assert mean == pytest.approx(expected - base, abs=1e-6)
    assert deviation == 0


def test_repeats_spread_and_seeds_repeat(run: Trained) -> None:
    """The deviation is over repeats; the same seed gives the same numbers, another seed others."""
    data = batches(run, 80)
    first, again, other = (importances(run, data, names=["x"], seed=seed).inputs for seed in (0, 0, 1))
    assert first == again != other
    assert (first[0].changes["click/auc"][1] or 0) > 0


def test_a_metric_without_a_value_has_no_change(run: Trained) -> None:
    """With labels of a single class there is no AUC, with or without permutation."""
    data = [{**batch, "click": torch.zeros_like(batch["click"])} for batch in batches(run, 40)]
    found = importances(run, data, names=["x"])
    assert found.metrics["click/auc"] is None
    assert found.inputs[0].changes["click/auc"] == (None, None)


def test_names_that_are_not_there(run: Trained) -> None:
    """An unknown input is an error that suggests the nearest name; having no rows is also an error."""
    with pytest.raises(SpecError, match="AS813") as raised:
        importances(run, batches(run, 5), names=["number"])
    assert "did you mean `numbers`?" in raised.value.diagnostics[0].help
    with pytest.raises(ValueError, match="no row to permute"):
        importances(run, [])


def test_factors_of_feature_gates(run: Trained) -> None:
    """Mean factors per field and domain equal the gate's formula, for gates per field and per element."""
    data = batches(run, 90)
    by_field, by_element = feature_factors(run, data)
    assert (by_field.gate, by_field.fields) == ("feature_gates.by_field", ("inputs.x", "inputs.y", "inputs.idle"))
    assert (by_element.gate, by_element.fields) == ("feature_gates.by_element", ("inputs.y", "inputs.idle"))
    weights = {name: value.double() for name, value in run.model.named_weights()}
    scene = torch.cat([batch["scene"] for batch in data])
    table = weights["inputs.scene.weight"]
    field = (
        table @ weights["feature_gates.by_field.head.weight"].T + weights["feature_gates.by_field.head.bias"]
    ).sigmoid()
    element = 2 * (table @ weights["feature_gates.by_element.head.weight"].T).sigmoid()
    for place, value in enumerate(("home", "search")):
        assert by_field.by["scene"][value] == pytest.approx(field[place].tolist(), abs=1e-5)
        halves = [float(element[place, :2].mean()), float(element[place, 2:].mean())]
        assert by_element.by["scene"][value] == pytest.approx(halves, abs=1e-5)
    assert by_field.means == pytest.approx(field[scene].mean(0).tolist(), abs=1e-5)


def test_without_feature_gates_there_are_no_factors(tmp_path: Path) -> None:
    """For a model without feature gates the result is empty."""
    assert feature_factors(trained(tmp_path), []) == ()


def test_the_command(run: Trained, tmp_path: Path) -> None:
    """It prints a table of changes, most important input first, factors per domain, a chart, and JSON."""
    import json

    import pyarrow as pa
    from click.testing import CliRunner
    from pyarrow import parquet

    from archspec.cli.app import archspec as commands

    parquet.write_table(pa.table(rows(50, 3)), tmp_path / "new.parquet")
    words = ["importance", str(run.folder), "--data", str(tmp_path / "new.parquet")]
    done = CliRunner().invoke(commands, [*words, "-o", str(tmp_path / "a.svg")], catch_exceptions=False)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert any(line.split()[:1] == ["nothing"] for line in lines)
    assert any("scene=search" in line for line in lines)
    assert (tmp_path / "a.svg").read_text().count("permuted 3 times over 50 rows") == 1
    assert "50 rows, 3 permutations of each input" in done.stderr
    found = json.loads(CliRunner().invoke(commands, [*words, "--json", "--inputs", "x"]).stdout)
    assert [each["name"] for each in found["inputs"]] == ["x"]
    assert found["feature_gates"][0]["gate"] == "feature_gates.by_field"
    own = json.loads(CliRunner().invoke(commands, ["importance", str(run.folder), "--json"]).stdout)
    assert own["rows"] < 50  # those of the run's validation


def test_the_chart_has_a_bar_for_each_input_and_task() -> None:
    """Bars are as long as the changes; inputs are in the given order; having nothing to draw is an error."""
    from archspec.charts import importance_bars

    changes = {"b": {"click": (0.5, 0.1), "buy": (0.2, 0.0)}, "a": {"click": (-0.1, 0.0)}}
    figure = importance_bars(changes, metrics={"click": "loss of AUC", "buy": "loss of AUC"})
    panels = figure.axes
    lengths = [[round(float(bar.get_width()), 6) for bar in axes.patches] for axes in panels]  # type: ignore[attr-defined] # a Rectangle
    assert lengths == [[0.5, -0.1], [0.2, 0.0]]
    assert [text.get_text() for text in panels[0].get_yticklabels()] == ["b", "a"]
    for wrong, metrics in (({}, {"click": "loss of AUC"}), (changes, {})):
        with pytest.raises(ValueError, match="nothing to draw"):
            importance_bars(wrong, metrics=metrics)
