"""`make demo`: checks, compiles and draws every spec into build/; then trains three of them side by side, and a fourth.

The losses come from one recipe, the same for all three models: 100,000 rows, so that none of them overfits. The fourth
is a whole ranking model (`specs/din_ple.yaml`), which `archspec train` trains from a Parquet file with lists of events.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pyarrow import parquet

import archspec
from archspec.files import whole
from archspec.render import render
from examples import train_synthetic as recipe
from examples.report import spread
from examples.rows import events
from examples.synthetic_runs import CORRELATIONS, MODELS, Job, Plan, run_all

ROOT = Path(__file__).resolve().parent.parent
TRAINED = ("Shared-Bottom", "MMoE", "PLE")
EVENTS = 60_000
ENOUGH = 120.0  # seconds of training after which no further round of all cells starts
INTERRUPTED = 130  # 128 + SIGINT, as in shells

console = Console(highlight=False)


def command(name: str, specs: list[str], plugins: list[str]) -> None:
    """Runs an archspec command and prints it as a user would type it. Raises CalledProcessError if it fails."""
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


def train_on_a_file() -> None:
    """Writes lists of events to a Parquet file, and trains DIN + PLE on them, as a user does."""
    data, run = ROOT / "build" / "events.parquet", ROOT / "build" / "din_ple"
    if not data.exists():
        with whole(data, parents=True) as file:
            parquet.write_table(events(EVENTS, 0), file)
    words = ["train", "specs/din_ple.yaml", "--data", "build/events.parquet", "-o", "build/din_ple", "--resume"]
    words += ["--epochs", "2", "--learning-rate", "0.003"]
    console.print(f"DIN + PLE on {EVENTS:,} rows with lists of clicked items and their categories (specs/din_ple.yaml)")
    console.print(f"$ archspec {' '.join(words)}", style="bold")
    done = subprocess.run([sys.executable, "cli.py", *words], cwd=ROOT, check=False)  # noqa: S603 - our own command line
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, "archspec train")
    console.print(
        f"Vocabularies, weights, metrics and curves are in {run.relative_to(ROOT)}/. How much attention\n"
        "to the candidate is worth: docs/results.md, made by examples/events.py.\n"
    )


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


def watched(jobs: list[Job]) -> dict[Job, float]:
    """All losses, with a progress bar, or, without a terminal, an occasional line."""
    losses: dict[Job, float] = {}
    columns = TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("runs"), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("training", total=len(jobs))
        for job, curve in run_all(jobs, Plan(), min(4, os.cpu_count() or 1), ENOUGH):
            losses[job] = curve[-1][1]
            bar.advance(task)
            if not console.is_terminal and len(losses) % (len(TRAINED) * len(CORRELATIONS)) == 0:
                console.print(f"trained {len(losses)} of {len(jobs)} runs")
    return losses


def table_of(losses: dict[Job, float], seeds: list[int]) -> Table:
    """Mean and spread of the test loss for each model and correlation."""
    table = Table("model", *(f"p = {p}" for p in CORRELATIONS), "0.5 less 1.0", title="test loss", title_justify="left")
    for name in TRAINED:
        cells = [[losses[Job(name, p, seed)] for seed in seeds] for p in CORRELATIONS]
        rises = [low - high for low, high in zip(cells[0], cells[-1], strict=True)]
        table.add_row(name, *(spread(values, ".3f") for values in cells), spread(rises, "+.3f"))
    return table


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
    jobs = [Job(name, p, seed) for seed in range(runs) for p in CORRELATIONS for name in reversed(TRAINED)]
    console.print(
        f"Training {', '.join(TRAINED)} on the synthetic tasks of the MMoE paper\n"
        f"(KDD 2018, 3.2): two regressions whose weights have the cosine p. {recipe.ROWS:,} rows,\n"
        f"{recipe.EPOCHS} epochs of Adam; the loop is examples/train_synthetic.py."
    )
    losses = watched(jobs)
    seeds = [seed for seed in range(runs) if all(job in losses for job in jobs if job.seed == seed)]
    console.print(table_of(losses, seeds))
    console.print(
        f"Squared error on {recipe.TEST_ROWS:,} other rows, mean over both tasks; 0.01 of it is noise.\n"
        f"Mean and standard deviation; runs for each cell: {len(seeds)}. A run draws tasks, first weights and\n"
        f"batches of its own, the same for every cell. Some pairs of tasks are harder than\n"
        f"others: the last column compares within each run.\n"
    )
    train_on_a_file()
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
