"""Runs in several processes that torchrun starts, on one node or several."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet
from safetensors.torch import load_file
from torch.distributed import HashStore  # type: ignore[attr-defined] # torch declares no export

from archspec.data.prepare import Source
from archspec.diagnostics import SpecError
from archspec.runs import processes
from archspec.runs.files import HISTORY, RESULTS, WEIGHTS
from archspec.runs.processes import Processes
from archspec.runs.recipe import Recipe
from archspec.runs.training import ended, train
from tests.processes import ROOT, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.graph.graph import Graph

TEXT = """
archspec: 1
name: small
inputs:
  user: {kind: sparse, vocab: 20, dim: 4}
  x: {kind: dense, dim: 3}
tasks:
  click: {}
  buy: {when: click}
levels:
  - experts: {$task: {units: [8]}, shared: {units: [8]}}
    gates: {$task: {sees: [$task, shared]}}
towers: {$task: {units: [4]}}
"""
RECIPE = Recipe(epochs=2, batch=30, interval=4, clip=0.5, accumulate=2, schedule="cosine", warmup=3)
OPTIONS = (
    "--epochs", "2", "--batch", "30", "--interval", "4", "--clip", "0.5", "--accumulate", "2", "--schedule", "cosine",
    "--warmup", "3",
)  # fmt: skip


def torchrun_variables(rank: int, count: int, per_node: int) -> dict[str, str]:
    """What torchrun tells a process about its place."""
    return {
        "TORCHELASTIC_RUN_ID": "any", "RANK": str(rank), "LOCAL_RANK": str(rank % per_node),
        "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(per_node),
    }  # fmt: skip


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three files with 401 rows."""
    folder, random = tmp_path_factory.mktemp("rows"), np.random.default_rng(0)
    for number, count in enumerate((150, 150, 101)):
        x = random.normal(size=(count, 3))
        click = (x[:, 0] > 0).astype(int)
        columns = {
            "user": random.integers(0, 19, count), "x": x.tolist(), "click": click,
            "buy": click * random.integers(0, 2, count),
        }  # fmt: skip
        parquet.write_table(pa.table(columns), folder / f"part-{number}.parquet")
    return folder


@pytest.fixture(scope="module")
def alone(graph: Graph, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    train(graph, Source((str(rows),)), RECIPE, folder)
    return folder


def started(folder: Path, rows: Path, *torchrun: str) -> subprocess.Popen[str]:
    """`torchrun ... -m archspec train` in a folder, whose run is in `run`."""
    (folder / "small.yaml").write_text(TEXT)
    launcher = [sys.executable, "-m", "torch.distributed.run", *torchrun, "-m", "archspec", "train", "small.yaml"]
    return subprocess.Popen(
        [*launcher, "--data", str(rows), "-o", "run", *OPTIONS],
        cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def check_same_runs(one: Path, other: Path) -> None:
    """Compares weights within the rounding of float32 sums, and everything that was measured."""
    weights, others = load_file(one / WEIGHTS), load_file(other / WEIGHTS)
    for name, value in weights.items():
        torch.testing.assert_close(others[name], value, rtol=0, atol=2e-6, msg=name)
    metrics, found = (json.loads((folder / RESULTS).read_text())["best"] for folder in (one, other))
    assert found == pytest.approx(metrics, abs=1e-5)


@pytest.fixture(scope="module")
def nodes(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, str]]]:
    """The run of two nodes, with one process each, and their outputs and errors."""
    folder = tmp_path_factory.mktemp("nodes")
    words = ("--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-id", "test")
    endpoint = ("--rdzv-endpoint", f"127.0.0.1:{free_port()}")
    both = [started(folder, rows, *words, *endpoint) for _ in range(2)]
    outputs = [node.communicate(timeout=240) for node in both]
    assert [node.returncode for node in both] == [0, 0], outputs
    return folder / "run", outputs


def test_two_nodes_train_like_one_process(nodes: tuple[Path, list[tuple[str, str]]], alone: Path) -> None:
    """With clipping, accumulation and a schedule, two nodes end with the weights of one process; only rank 0 prints."""
    folder, outputs = nodes
    assert sorted(text.count("weights of epoch") for text, _ in outputs) == [0, 1]
    assert sorted(text.count("rows to train on") for _, text in outputs) == [0, 1]
    check_same_runs(alone, folder)


