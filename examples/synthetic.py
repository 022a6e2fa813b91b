"""The synthetic experiment of the MMoE paper (Ma et al., KDD 2018, section 4.2): curves of the loss, and its claims.

    python examples/synthetic.py --output docs/results.md

Shared-Bottom, MoE with one gate, MMoE and PLE in the paper's sizes, on pairs of tasks whose weights have the cosine p.
All use the loop of `train_synthetic.py`, each model with the best learning rate of a grid, chosen on other seeds.
`synthetic_protocol.md` states seeds, measures and decisions, and was written before the runs. Finished runs are kept in
a file: the same command continues an interrupted experiment.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from math import log
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout, without an installation

from archspec.charts import write_figure
from examples.report import write_section
from examples.synthetic_figure import draw
from examples.synthetic_report import LOGARITHM, report
from examples.synthetic_runs import CORRELATIONS, MODELS, Job, Plan, keep, kept, run_all

if TYPE_CHECKING:
    from examples.synthetic_runs import Curve

EVERY: Final = 40
"""Steps between tests."""
FEWEST: Final = 3
"""The smallest number of seeds for a standard error, which leaves out each seed in turn."""
FIGURE: Final = Path("figures/synthetic.svg")
"""Path of the figure, relative to the folder of the output."""


def train_all(jobs: list[Job], plan: Plan, workers: int, file: Path) -> dict[Job, Curve]:
    """The curves of all jobs, those in the file included; adds the others to it. Prints progress from time to time."""
    known = kept(file, plan)
    curves = {job: known[job] for job in jobs if job in known}
    start, before = time.monotonic(), len(curves)
    for job, curve in run_all([job for job in jobs if job not in known], plan, workers):
        keep(file, plan, job, curve)
        curves[job] = curve
        if len(curves) % 12 == 0 or len(curves) == len(jobs):
            print(f"{len(curves)} of {len(jobs)} runs, {before} before, {time.monotonic() - start:.0f} s", flush=True)
    return curves


def last(curve: Curve) -> float:
    """The loss at the end of training."""
    return curve[-1][1]


def logarithm(curve: Curve) -> float:
    """The natural logarithm of the loss at the end."""
    return log(last(curve))


def whole(curve: Curve) -> float:
    """The mean loss over all tests, so that the speed of learning counts too."""
    return sum(loss for _, loss in curve) / len(curve)


def tuned(options: argparse.Namespace, plan: Plan) -> dict[str, dict[float, float]]:
    """The mean loss at the end of each model at each rate, over all p and the seeds for tuning."""
    seeds = range(options.first_tuning_seed, options.first_tuning_seed + options.tuning_seeds)
    jobs = [
        Job(m, p, seed, rate) for seed in seeds for p in CORRELATIONS for m in options.models for rate in options.rates
    ]
    curves = train_all(jobs, plan, options.workers, options.runs)
    return {
        model: {
            rate: mean(last(curve) for job, curve in curves.items() if (job.model, job.rate) == (model, rate))
            for rate in options.rates
        }
        for model in options.models
    }


def seeds_of(options: argparse.Namespace) -> range:
    """The seeds of the results."""
    return range(options.first_seed, options.first_seed + options.seeds)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--seeds", type=int, default=60, help="runs of each model at each p (default: %(default)s)")
    add("--first-seed", type=int, default=2000, help="the others follow it (default: %(default)s)")
    add("--tuning-seeds", type=int, default=6, help="seeds to choose a rate by (default: %(default)s)")
    add("--first-tuning-seed", type=int, default=1000, help="the others follow it (default: %(default)s)")
    add("--rates", type=float, nargs="+", default=[0.003, 0.01, 0.03, 0.1], help="grid (default: %(default)s)")
    add("--rows", type=int, default=50_000, help="rows to train on (default: %(default)s)")
    add("--models", nargs="+", choices=MODELS, default=list(MODELS))
    add("--workers", type=int, default=min(4, os.cpu_count() or 1), help="processes, one thread each")
    add("--runs", type=Path, default=Path("build/synthetic.jsonl"), help="finished runs (default: %(default)s)")
    add("--output", type=Path, help=f"Markdown file for the section; the figure goes to {FIGURE} beside it")
    options = parser.parse_args()
    if options.seeds < FEWEST or min(options.workers, options.tuning_seeds, options.rows) < 1:
        parser.error(f"--seeds must be {FEWEST} or more, --workers, --tuning-seeds and --rows 1 or more")
    tuning = range(options.first_tuning_seed, options.first_tuning_seed + options.tuning_seeds)
    if set(tuning) & set(seeds_of(options)):
        parser.error("the seeds of the results must not be those for tuning")
    return options


def main() -> None:
    """Tunes, trains, checks and reports."""
    options = arguments()
    plan = Plan(options.rows, EVERY)
    grid = tuned(options, plan)
    rates = {model: min(losses, key=losses.__getitem__) for model, losses in grid.items()}
    print("learning rates:", rates, flush=True)
    seeds = seeds_of(options)
    jobs = [Job(m, p, seed, rates[m]) for seed in seeds for p in CORRELATIONS for m in options.models]
    curves = train_all(jobs, plan, options.workers, options.runs)
    measures = {
        name: {(job.model, job.p, job.seed): of(curve) for job, curve in curves.items()}
        for name, of in {"end": last, LOGARITHM: logarithm, "whole curve": whole}.items()
    }
    text = report(measures, grid, plan, seeds, FIGURE)
    print(f"\n{text}")
    if options.output:
        figure = options.output.parent / FIGURE
        figure.parent.mkdir(parents=True, exist_ok=True)
        write_figure(draw(curves, options.models, CORRELATIONS), figure)
        write_section(options.output, "synthetic", text)


if __name__ == "__main__":
    main()
