"""Runs: training in a folder, interrupting, resuming and opening it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet
from safetensors.torch import load_file

from archspec import plugins
from archspec.compiler.compile import compile as compile_spec
from archspec.data.prepare import Source
from archspec.diagnostics import SpecError
from archspec.files import whole
from archspec.graph.load import load_graph
from archspec.lightning import optimizers
from archspec.lightning.average import TRAINED
from archspec.lightning.checkpoint import WholeCheckpoints, read_checkpoint
from archspec.runs.checkpoints import CheckpointCallback
from archspec.runs.files import HISTORY, LAST, RESULTS, RUN, SPEC, STATE, WEIGHTS
from archspec.runs.recipe import Recipe
from archspec.runs.trained import load_run
from archspec.runs.training import Progress, ended, train, untrained
from archspec.train.criterion import MultiTaskLoss
from tests.runs.killed import Killed, kill_after, killed_and_resumed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from _typeshed import ReadableBuffer as Buffer

    from archspec.graph.graph import Graph
    from archspec.train.choices import TableOptimizer

TEXT = """
archspec: 1
name: small
inputs:
  user: {kind: sparse, vocab: 20, dim: 4}
  x: {kind: dense, dim: 3}
tasks:
  click: {decay: 0.999}
  buy: {when: click}
balance: uncertainty
levels:
  - experts: {$task: {units: [8], dropout: 0.2, norm: batch}, shared: {units: [8]}}
    gates: {$task: {sees: [$task, shared], dropout: 0.1}}
