"""One process of a run: `python -m tests.train.spec_on_processes FOLDER` prints its losses, and saves the weights.

RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT identify it, as for any program of torch.distributed. Process 0 has the
first rows of each batch, process 1 the rest.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import archspec
from archspec.compiler.compile import build
from archspec.graph.load import graph_of
from archspec.nn.measure import random_batch
from tests.processes import leave

if TYPE_CHECKING:
    from torch import Tensor

SPECS = Path(__file__).resolve().parents[2] / "specs"
NAMES = ("ple", "pepnet", "din_ple")
WAYS = ("ddp", "fsdp2")
ROWS, FIRST, STEPS = 12, 8, 3


def batch_of(spec: archspec.Spec, part: slice) -> dict[str, Tensor]:
    """Some rows of a random batch, in float64; labels are 0 or 1."""
    graph = graph_of(spec)
    columns = [(key, c.dtype, c.shape, c.low, c.high) for key, c in build(graph).lowered.columns.values()]
    batch = random_batch(columns, ROWS, seed=1)
    batch |= {task: (torch.arange(ROWS) % (2 + place) == 0).float() for place, task in enumerate(spec.tasks)}
    return {name: (values.double() if values.is_floating_point() else values)[part] for name, values in batch.items()}


def trained(name: str, way: str, rank: int, size: int, folder: Path) -> list[float]:
    """The losses of a few steps of Adam; process 0 saves the weights of the whole model as `SPEC.WAY.pt`."""
    spec = archspec.load(SPECS / f"{name}.yaml")
    model: Any = archspec.compile(spec, seed=0).double()
    if way == "ddp":
        model = DistributedDataParallel(model)
    elif way == "fsdp2":
        model = fully_shard(model, mesh=init_device_mesh("cpu", (size,)))
    criterion = archspec.MultiTaskLoss(spec, model=model).double()
    optimizer = torch.optim.Adam([*model.parameters(), *criterion.parameters()], lr=0.01, eps=1e-3)
    batch = batch_of(spec, slice(None) if size == 1 else slice(FIRST) if rank == 0 else slice(FIRST, None))
    losses = []
    for _ in range(STEPS):
        loss, _ = criterion(model(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    state = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if rank == 0:
        torch.save(state, folder / f"{name}.{way}.pt")
    return losses


def main(folder: Path) -> None:
    """Trains each spec in each way."""
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    distributed.init_process_group("gloo")
    leave({f"{name}.{way}": trained(name, way, rank, size, folder) for name in NAMES for way in WAYS})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
