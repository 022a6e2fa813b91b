"""Many trainings on the synthetic tasks in parallel: each runs the loop of `train_synthetic.py` in its own process.

A run draws tasks, rows, initial weights and batches from its seed; with the same seed they are the same for every model
and p (except for the second task, which depends on p), so runs of the same seed are compared in pairs.

Finished runs can be kept in a file, a line of JSON each, so that an interrupted experiment continues where it stopped.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout, without an installation

import archspec
from examples import train_synthetic as recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

MODELS = {
    "Shared-Bottom": "synthetic_shared_bottom",
    "one-gate MoE": "synthetic_moe",
    "MMoE": "synthetic_mmoe",
    "PLE": "synthetic_ple",
}
CORRELATIONS = (0.5, 0.9, 1.0)

Curve = list[tuple[int, float]]
"""Pairs of the number of steps, and the test loss after them."""


class Job(NamedTuple):
    """One training."""

    model: str
    p: float
    seed: int
    rate: float = recipe.RATE


class Plan(NamedTuple):
    """The settings of all trainings of an experiment; `every`: steps between tests, 0 for a single test at the end."""

    rows: int = recipe.ROWS
    every: int = 0

    @property
    def steps(self) -> int:
        """Steps of a training."""
        return recipe.EPOCHS * -(-self.rows // recipe.BATCH)


data = lru_cache(maxsize=1)(recipe.data)  # models take turns on the same rows


def run(job: Job, plan: Plan) -> Curve:
    """Trains one model, and tests it during training and at the end."""
    train_rows, test_rows = data(job.p, job.seed, plan.rows)
    model = archspec.compile(recipe.SPECS / f"{MODELS[job.model]}.yaml", seed=job.seed)
    curve: Curve = []

    def watch(step: int) -> None:
        if step == plan.steps or (plan.every and step % plan.every == 0):
            curve.append((step, recipe.test(model, test_rows)))

    recipe.train(model, train_rows, job.seed, rate=job.rate, watch=watch)
    return curve


def kept(file: Path, plan: Plan) -> dict[Job, Curve]:
    """The runs of this plan in a file that `keep` has written. An incomplete last line counts as no run."""
    curves: dict[Job, Curve] = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        with suppress(json.JSONDecodeError):  # the process was killed while it wrote this line
            one = json.loads(line)
            if one["plan"] == plan._asdict():
                curves[Job(**one["job"])] = [(step, loss) for step, loss in one["curve"]]
    return curves


def keep(file: Path, plan: Plan, job: Job, curve: Curve) -> None:
    """Appends a finished run to the file, as one line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps({"plan": plan._asdict(), "job": job._asdict(), "curve": curve})
    with file.open("a+b") as lines:
        end = lines.seek(0, os.SEEK_END)
        lines.seek(max(0, end - 1))
        broken = lines.read(1) not in {b"", b"\n"}
        lines.write(("\n" * broken + line + "\n").encode())


def run_all(jobs: list[Job], plan: Plan, workers: int, seconds: float = float("inf")) -> Iterator[tuple[Job, Curve]]:
    """Yields the curve of each job when it is done, with `workers` processes.

    When the time is up, jobs of seeds after the current one are dropped.
    """
    stop = time.monotonic() + seconds
    spawn = multiprocessing.get_context("spawn")  # a fork would inherit torch's threads
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_start) as pool:
        futures = {pool.submit(partial(run, plan=plan), job): job for job in jobs}
        try:
            for future in as_completed(futures):
                if future.cancelled():
                    continue
                seed = futures[future].seed
                for later, job in futures.items():
                    if time.monotonic() > stop and job.seed > seed:
                        later.cancel()
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # interrupted: start no more jobs


def _start() -> None:
    """Uses one thread per process: the models are too small for more. After an interrupt, a worker finishes its run."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