towers: {$task: {units: [4]}}
"""
"""A model with everything that has a state: dropout, batch norm, a learned balance, a clock."""
RECIPE = Recipe(epochs=3, batch=32, learning_rate=1e-2, interval=4, patience=None, seed=1)
STEPS = replace(
    RECIPE, interval=2, schedule="cosine", warmup=4, clip=0.5, accumulate=3, ema=0.9, together="user",
    precision="bf16-mixed", table_learning_rate=0.05, table_optimizer="rowwise_adagrad", freeze=("towers.buy",),
    monitor="validation/click/auc, validation/buy/loss", by="user", log="csv",
)  # fmt: skip
PLATEAU = replace(
    RECIPE, interval=2, epochs=6, schedule="plateau", plateau_factor=0.3, warmup=4, learning_rate=0.5,
    monitor="validation/click/auc, validation/buy/loss", table_learning_rate=0.1, ema=0.5,
)  # fmt: skip
MOMENTS = sorted(Random(15).sample(range(1, 36), 10))  # noqa: S311 - not for security


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """500 rows; clicks depend on the user and on x."""
    random = np.random.default_rng(0)
    user, x = random.integers(0, 20, 500), random.normal(size=(500, 3)).astype(np.float32)
    click = (x[:, 0] + user % 3 + random.normal(size=500) > 1).astype(np.int8)
    buy = np.where(x[:, 1] > 0, 1.0, 0.0)
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    parquet.write_table(pa.table({"user": user, "x": list(x), "click": click, "buy": buy}), path)
    return Source((str(path),), share=0.2, grouped_by="user")


def kept(folder: Path) -> dict[str, Any]:
    """The final state of a run: best weights, last weights and optimizers, and all metrics."""
    last = read_checkpoint(folder / LAST)
    optimizers = [state["state"] for state in last["optimizer_states"]]
    return {
        "best": load_file(folder / WEIGHTS), "last": dict(last["state_dict"]) | last.get(TRAINED, {}),
        "average": dict(last["state_dict"]), "optimizers": optimizers,
        "state": last["callbacks"][STATE], "history": json.loads((folder / HISTORY).read_text())["history"],
        "results": json.loads((folder / RESULTS).read_text()),
    }  # fmt: skip


def test_what_a_run_leaves(graph: Graph, source: Source, unbroken: Path) -> None:
    """The folder contains spec, settings, weights and results; the model has learned, and the best weights are kept."""
    found = kept(unbroken)
    assert (unbroken / SPEC).read_text() == graph.spec.text()
    assert not list(unbroken.rglob("*.tmp"))
    results = found["results"]
    assert results["train"] + results["validation"] == 500
    history = found["history"]
    monitored = [value for _, value in history[RECIPE.monitor]]
    assert results["best"][RECIPE.monitor] == min(monitored)
    assert results["best"]["validation/click/auc"] > 0.75
    assert "validation/click/grouped_auc" in results["best"]
    assert len(history["validation/loss"]) == RECIPE.epochs
    assert history["train/click/loss"][-1][1] < history["train/click/loss"][0][1]
    assert source.files[0] in (unbroken / RUN).read_text()


def test_a_folder_is_opened(graph: Graph, source: Source, unbroken: Path) -> None:
    """The weights of the best epoch reproduce its metrics; scoring new rows needs no labels."""
    trained = load_run(unbroken / WEIGHTS)
    assert trained.graph.spec.digest == graph.spec.digest
    batch = next(iter(trained.validation()))
    with torch.no_grad():
        logits = trained.model(batch)["click"]
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, batch["click"])
    assert float(loss) == pytest.approx(kept(unbroken)["results"]["best"]["validation/click/log_loss"], rel=1e-5)
    for files in (source.files, source.files[0], Path(source.files[0]), Path(source.files[0]).parent / "*.parquet"):
        batches = list(trained.batches(files))
        assert sum(len(batch["user"]) for batch in batches) == 500
        assert [int(batch.rows[0]) for batch in batches[:1]] == [0]
        assert trained.model.predict(batches[0])["click"].shape == batches[0].rows.shape


@pytest.mark.parametrize("moment", ["prepared", 2, 4, 5, 9, 12, 13, "validated", "epoch end", 26, 35])
def test_a_run_goes_on_as_if_nothing_had_happened(  # noqa: PLR0913, PLR0917 - fixtures
    graph: Graph, source: Source, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str | int
) -> None:
    """Interrupted during preparation, any step, validation or between epochs, it ends bit for bit equal."""

    def kill(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        if moment == "prepared":
            patched.setattr("archspec.runs.training.write_whole", kill)
        elif moment == "validated":
            patched.setattr(CheckpointCallback, "_line", kill)
        elif moment == "epoch end":
            patched.setattr("archspec.runs.checkpoints.write_whole", kill)
        else:
            kill_after(int(moment), patched)
        with pytest.raises(Killed):
            train(graph, source, RECIPE, tmp_path / "run")
    train(graph, source, RECIPE, tmp_path / "run", resume=True)
    check_equal(kept(unbroken), kept(tmp_path / "run"))


def check_equal(expected: dict[str, Any], found: dict[str, Any]) -> None:
    """Compares two final states bit for bit."""
    for name in ("best", "last", "average"):
        assert expected[name].keys() == found[name].keys()
        assert all(torch.equal(expected[name][key], found[name][key]) for key in expected[name])
    for name in ("state", "history", "results"):
        assert expected[name] == found[name]
    for left, right in zip(expected["optimizers"], found["optimizers"], strict=True):
        assert left.keys() == right.keys()
        for key, state in left.items():
            assert state.keys() == right[key].keys()
            assert all(torch.equal(torch.as_tensor(state[name]), torch.as_tensor(right[key][name])) for name in state)


@pytest.fixture(scope="module")
def unbroken_steps(graph: Graph, source: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run: scheduled, clipped, accumulated and averaged steps on whole groups."""
    folder = tmp_path_factory.mktemp("run") / "steps"
    train(graph, source, STEPS, folder)
    return folder


