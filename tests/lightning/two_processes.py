"""One process of a run on two: `python -m tests.lightning.two_processes FOLDER ddp` prints its results as JSON.

RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT identify it, as for any program of torch.distributed. Process 0
has the first rows of each batch, process 1 the rest; all rows of the sample space of task `b` are with process 0.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy

from archspec.lightning import MultiTaskModule
from tests.lightning.loops import TEXT, Loader, loader_of, quiet_trainer, rows_of
from tests.processes import leave

ROWS = 8
FIRST = 5
"""Rows of each batch that process 0 has."""


def part_of(rank: int, size: int, batches: int, seed: int, first: int = FIRST) -> Loader:
    """One process's rows of batches that are drawn identically in every process; with `size` 1, all rows."""
    mine = slice(None) if size == 1 else slice(None, first) if rank == 0 else slice(first, None)
    whole = loader_of(batches, ROWS, seed)
    return Loader([{name: column[mine] for name, column in batch.items()} for batch in whole])


def results(strategy: str, rank: int = 0, size: int = 1, checkpoint: str = "") -> dict[str, Any]:
    """Trains two epochs of three steps; returns what was logged last, the clocks, and the scores of the first rows."""
    module = MultiTaskModule(TEXT, seed=0, grouped_by="user", log_gates=True, learning_rate=0.05)
    sharded = ModelParallelStrategy(data_parallel_size=size, tensor_parallel_size=1, save_distributed_checkpoint=False)
    how = {"alone": "auto", "ddp": DDPStrategy(), "fsdp2": sharded}[strategy]
    trainer = quiet_trainer(devices=size, strategy=how, max_epochs=2)
    trainer.fit(module, part_of(rank, size, 3, seed=1), part_of(rank, size, 2, seed=2))
    if checkpoint:
        trainer.save_checkpoint(checkpoint)
    clocks = [int(module.criterion.steps), int(module.criterion.epochs)]
    found = {name: float(value) for name, value in trainer.callback_metrics.items()}
    scores = {name: value.tolist() for name, value in module.predict_step(rows_of(ROWS, seed=3)).items()}
    (lonely,) = trainer.validate(module, part_of(rank, size, 2, seed=4, first=ROWS), verbose=False)
    return {"metrics": found, "clocks": clocks, "scores": scores, "lonely": lonely}


if __name__ == "__main__":
    place = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    folder, *strategies = sys.argv[1:]
    leave({name: results(name, *place, checkpoint=f"{folder}/{name}.ckpt") for name in strategies})
