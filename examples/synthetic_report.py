"""The section of docs/results.md on the synthetic experiment: rates, losses, and what became of each claim."""

from __future__ import annotations

from collections import Counter
from textwrap import fill
from typing import TYPE_CHECKING, Final

from examples import train_synthetic as recipe
from examples.report import spread
from examples.synthetic_claims import check, claims, judge
from examples.synthetic_runs import CORRELATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from examples.synthetic_claims import Losses
    from examples.synthetic_runs import Plan

    Grid = Mapping[str, Mapping[float, float]]

WIDTH: Final = 118
"""Characters in a line of prose."""
LOGARITHM: Final = "logarithm of the end"
"""The measure whose differences are ratios of losses."""


def grid_table(grid: Grid) -> Iterator[str]:
    """The mean loss of each model at each rate; the lowest one in bold."""
    rates = list(next(iter(grid.values())))
    yield "| model | " + " | ".join(f"rate {rate:g}" for rate in rates) + " |"
    yield "|---" * (1 + len(rates)) + "|"
    for model, losses in grid.items():
        cells = [f"**{loss:.4f}**" if loss == min(losses.values()) else f"{loss:.4f}" for loss in losses.values()]
        yield f"| {model} | {' | '.join(cells)} |"


def loss_table(losses: Losses, models: Sequence[str], seeds: Sequence[int]) -> Iterator[str]:
    """Mean and standard deviation of the loss for each model and p."""
    yield "| model | " + " | ".join(f"p = {p}" for p in CORRELATIONS) + " |"
    yield "|---" * (1 + len(CORRELATIONS)) + "|"
    for model in models:
        cells = [spread([losses[model, p, seed] for seed in seeds]) for p in CORRELATIONS]
        yield f"| {model} | {' | '.join(cells)} |"


def claim_table(measures: Mapping[str, Losses], models: Sequence[str], seeds: Sequence[int]) -> Iterator[str]:
    """Each claim with its interval and verdict by each measure of a run, then the number of claims by verdict."""
    yield "| claim | " + " | | ".join(measures) + " | |"
    yield "|---" * (1 + 2 * len(measures)) + "|"
    about = list(claims(models, CORRELATIONS))
    columns, sums = [], []
    for name, losses in measures.items():
        found = [check(claim, losses, seeds, logarithms=name == LOGARITHM) for claim in about]
        verdicts = judge(found)
        decided = zip(found, verdicts, strict=True)
        columns.append([f"{one.value:+.4f} ± {one.half():.4f} | {verdict}" for one, verdict in decided])
        sums.append(" | " + ", ".join(f"{verdict}: {count}" for verdict, count in Counter(verdicts).most_common()))
    for claim, *cells in zip(about, *columns, strict=True):
        yield f"| {claim.words} | {' | '.join(cells)} |"
    yield f"| all {len(about)} |{' |'.join(sums)} |"


def report(measures: Mapping[str, Losses], grid: Grid, plan: Plan, seeds: range, figure: Path) -> str:
    """The section in Markdown."""
    setting = (
        f"Made by `python examples/synthetic.py --seeds {len(seeds)} --first-seed {seeds.start} --rows {plan.rows}`, "
        "as [the protocol](../examples/synthetic_protocol.md) says, which was committed before the runs. Two "
        f"regressions whose weights have the cosine p; squared error, the mean of both tasks, on "
        f"{recipe.TEST_ROWS:,} rows apart from the {plan.rows:,} to train on; 0.01 of it is noise. Adam, "
        f"batches of {recipe.BATCH}, {plan.steps:,} steps. Runs of one seed share tasks, rows and their "
        "order. The learning rate of each model is the one with the lowest loss on other seeds:"
    )
    ending = f"Loss at the end, mean ± standard deviation over {len(seeds)} seeds:"
    reading = (
        "What the papers say, as differences that should be positive (zero, where they say alike), ± half of the 95 % "
        "interval. By the protocol, the loss at the end counts; the verdicts of each measure are corrected for the "
        "number of claims."
    )
    models = list(grid)
    parts = [fill(setting, WIDTH), "\n".join(grid_table(grid)), ending]
    parts += ["\n".join(loss_table(measures["end"], models, seeds))]
    parts += [f"![Curves of the loss, and its last value in every run]({figure.as_posix()})"]
    parts += [fill(reading, WIDTH), "\n".join(claim_table(measures, models, seeds))]
    return "## The synthetic tasks of the MMoE paper\n\n" + "\n\n".join(parts) + "\n"
