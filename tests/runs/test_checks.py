"""Settings of a run that are refused before anything is written."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from archspec.data.prepare import Source
from archspec.diagnostics import SpecError
from archspec.graph.load import load_graph
from archspec.plugins import load as load_plugins
from archspec.runs import checks
from archspec.runs.checks import check_recipe
from archspec.runs.files import WEIGHTS
from archspec.runs.recipe import Recipe
from archspec.runs.training import train

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.graph.graph import Graph

TEXT = """
archspec: 1
name: ok
inputs: {user: {kind: sparse, vocab: 50, dim: 2}, x: {kind: dense, dim: 1}, seen: {kind: sequence, vocab: 9, dim: 2}}
tasks: {click: {kind: binary}, like: {kind: binary}}
towers: {$task: {from: inputs}}
"""
RECIPE = Recipe(epochs=1, batch=100)


def graph_of(text: str = TEXT) -> Graph:
    """The graph of a text."""
    return load_graph(text, None, load_plugins([]))


def refusal(recipe: Recipe, text: str = TEXT, grouped_by: str | None = None) -> SpecError:
    """The message with which a recipe is refused."""
    with pytest.raises(SpecError) as told:
        check_recipe(graph_of(text), recipe, grouped_by)
    assert told.value.status == 2
    return told.value


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("seed", 2**64), ("seed", -1), ("learning_rate", math.nan), ("learning_rate", math.inf), ("learning_rate", 0.0),
        ("learning_rate", -1.0), ("weight_decay", math.nan), ("weight_decay", -0.1), ("weight_decay", math.inf),
        ("table_learning_rate", 0.0), ("table_optimizer", "sgd"),
        ("batch", 0), ("epochs", 0), ("interval", 0), ("patience", -2), ("devices", 0),
        ("warmup", -1), ("clip", 0.0), ("clip", math.nan), ("accumulate", 0), ("schedule", "steep"), ("precision", "8"),
        ("devices", 100_000), ("threads", 0), ("threads", 100_000), ("epochs", 1.5), ("batch", "many"),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_named(setting: str, value: Any) -> None:  # noqa: ANN401 - wrong on purpose
    """An impossible setting is reported in one sentence with its option and value."""
    changed: Any = {setting: value}
    (item,) = refusal(replace(RECIPE, **changed)).diagnostics
    assert item.code == "AS731"
    assert item.message.startswith(f"`--{setting.replace('_', '-')}")
    assert str(value) in item.message


def test_sparse_adam_needs_sparse_gradients() -> None:
    """The inputs without `sparse_grad` are named, and following the help makes the recipe valid."""
    recipe = replace(RECIPE, table_optimizer="sparse_adam")
    (item,) = refusal(recipe).diagnostics
    assert item.code == "AS731"
    assert "`user`, `seen`" in item.message
    check_recipe(graph_of(TEXT.replace("dim: 2}", "dim: 2, sparse_grad: true}")), recipe, None)


def test_all_that_is_wrong_is_told_at_once() -> None:
    """Several wrong settings are reported together, in one sentence each."""
    assert len(refusal(replace(RECIPE, batch=0, epochs=0), grouped_by="x").diagnostics) == 3


@pytest.mark.parametrize("seed", [2**63, 2**64 - 1])
def test_the_largest_seeds_train(tmp_path: Path, seed: int) -> None:
    """64-bit seeds are accepted by everything that is seeded."""
    assert train(graph_of(), rows(tmp_path), replace(RECIPE, seed=seed), tmp_path / "run").best["epoch"] == 1


@pytest.mark.parametrize(
    ("column", "word"), [("x", "numbers"), ("click", "numbers"), ("seen", "lists")],
)  # fmt: skip
def test_groups_need_ids(column: str, word: str) -> None:
    """A column that the model reads as numbers or lists cannot group rows."""
    (item,) = refusal(RECIPE, grouped_by=column).diagnostics
    assert f"`--grouped-by {column}`" in item.message
    assert word in item.message


def test_groups_may_be_anything_that_the_model_does_not_read(tmp_path: Path) -> None:
    """A separate column groups by its texts, a column of ids by its ids; fractions are refused when data is read."""
    source = rows(tmp_path)
    for column in ("day", "user"):
        found = train(graph_of(), replace(source, grouped_by=column), RECIPE, tmp_path / column)
        assert "validation/click/grouped_auc" in found.best
    with pytest.raises(SpecError, match="AS704"):
        train(graph_of(), replace(source, grouped_by="price"), RECIPE, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_groups_without_a_binary_task() -> None:
    """Grouping is refused because there is no AUC to group."""
    text = TEXT.replace("binary", "regression")
    assert "no task of `ok` has one prediction and labels of at least 0" in str(refusal(RECIPE, text, "user"))


def test_sparse_gradients_and_several_processes() -> None:
    """The combination, for which Lightning raises a traceback, is refused in one sentence."""
    text = TEXT.replace("vocab: 50, dim: 2", "vocab: 50, dim: 2, sparse_grad: true")
    assert "sparse gradients" in str(refusal(replace(RECIPE, devices=2), text))


def test_a_metric_that_nothing_measures_lists_some() -> None:
    """The message lists only some metrics, so that it does not fill the screen."""
    many = "tasks: {" + ", ".join(f"t{number}: {{}}" for number in range(100)) + "}"
    text = TEXT.replace("tasks: {click: {kind: binary}, like: {kind: binary}}", many)
    (item,) = refusal(replace(RECIPE, monitor="auc"), text).diagnostics
    assert item.code == "AS707"
    assert item.help.endswith("more")
    assert len(item.help) < 2000


@pytest.mark.parametrize(
    ("monitor", "code", "words"),
    [
        ("validation/click/auc, validation/like/acu", "AS707", "did you mean `validation/like/auc`?"),
        ("validation/click/auc,validation/like/pcoc", "AS741", "monitor `validation/like/loss`"),
        (" , ", "AS731", "known: validation/loss"),
    ],
)
def test_each_monitored_metric_is_checked(monitor: str, code: str, words: str) -> None:
    """A misspelt second metric is reported like the first; one without a direction is refused; none is too few."""
    (item,) = refusal(replace(RECIPE, monitor=monitor)).diagnostics
    assert item.code == code
    assert words in item.help
    check_recipe(graph_of(), replace(RECIPE, monitor="validation/click/auc, validation/like/loss"), None)


def test_more_weights_than_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has needed and available memory and the largest block; if memory is unknown, training starts."""
    monkeypatch.setattr(checks, "memory", lambda: 2000)
    (item,) = refusal(RECIPE).diagnostics
    assert item.code == "AS732"
    assert "needs 2.1 kB" in item.message
    assert "has 2.0 kB" in item.message
    assert "`inputs.user` needs the most, with 100 weights" in item.help
    monkeypatch.setattr(checks, "memory", lambda: None)
    check_recipe(graph_of(), RECIPE, None)


