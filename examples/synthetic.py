"""The synthetic experiment of the MMoE paper (Ma et al., KDD 2018, section 4.2): curves of the loss, and its claims.

    python examples/synthetic.py --output docs/results.md

Shared-Bottom, MoE with one gate, MMoE and PLE in the paper's sizes, on pairs of tasks whose weights have the cosine p.
All use the recipe of `train_synthetic.py`: the paper does not specify batches and steps, and chooses the learning rate
for each model; here it is the same for all. Claims that do not hold are reported as such.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout, without an installation

from archspec.charts import write_figure
from examples import train_synthetic as recipe
from examples.report import spread, write_section
from examples.synthetic_claims import ERRORS, check, claims
from examples.synthetic_figure import draw
from examples.synthetic_runs import CORRELATIONS, MODELS, Job, Plan, run_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from examples.synthetic_claims import Losses
    from examples.synthetic_runs import Curve

EVERY = 40
"""Steps between tests."""
FEWEST = 3
"""The smallest number of seeds for a standard error, which leaves out each seed in turn."""
WIDTH = 118
"""Characters in a line of prose."""
FIGURE = Path("figures/synthetic.svg")
"""Path of the figure, relative to the folder of the output."""


def train_all(jobs: list[Job], plan: Plan, workers: int) -> dict[Job, Curve]:
    """All curves; prints progress from time to time."""
    curves: dict[Job, Curve] = {}
    start = time.monotonic()
    for job, curve in run_all(jobs, plan, workers):
        curves[job] = curve
        if len(curves) % 12 == 0 or len(curves) == len(jobs):
            print(f"{len(curves)} of {len(jobs)} runs, {time.monotonic() - start:.0f} s", flush=True)
    return curves


def last(curve: Curve) -> float:
    """The loss at the end of training."""
    return curve[-1][1]


def whole(curve: Curve) -> float:
    """The mean loss over all tests, so that the speed of learning counts too."""
    return sum(loss for _, loss in curve) / len(curve)


def loss_table(losses: Losses, models: Sequence[str], seeds: Sequence[int]) -> Iterator[str]:
    """Mean and standard deviation of the loss for each model and p."""
    yield "| model | " + " | ".join(f"p = {p}" for p in CORRELATIONS) + " |"
    yield "|---" * (1 + len(CORRELATIONS)) + "|"
    for model in models:
        cells = [spread([losses[model, p, seed] for seed in seeds]) for p in CORRELATIONS]
        yield f"| {model} | {' | '.join(cells)} |"


def claim_table(measures: Mapping[str, Losses], models: Sequence[str], seeds: Sequence[int]) -> Iterator[str]:
    """Each claim with its result for each measure of a run, then the number of claims that hold."""
    yield "| claim | " + " | | ".join(measures) + " | |"
    yield "|---" * (1 + 2 * len(measures)) + "|"
    verdicts: dict[str, Counter[str]] = {measure: Counter() for measure in measures}
    for claim in claims(models, CORRELATIONS):
        found = {measure: check(claim, losses, seeds) for measure, losses in measures.items()}
        cells = [f"{one.value:+.4f} ± {one.error:.4f} | {one.verdict}" for one in found.values()]
        yield f"| {claim.words} | {' | '.join(cells)} |"
        for measure, one in found.items():
            verdicts[measure][one.verdict] += 1
    sums = [" | ".join(["", ", ".join(f"{v}: {n}" for v, n in verdicts[one].most_common())]) for one in measures]
    yield f"| all {sum(verdicts[next(iter(measures))].values())} |{' |'.join(sums)} |"


def report(curves: Mapping[Job, Curve], options: argparse.Namespace) -> str:
    """The section in Markdown."""
    seeds, models = seeds_of(options), options.models
    ends: Losses = {(job.model, job.p, job.seed): last(curve) for job, curve in curves.items()}
    wholes: Losses = {(job.model, job.p, job.seed): whole(curve) for job, curve in curves.items()}
    setting = (
        f"Made by `{command(options)}`. Two regressions whose weights have the cosine p; squared error, the mean of "
        f"both tasks, on {recipe.TEST_ROWS:,} rows apart from the {recipe.ROWS:,} to train on; 0.01 of it is noise. "
        f"Adam at {options.rate:g}, batches of {recipe.BATCH}, {recipe.STEPS:,} steps, for all models. Runs of one "
        f"seed share tasks, rows and their order. Loss at the end, mean ± standard deviation over {len(seeds)} seeds:"
    )
    reading = (
        "What the paper says, as differences that should be positive (zero, where it says alike), ± standard error. "
        f"What is no farther than {ERRORS:g} errors from zero is noise. First at the end of training, then for the "
        "mean of the whole curve."
    )
    figure = f"![Curves of the loss, and its last value in every run]({FIGURE.as_posix()})"
    claimed = claim_table({"end": ends, "whole curve": wholes}, models, seeds)
    parts = [fill(setting, WIDTH), "\n".join(loss_table(ends, models, seeds)), figure]
    parts += [fill(reading, WIDTH), "\n".join(claimed)]
    return "## The synthetic tasks of the MMoE paper\n\n" + "\n\n".join(parts) + "\n"


def command(options: argparse.Namespace) -> str:
    """The part of the command line that affects the result."""
    words = [f"--seeds {options.seeds}", f"--first-seed {options.first_seed}", f"--rate {options.rate:g}"]
    return " ".join(["python examples/synthetic.py", *words])


def seeds_of(options: argparse.Namespace) -> range:
    """The seeds of all runs."""
    return range(options.first_seed, options.first_seed + options.seeds)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20, help="runs of each model at each p (default: %(default)s)")
    parser.add_argument("--first-seed", type=int, default=0, help="the others follow it (default: %(default)s)")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--rate", type=float, default=recipe.RATE, help="learning rate (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=min(4, os.cpu_count() or 1), help="processes, one thread each")
    parser.add_argument(
        "--output", type=Path, help=f"Markdown file for the section; the figure goes to {FIGURE} beside it"
    )
    options = parser.parse_args()
    if options.seeds < FEWEST or options.workers < 1:
        parser.error(f"--seeds must be {FEWEST} or more, --workers 1 or more")
    return options


def main() -> None:
    """Trains, checks and reports."""
    options = arguments()
    jobs = [Job(model, p, seed) for seed in seeds_of(options) for p in CORRELATIONS for model in options.models]
    curves = train_all(jobs, Plan(options.rate, EVERY), options.workers)
    text = report(curves, options)
    print(f"\n{text}")
    if options.output:
        figure = options.output.parent / FIGURE
        figure.parent.mkdir(parents=True, exist_ok=True)
        write_figure(draw(curves, options.models, CORRELATIONS), figure)
        write_section(options.output, "synthetic", text)


if __name__ == "__main__":
    main()