@pytest.mark.parametrize("moment", MOMENTS)
def test_scheduled_clipped_accumulated_and_averaged_steps_go_on_exactly(  # noqa: PLR0913, PLR0917 - fixtures
    graph: Graph, source: Source, unbroken_steps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """Killed at ten random moments, also between batches of one optimizer step, a run ends bit for bit equal.

    Its batches are whole groups of rows, of varying sizes.
    """
    killed_and_resumed(graph, source, STEPS, tmp_path / "run", monkeypatch, moment)
    check_equal(kept(unbroken_steps), kept(tmp_path / "run"))


@pytest.mark.parametrize("moment", [11, 26])
@pytest.mark.parametrize("table_optimizer", ["adam", "sparse_adam", "rowwise_adagrad"])
def test_two_optimizers_go_on_exactly(  # noqa: PLR0913, PLR0917 - fixtures
    source: Source, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    table_optimizer: TableOptimizer, moment: int,
) -> None:  # fmt: skip
    """With sparse tables, AdamW and another optimizer go on with all of these options, bit for bit."""
    graph = load_graph(TEXT.replace("dim: 4}", "dim: 4, sparse_grad: true}"), None, plugins.load([]))
    recipe = replace(STEPS, table_optimizer=table_optimizer, table_learning_rate=0.1)
    unbroken = tmp_path_factory.getbasetemp() / table_optimizer
    if not unbroken.exists():
        train(graph, source, recipe, unbroken)
    killed_and_resumed(graph, source, recipe, tmp_path / "run", monkeypatch, moment)
    check_equal(kept(unbroken), kept(tmp_path / "run"))


def test_a_run_says_how_large_tables_train_faster(
    graph: Graph, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is one line before the first epoch; a run with sparse gradients is not told."""
    monkeypatch.setattr(optimizers, "_MANY", 1)
    monkeypatch.setattr(optimizers, "_FEW", 0)
    sparse = load_graph(TEXT.replace("dim: 4}", "dim: 4, sparse_grad: true}"), None, plugins.load([]))
    told = []
    for name, each in (("dense", graph), ("sparse", sparse)):
        said: list[str] = []
        train(each, source, replace(STEPS, epochs=1), tmp_path / name, progress=Progress(say=said.append))
        told.append(["`sparse_grad: true`" in line for line in said])
    assert sum(told[0]) == 1
    assert not told[0][-1]
    assert not any(told[1])


@pytest.mark.parametrize("moment", [None, 60, 70])
def test_a_plateau_goes_on_exactly(  # noqa: PLR0913, PLR0917 - fixtures
    graph: Graph, source: Source, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, moment: int | None,
) -> None:  # fmt: skip
    """A rate that falls on a plateau, with warm-up and two rates, does so in a resumed run, bit for bit."""
    unbroken = tmp_path_factory.getbasetemp() / "plateau"
    if not unbroken.exists():
        train(graph, source, PLATEAU, unbroken)
    if moment is None:
        rates = [group["lr"] for each in read_checkpoint(unbroken / LAST)["optimizer_states"]
                 for group in each["param_groups"]]  # fmt: skip
        assert (min(rates), max(rates)) == pytest.approx((0.1 * 0.3, 0.5 * 0.3))
        return
    killed_and_resumed(graph, source, PLATEAU, tmp_path / "run", monkeypatch, moment)
    check_equal(kept(unbroken), kept(tmp_path / "run"))


def test_a_run_that_is_killed_for_good(graph: Graph, source: Source, tmp_path: Path) -> None:
    """After SIGKILL the folder contains no half-written file, and the run can be resumed."""
    (tmp_path / "small.yaml").write_text(TEXT)
    words = [
        sys.executable, "-m", "archspec", "train", "small.yaml", "--data", source.files[0], "--batch", "16",
        "--epochs", "1000", "--interval", "1", "--patience", "0", "-o", "run",
    ]  # fmt: skip
    process = subprocess.Popen(words, cwd=tmp_path, start_new_session=True, stderr=subprocess.DEVNULL)
    last = tmp_path / "run" / LAST
    for _ in range(600):
        if last.exists():
            break
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    begun = read_checkpoint(last)["global_step"]
    assert begun > 0
    recipe = Recipe(epochs=begun // 28 + 2, batch=16, interval=10**6, patience=None)
    found = train(graph, replace(source, share=0.1, grouped_by=None), recipe, tmp_path / "run", resume=True)
    assert found.best["epoch"] >= 1
    assert read_checkpoint(last)["global_step"] > begun


def test_a_run_that_is_over_stays_as_it_is(graph: Graph, source: Source, unbroken: Path) -> None:
    """Resuming a finished run trains nothing; with more epochs only these are trained."""
    before = (unbroken / LAST).read_bytes()
    assert train(graph, source, RECIPE, unbroken, resume=True).best == kept(unbroken)["results"]["best"]
    assert (unbroken / LAST).read_bytes() == before


def test_early_stopping(graph: Graph, source: Source, tmp_path: Path) -> None:
    """Training stops after `patience` epochs without improvement and prints each; a resumed run stays stopped."""
    said: list[str] = []
    recipe = replace(RECIPE, epochs=40, patience=2, learning_rate=0.05, monitor="validation/click/auc")
    found = train(graph, source, recipe, tmp_path / "run", progress=Progress(say=said.append))
    epochs = len(found.history["validation/loss"])
    assert epochs == found.best["epoch"] + 2 < 40
    assert len(said) == epochs
    assert sum("(best)" in line for line in said) >= 1
    assert found.best["validation/click/auc"] == max(value for _, value in found.history["validation/click/auc"])
    again = train(graph, source, recipe, tmp_path / "run", resume=True)
    assert len(again.history["validation/loss"]) == epochs


def test_a_folder_with_another_run(graph: Graph, source: Source, unbroken: Path) -> None:
    """A run is never overwritten or resumed with other settings, and every difference is reported."""
    with pytest.raises(SpecError, match="AS706"):
        train(graph, source, RECIPE, unbroken)
    with pytest.raises(SpecError) as caught:
        train(graph, source, replace(RECIPE, seed=5, batch=64), unbroken, resume=True)
    assert [item.message.partition("was ")[2] for item in caught.value.diagnostics] == [
        "started with `--batch 32`, not with `--batch 64`",
        "started with `--seed 1`, not with `--seed 5`",
    ]


def test_another_argument_is_an_option_in_words(graph: Graph, source: Source, unbroken: Path) -> None:
    """Options are quoted as typed, mappings with their differing entries only; a missing one reads `without`."""
    choices = {**source.choices, "user": "hash"}
    others = replace(source, choices=choices, header=("a", "b"), missing={"user": ("none", "x")})
    with pytest.raises(SpecError) as caught:
        train(graph, others, replace(RECIPE, monitor="validation/click/auc"), unbroken, resume=True)
    said = [item.message.partition("started ")[2] for item in caught.value.diagnostics]
    assert sorted(said) == [
        "with `--monitor validation/task_losses`, not with `--monitor validation/click/auc`",
        "without `--encode`, not with `--encode user=hash`",
        "without `--header`, not with `--header a,b`",
        "without `--missing`, not with `--missing user=none,x`",
    ]
    assert not any(character in text for text in said for character in "{}[]'")


def test_mistakes_leave_no_folder(source: Source, tmp_path: Path) -> None:
    """A missing column is reported before anything is written."""
    other = load_graph(TEXT.replace("user:", "usr:"), None, plugins.load([]))
    with pytest.raises(SpecError, match="AS702"):
        train(other, replace(source, grouped_by=None), RECIPE, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_metric_that_nothing_measures(graph: Graph, source: Source, tmp_path: Path) -> None:
    """A misspelt metric is refused before training, with the probably intended one."""
    with pytest.raises(SpecError, match="AS707") as caught:
        train(graph, source, replace(RECIPE, monitor="validation/click/acu"), tmp_path / "run")
    assert caught.value.diagnostics[0].help.startswith("did you mean `validation/click/auc`?")


def test_a_loss_that_is_no_number(graph: Graph, source: Source, tmp_path: Path) -> None:
    """Training stops with one sentence when the loss is NaN or infinite."""
    with pytest.raises(SpecError, match="AS710"):
        train(graph, source, replace(RECIPE, learning_rate=1e30), tmp_path / "run")


def test_what_is_no_run(tmp_path: Path) -> None:
    """Folders without a run, or without its weights, are refused."""
    with pytest.raises(SpecError, match="AS708"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("", False), ("  c: {from: x, units: [5], norm: layer}\n", True), ("  c: {from: {detach: user}}\n", True),
        ("  c: {from: x, units: [5]}\nfusion: {s: {kind: product, of: [click, c]}}\n", True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("optimize", [False, True])
def test_parameters_that_no_loss_reaches_are_known_beforehand(extra: str, *, expected: bool, optimize: bool) -> None:
    """The parameters that the graph reports as unused, for DDP, are those without a gradient after a backward pass."""
    text = TEXT.replace("towers: {$task: {units: [4]}}\n", "towers:\n  $task: {units: [4]}\n" + extra)
    graph = load_graph(text, None, plugins.load([]))
    model = compile_spec(graph.spec, optimize=optimize, seed=0)
    batch = {"user": torch.arange(8), "x": torch.rand(8, 3), "click": torch.ones(8), "buy": torch.zeros(8)}
    MultiTaskLoss(model)(model(batch), batch)[0].backward()
    unused = any(parameter.grad is None for parameter in model.parameters())
    assert untrained(model, graph) == unused == expected


def test_two_processes_and_an_output_without_a_loss(source: Source, tmp_path: Path) -> None:
    """DDP is told about parameters without a gradient, and only one process prints."""
    text = TEXT.replace("towers: {$task: {units: [4]}}", "towers: {$task: {units: [4]}, c: {from: x, units: [5]}}")
    (tmp_path / "small.yaml").write_text(text)
    words = [
        sys.executable, "-m", "archspec", "train", "small.yaml", "--data", source.files[0], "--batch", "64",
        "--epochs", "1", "--devices", "2", "-o", "run", "--progress", "json",
    ]  # fmt: skip
    found = subprocess.run(words, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr
    events = [json.loads(line) for line in found.stderr.splitlines()]
    assert [one["code"] for one in events if one["event"] == "finding"] == ["AS303"]
    assert [one["epoch"] for one in events if one["event"] == "epoch"] == [1]
    assert "weights of epoch 1" in found.stdout
    assert load_run(tmp_path / "run").graph.spec.name == "small"


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_what_ends_a_run_from_outside_is_one_sentence(source: Source, tmp_path: Path, ending: int) -> None:
    """Ctrl-C and kill end with status 130 and a hint on how to resume, and leave no lock."""
    (tmp_path / "small.yaml").write_text(TEXT)
    words = [
        sys.executable, "-m", "archspec", "train", "small.yaml", "--data", source.files[0], "--batch", "16",
        "--epochs", "1000", "--interval", "1", "--patience", "0", "-o", "run",
    ]  # fmt: skip
    restore = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    words[1:3] = ["-c", restore + "from archspec.cli import main; sys.exit(main())"]
    process = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    for _ in range(600):
        if (tmp_path / "run" / LAST).exists():
            break
        time.sleep(0.1)
    process.send_signal(ending)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.splitlines()[-1] == "interrupted: to continue the run in run, add --resume to the same command"
    assert "Traceback" not in told
    assert not (tmp_path / "run" / ".lock").exists()


@pytest.mark.parametrize("moment", range(1, 12))
def test_interrupted_while_a_checkpoint_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """Ctrl-C ends the run even if torch's writer then raises another error; the old checkpoint is kept."""
    writes = 0

    class Interrupted(io.BytesIO):
        def write(self, data: Buffer) -> int:
            nonlocal writes
            writes += 1
            if writes == moment:
                raise KeyboardInterrupt
            return super().write(data)

    @contextmanager
    def interrupted(path: Path) -> Iterator[IO[bytes]]:
        with whole(path) as file, Interrupted() as buffer:
            yield buffer
            file.write(buffer.getvalue())

    path = tmp_path / LAST
    path.write_bytes(b"old")
    monkeypatch.setattr("archspec.lightning.checkpoint.whole", interrupted)
    with pytest.raises(KeyboardInterrupt), ended():
        WholeCheckpoints().save_checkpoint({"first": torch.ones(3), "second": torch.ones(4000)}, path)
    assert [path.read_bytes(), *tmp_path.iterdir()] == [b"old", path]