def test_memory_depends_on_how_weights_are_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row-wise Adagrad keeps one number per row instead of two per weight, and a sparse gradient only some rows.

    A frozen weight needs only itself, and a moving average one number more.
    """
    sparse = TEXT.replace("vocab: 50, dim: 2", "vocab: 50, dim: 2, sparse_grad: true")
    others = 2 * (5 + 1) * 16  # two towers that read 5 numbers, and have a bias
    settings: list[tuple[str, Any, float]] = [
        (TEXT, {}, 100 * 16 + 18 * 16 + others),
        (sparse, {}, 100 * 12 + 18 * 16 + others),
        (TEXT, {"table_optimizer": "rowwise_adagrad"}, (100 + 18) * (4 + 4 + 2) + others),
        (sparse, {"table_optimizer": "rowwise_adagrad"}, 100 * (4 + 2) + 18 * (4 + 4 + 2) + others),
        (TEXT, {"freeze": ("inputs.user",)}, 100 * 4 + 18 * 16 + others),
        (TEXT, {"ema": 0.9}, (100 + 18 + 12) * 20),
    ]
    for text, changed, needed in settings:
        recipe = replace(RECIPE, **changed)
        monkeypatch.setattr(checks, "memory", lambda held=needed: held)
        check_recipe(graph_of(text), recipe, None)
        monkeypatch.setattr(checks, "memory", lambda held=needed - 1: held)
        assert refusal(recipe, text).diagnostics[0].code == "AS732"


def test_memory_is_that_of_this_machine() -> None:
    """The result is plausible: between 256 MB and 100 TB."""
    held = checks.memory()
    assert held is None or 2**28 < held < 10**14


def rows(folder: Path) -> Source:
    """200 rows in a file."""
    table = pa.table({
        "user": [i % 50 for i in range(200)], "x": [i / 7 for i in range(200)], "seen": [[i % 9] for i in range(200)],
        "click": [i // 50 % 2 for i in range(200)], "like": [i % 3 // 2 for i in range(200)],
        "day": [f"d{i % 3}" for i in range(200)], "price": [i % 5 / 2 for i in range(200)],
    })  # fmt: skip
    parquet.write_table(table, folder / "a.parquet")
    return Source((str(folder / "a.parquet"),), share=0.3)


@pytest.mark.parametrize("name", ["there", "new/run"])
def test_a_refused_run_leaves_nothing(tmp_path: Path, name: str) -> None:
    """No folder is created, an existing one is unchanged, and the corrected command then runs in either."""
    source, folder = rows(tmp_path), tmp_path / name
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "notes.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    wrong = replace(RECIPE, monitor="validation/click/acu")
    with pytest.raises(SpecError, match="AS707"):
        train(graph_of(), source, wrong, folder)
    with pytest.raises(SpecError, match="AS702"):
        train(graph_of(TEXT.replace("user:", "usr:")), source, RECIPE, folder)
    assert sorted(tmp_path.rglob("*")) == before
    train(graph_of(), source, replace(wrong, monitor="validation/click/auc"), folder)
    assert (folder / WEIGHTS).exists()


def test_a_run_that_failed_before_it_kept_anything_is_begun_anew(tmp_path: Path) -> None:
    """After a diverging learning rate the folder is usable with a better one, with or without resume."""
    source = rows(tmp_path)
    for resume in (False, True):
        folder = tmp_path / f"run{resume}"
        with pytest.raises(SpecError, match="AS710"):
            train(graph_of(), source, replace(RECIPE, learning_rate=1e30, batch=10), folder)
        found = train(graph_of(), source, RECIPE, folder, resume=resume)
        assert found == train(graph_of(), source, RECIPE, tmp_path / f"other{resume}")


def test_threads_are_used_and_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training and reading use the requested number of threads; afterwards the process has its previous number."""
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(
        "archspec.runs.training.CheckpointCallback.on_validation_end",
        lambda *_: seen.append((torch.get_num_threads(), pa.cpu_count())),
    )
    before = torch.get_num_threads(), pa.cpu_count()
    train(graph_of(), rows(tmp_path), replace(RECIPE, threads=3), tmp_path / "run")
    assert seen == [(3, 3)]
    assert (torch.get_num_threads(), pa.cpu_count()) == before