def test_one_process_continues_a_run_of_two_nodes(
    nodes: tuple[Path, list[tuple[str, str]]], graph: Graph, rows: Path, alone: Path, tmp_path: Path
) -> None:
    """A checkpoint that two nodes have written, within an epoch, is continued in one process."""
    folder = tmp_path / "run"
    shutil.copytree(nodes[0], folder)
    (folder / HISTORY).unlink()  # as if it were killed after its last checkpoint
    train(graph, Source((str(rows),)), RECIPE, folder, resume=True)
    check_same_runs(alone, folder)


def test_the_first_process_is_known_by_its_rank() -> None:
    """LOCAL_RANK is 0 on each node, so it decides only if Lightning has started the processes."""
    second = Processes.started(1, torchrun_variables(2, 4, 2))
    assert (second.first, second.count, second.per_node, second.nodes) == (False, 4, 2, 2)
    assert Processes.started(2, torchrun_variables(0, 4, 2)).first
    assert not Processes.started(2, {"LOCAL_RANK": "1", "RANK": "0"}).first
    assert Processes.started(1, {"RANK": "3"}) == Processes()


@pytest.mark.parametrize(("devices", "count", "says"), [(4, 4, "has started 2 processes"), (1, 3, "not as many on")])
def test_torchrun_decides_how_many_processes_there_are(devices: int, count: int, says: str) -> None:
    """`--devices` with another number than torchrun's, or unequal nodes, are an error that says what to change."""
    with pytest.raises(SpecError, match="AS755") as told:
        Processes.started(devices, torchrun_variables(0, count, 2))
    assert says in told.value.diagnostics[0].message
    assert "--nproc-per-node" in str(told.value.diagnostics[0].help)


def together(first: Path, second: Path, monkeypatch: pytest.MonkeyPatch, failure: SpecError | None) -> list[object]:
    """What two processes, on nodes with these folders, raise when the first one has prepared its folder, or failed."""
    store = HashStore()
    monkeypatch.setattr(processes, "_store", lambda: store)
    for name in ("_REPORTING", "_VISIBLE"):
        monkeypatch.setattr(processes, name, 0.0)

    def prepare() -> None:
        with Processes(0, 2, 1, torchrun=True).preparing(first) as prepared:
            if failure is not None:
                raise failure
            first.mkdir(exist_ok=True)
            (first / "run.json").write_text("the run")
            prepared()

    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(Processes(1, 2, 1, torchrun=True).wait, second)
        return [pool.submit(prepare).exception(20), waiting.exception(20)]


def test_nodes_must_share_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a node has another folder, or an old run there, nothing is trained: the first process says where."""
    shared = tmp_path / "run"
    assert together(shared, shared, monkeypatch, None) == [None, None]
    for content in (None, "an old run"):
        other = tmp_path / str(content)
        if content is not None:
            other.mkdir()
            (other / "run.json").write_text(content)
        told, silent = together(shared, other, monkeypatch, None)
        assert isinstance(told, SpecError)
        assert isinstance(silent, SpecError)
        assert [item.code for item in told.diagnostics] == ["AS756"]
        assert (told.status, silent.status, silent.diagnostics) == (2, 2, ())


def test_a_folder_may_appear_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that does not see the run at once, because its network drive caches, looks again before it gives up."""
    looks = iter(["", "", "digest"])
    pauses: list[float] = []
    monkeypatch.setattr(processes, "_digest", lambda _: next(looks))
    monkeypatch.setattr(processes, "sleep", pauses.append)
    assert processes._appears(tmp_path, "digest")
    assert pauses == [1, 1]


def test_others_end_with_the_first_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the first process cannot prepare the data, the others end with its status, and do not repeat its message."""
    failure = SpecError([], status=2)
    told, silent = together(tmp_path, tmp_path, monkeypatch, failure)
    assert told is failure
    assert isinstance(silent, SpecError)
    assert (silent.status, silent.diagnostics) == (2, ())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("[/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:16304"), SpecError),
        (torch.distributed.DistBackendError("NCCL communicator was aborted on rank 1"), SpecError),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), RuntimeError),
    ],
)
def test_a_lost_process_is_no_bug_of_archspec(error: RuntimeError, expected: type[Exception]) -> None:
    """If a process was killed, the others report it with AS757 and how to continue; other errors stay as they are."""
    with pytest.raises(expected, match="AS757" if expected is SpecError else "mat1"), ended():
        raise error
