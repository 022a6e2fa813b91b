"""`make demo`: every spec checked, compiled and drawn into build/; then three of them trained side by side.

What is shown are losses of one recipe, the same for all three models: 100,000 rows, so that none of them overfits.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import archspec
from archspec.render import render
from examples import train_synthetic as recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
MODELS = {"Shared-Bottom": "synthetic_shared_bottom", "MMoE": "synthetic_mmoe", "PLE": "synthetic_ple"}
CORRELATIONS = (0.5, 0.9, 1.0)
ENOUGH = 120.0  # seconds of training after which no further run of all cells is begun
INTERRUPTED = 130  # 128 + SIGINT, as shells have it

Job = tuple[str, float, int]
"""Model, correlation, seed."""

console = Console(highlight=False)


def command(name: str, specs: list[str], plugins: list[str]) -> None:
    """Runs a command of archspec, and shows it as one would type it. Raises CalledProcessError where it fails."""
    folders = dict.fromkeys(spec.rpartition("/")[0] for spec in specs)
    enabled = [word for plugin in plugins for word in ("--plugin", plugin)]
    more = f" (and {len(plugins) - 1} more)" if len(plugins) > 1 else ""
    shown = [name, *(f"{folder}/*.yaml" for folder in folders), *enabled[:2]]
    console.print(f"$ archspec {' '.join(shown)}{more}", style="bold")
    words = [sys.executable, "cli.py", name, *specs, *enabled]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own command line
    if done.returncode:
        console.print(done.stderr, markup=False)
        raise subprocess.CalledProcessError(done.returncode, f"archspec {name}")


def build_all() -> None:
    """Checks, compiles and draws every spec: .py, .svg and .png in build/."""
    files = sorted((ROOT / "specs").glob("*.yaml"))
    specs = [f"specs/{file.name}" for file in files] + [f"examples/specs/{name}.yaml" for name in MODELS.values()]
    plugins = [f"plugins/{file.name}" for file in sorted((ROOT / "plugins").glob("*.py"))]
    for name in ("validate", "build", "render"):
        command(name, specs, plugins)
    for file in files:
        spec = archspec.load(file, plugins=[ROOT / plugin for plugin in plugins])
        render(archspec.build_graph(spec), ROOT / "build" / f"{spec.name}.png")
    console.print(f"{len(specs)} specs: build/NAME.py and build/NAME.svg; those of specs/ also build/NAME.png.\n")


def worker() -> None:
    """One thread for each process: the models are too small for more. An interrupt lets a worker finish its run."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run(job: Job) -> float:
    """The test loss of one model on one pair of tasks; the seed gives tasks, rows, first weights and batches."""
    model_name, p, seed = job
    train_rows, test_rows = recipe.data(p, seed)
    model = archspec.compile(recipe.SPECS / f"{MODELS[model_name]}.yaml", seed=seed)
    recipe.train(model, train_rows, seed)
    return recipe.test(model, test_rows)


def run_all(jobs: list[Job]) -> Iterator[tuple[Job, float]]:
    """The loss of each job, as it is done; as many processes as cores, but four at most.

    When the time is up, jobs of later seeds than the current one are dropped.
    """
    stop = time.monotonic() + ENOUGH
    spawn = multiprocessing.get_context("spawn")  # a fork would inherit torch's threads
    with ProcessPoolExecutor(min(4, os.cpu_count() or 1), mp_context=spawn, initializer=worker) as pool:
        futures = {pool.submit(run, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                if future.cancelled():
                    continue
                seed = futures[future][2]
                for later, job in futures.items():
                    if time.monotonic() > stop and job[2] > seed:
                        later.cancel()
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # interrupted: nothing new is begun


def watched(jobs: list[Job]) -> dict[Job, float]:
    """All losses, with a progress bar; without a terminal, a line now and then."""
    losses: dict[Job, float] = {}
    columns = TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("runs"), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("training", total=len(jobs))
        for job, loss in run_all(jobs):
            losses[job] = loss
            bar.advance(task)
            if not console.is_terminal and len(losses) % (len(MODELS) * len(CORRELATIONS)) == 0:
                console.print(f"trained {len(losses)} of {len(jobs)} runs")
    return losses


def table_of(losses: dict[Job, float], seeds: list[int]) -> Table:
    """Mean and spread of the test loss for each model and correlation."""
    table = Table("model", *(f"p = {p}" for p in CORRELATIONS), "0.5 less 1.0", title="test loss", title_justify="left")
    for name in MODELS:
        cells = [[losses[name, p, seed] for seed in seeds] for p in CORRELATIONS]
        rises = [low - high for low, high in zip(cells[0], cells[-1], strict=True)]
        table.add_row(name, *(spread(values, "") for values in cells), spread(rises, "+"))
    return table


def spread(values: list[float], sign: str) -> str:
    """Mean and standard deviation over runs."""
    return f"{mean(values):{sign}.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def main() -> int:
    """The whole demonstration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--runs", type=int, default=3, help="runs of each model and correlation, if there is time (default: 3)"
    )
    runs = parser.parse_args().runs
    if runs < 1:
        parser.error("--runs must be 1 or more")
    started = time.monotonic()
    build_all()
    jobs = [(name, p, seed) for seed in range(runs) for p in CORRELATIONS for name in reversed(MODELS)]
    console.print(
        f"Training {', '.join(MODELS)} on the synthetic tasks of the MMoE paper\n"
        f"(KDD 2018, 3.2): two regressions whose weights have the cosine p. {recipe.ROWS:,} rows,\n"
        f"{recipe.EPOCHS} epochs of Adam; the loop is examples/train_synthetic.py."
    )
    losses = watched(jobs)
    seeds = [seed for seed in range(runs) if all(job in losses for job in jobs if job[2] == seed)]
    console.print(table_of(losses, seeds))
    console.print(
        f"Squared error on {recipe.TEST_ROWS:,} other rows, mean over both tasks; 0.01 of it is noise.\n"
        f"Mean and standard deviation; runs for each cell: {len(seeds)}. A run draws tasks, first weights and\n"
        f"batches of its own, the same for every cell. Some pairs of tasks are harder than\n"
        f"others: the last column compares within each run.\n"
    )
    seconds = time.monotonic() - started
    console.print(f"Figures: build/*.svg and build/*.png, such as build/ple.svg. Models: build/*.py. {seconds:.0f} s.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        console.print("interrupted")
        sys.exit(INTERRUPTED)
    except subprocess.CalledProcessError as error:
        console.print(f"{error.cmd} failed with exit status {error.returncode}")
        sys.exit(1)