def test_a_plateau_has_settings_of_its_own() -> None:
    """They need the schedule, and are allowed with it, also for several optimizers."""
    (item,) = refusal(replace(RECIPE, plateau_factor=0.1)).diagnostics
    assert item.message == "`--plateau-factor` needs `--schedule plateau`"
    text = TEXT.replace("vocab: 50, dim: 2", "vocab: 50, dim: 2, sparse_grad: true")
    check_recipe(graph_of(text), replace(RECIPE, plateau_factor=0.1, plateau_patience=3, schedule="plateau"), None)


def test_float16_requires_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning would silently use bfloat16 on a CPU; the help names what runs there."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (item,) = refusal(replace(RECIPE, precision="16-mixed")).diagnostics
    assert "bf16-mixed" in (item.help or "")


def test_other_epochs_change_a_schedule(tmp_path: Path) -> None:
    """A constant rate may go on for further epochs; one that falls to 0 at the last epoch may not."""
    path = tmp_path / "rows.parquet"
    rows = range(200)
    columns = {"user": [i % 50 for i in rows], "x": [i / 200 for i in rows], "seen": [[i % 9] for i in rows]}
    labels = {"click": [i % 2 for i in rows], "like": [i // 2 % 2 for i in rows]}
    parquet.write_table(pa.table({**columns, **labels}), path)
    recipe = replace(RECIPE, epochs=1, batch=20, schedule="linear", precision="bf16-mixed", clip=0.1)
    graph, source = graph_of(TEXT), Source((str(path),))
    train(graph, source, recipe, tmp_path / "run")
    with pytest.raises(SpecError, match="--epochs"):
        train(graph, source, replace(recipe, epochs=2), tmp_path / "run", resume=True)
