"""Two processes, each with its own rows, train like one process with all rows (gloo, CPU), whole or in shards."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest
import torch

import archspec
from tests.processes import printed_by

# One process of a run: prints losses, weights and the balance's state after three steps, for each setup.
PROGRAM = """
import os, sys
import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
import archspec
from archspec.train.criterion import MultiTaskLoss
from tests.processes import leave

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

def trained(case):
    balance, _, way = case.partition(" ")
    spec = archspec.load(TEXT.replace("BALANCE", balance))
    model = archspec.compile(spec, seed=1, optimize="plain" not in way).double()
    if size > 1:
        mesh = init_device_mesh("cpu", (size,))
        model = fully_shard(model, mesh=mesh) if "shards" in way else DistributedDataParallel(model)
    criterion = MultiTaskLoss(spec, model=model).double()
    learning = [*model.parameters(), *criterion.parameters()]
    optimizer = torch.optim.SGD(learning, lr=0.1)
    losses = []
    for _ in range(3):
        loss, _ = criterion(model(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    whole = [weight.full_tensor() if isinstance(weight, DTensor) else weight for weight in learning]
    weights = [weight.flatten().tolist() for weight in whole]
    state = [buffer.flatten().tolist() for buffer in criterion.buffers()]
    return {"losses": losses, "weights": weights, "state": state}

if size > 1:
    distributed.init_process_group("gloo")
leave({case: trained(case) for case in sys.argv[1:]})
"""


def run(cases: list[str], processes: int) -> list[dict[str, Any]]:
    """The printed results of each process of a run, by case."""
    return printed_by(["-c", PROGRAM, *cases], processes)


WHOLE = ["sum", "uncertainty", "gradnorm", "pcgrad"]
"""Balances, with DistributedDataParallel."""
SHARDS = ["sum shards", "sum plain shards", "uncertainty shards", "gradnorm shards", "pcgrad shards"]
"""With FSDP2 on the optimized model, or the plain one."""


@pytest.fixture(scope="module")
def runs() -> list[dict[str, Any]]:
    """Results of one process with all rows, then of each of two processes with its own rows."""
    cases = [case for case in (*WHOLE, *SHARDS) if "pcgrad" not in case or find_spec("torchjd")]
    return [*run(cases, 1), *run(cases, 2)]


@pytest.mark.parametrize("case", WHOLE)
def test_two_processes_train_like_one(case: str, runs: list[dict[str, Any]]) -> None:
    """Loss, weights and the balance's state equal those of one process, however uneven a sample space is."""
    assert_like_one(case, runs)


@pytest.mark.parametrize("case", SHARDS)
def test_two_processes_with_half_the_weights_each_train_like_one(case: str, runs: list[dict[str, Any]]) -> None:
    """FSDP2 gives the same, with fused or plain weights, also if the balance reads gradients."""
    assert_like_one(case, runs)


@pytest.mark.parametrize("balance", ["gradnorm", "pcgrad"])
def test_shards_after_the_forward_pass_are_refused(balance: str) -> None:
    """If FSDP2 has sharded parameters too early for a balance that reads gradients, the error says what is needed."""
    if balance == "pcgrad":
        pytest.importorskip("torchjd", reason="the extra `train` installs it")
    text = PROGRAM.partition("TEXT = '''")[2].partition("'''")[0].replace("BALANCE", balance)
    model = archspec.compile(text, seed=0)
    for parameter in model.parameters():
        parameter.device_mesh = "as a DTensor has it"  # type: ignore[attr-defined] # of a shard
    batch = {"x": torch.ones(2, 2), **{name: torch.ones(2) for name in ("a", "b", "v", "has_a")}}
    with pytest.raises(
        ValueError, match=r"is sharded, but .* DDP, or fully_shard\(model, reshard_after_forward=False\)"
    ):
        archspec.MultiTaskLoss(model)(model(batch), batch)


def assert_like_one(case: str, runs: list[dict[str, Any]]) -> None:
    """Both processes have the results of one."""
    if "pcgrad" in case:
        pytest.importorskip("torchjd", reason="the extra `train` installs it")
    alone, *both = (results[case] for results in runs)
    for process in both:
        for key in ("losses", "weights", "state"):
            assert flat(process[key]) == pytest.approx(flat(alone[key]), abs=1e-10)


def flat(nested: Any) -> list[float]:  # noqa: ANN401 - numbers, or lists of them
    """All numbers of nested lists, in order."""
    return [number for item in nested for number in flat(item)] if isinstance(nested, list) else [nested]
