"""Two processes on their own rows train like one process on all rows (gloo, CPU)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

# One process of a run: prints, as JSON, losses, weights and the balance's state after two steps with each balance.
PROGRAM = """
import json, os, sys
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
import archspec
from archspec.train.criterion import MultiTaskLoss

TEXT = '''
archspec: 1
name: bottom
inputs:
  x: {kind: dense, dim: 2}
tasks:
  a: {kind: regression, when: has_a}
  b: {kind: binary, weight_column: v}
levels:
  - experts:
      bottom: {units: [3], activation: tanh}
towers:
  $task: {from: level1.experts.bottom, units: []}
balance: BALANCE
'''

rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
draw = torch.Generator().manual_seed(0)
rows = {name: torch.randn(6, generator=draw, dtype=torch.float64) for name in ("a", "v")}
rows["v"] = rows["v"].abs()
rows["b"] = (torch.arange(6) % 2).double()
rows["x"] = torch.randn(6, 2, generator=draw, dtype=torch.float64)
rows["has_a"] = torch.tensor([1, 1, 1, 0, 0, 0])   # all rows of task a are in the first process
mine = {0: slice(0, 4), 1: slice(4, 6)}[rank] if size > 1 else slice(0, 6)
batch = {name: column[mine] for name, column in rows.items()}

def trained(balance):
    spec = archspec.load(TEXT.replace("BALANCE", balance))
    model = archspec.compile(spec, seed=1).double()
    if size > 1:
        model = DistributedDataParallel(model)
    criterion = MultiTaskLoss(spec, model=model).double()
    learning = [*model.parameters(), *criterion.parameters()]
    optimizer = torch.optim.SGD(learning, lr=0.1)
    losses = []
    for _ in range(2):
        loss, _ = criterion(model(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    weights = [parameter.flatten().tolist() for parameter in learning]
    state = [buffer.flatten().tolist() for buffer in criterion.buffers()]
    return {"losses": losses, "weights": weights, "state": state}

if size > 1:
    distributed.init_process_group("gloo")
print(json.dumps({balance: trained(balance) for balance in sys.argv[1:]}))
if size > 1:
    distributed.destroy_process_group()
"""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def run(balances: list[str], processes: int) -> list[dict[str, Any]]:
    """What each process of a run printed: results by balance."""
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(processes)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *balances],
            env={**os.environ, **common, "RANK": str(rank), "OMP_NUM_THREADS": "1"},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    outputs = [process.communicate(timeout=240)[0] for process in started]
    assert [process.returncode for process in started] == [0] * processes
    return [json.loads(output) for output in outputs]


@pytest.fixture(scope="module")
def runs() -> list[dict[str, Any]]:
    """Results of one process on all rows, then of each of two processes on their own."""
    balances = ["sum", "uncertainty", "gradnorm", *(["pcgrad"] if find_spec("torchjd") else [])]
    return [*run(balances, 1), *run(balances, 2)]


@pytest.mark.parametrize("balance", ["sum", "uncertainty", "gradnorm", "pcgrad"])
def test_two_processes_train_like_one(balance: str, runs: list[dict[str, Any]]) -> None:
    """Loss, weights and the balance's state are those of one process, however uneven the rows of a sample space."""
    if balance == "pcgrad":
        pytest.importorskip("torchjd", reason="the extra `train` installs it")
    alone, *both = (results[balance] for results in runs)
    for process in both:
        for key in ("losses", "weights", "state"):
            assert flat(process[key]) == pytest.approx(flat(alone[key]), abs=1e-10)


def flat(nested: Any) -> list[float]:  # noqa: ANN401 - numbers, or lists of them
    """All numbers of nested lists, in order."""
    return [number for item in nested for number in flat(item)] if isinstance(nested, list) else [nested]
