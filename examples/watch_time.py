"""Which kind of task for watch time? One network, several losses, compared by rank correlation.

    python examples/watch_time.py --output docs/results.md

The rows are `archspec.synthetic.synthetic_watch_time`: two thirds are 0, the others have a long tail. The models differ
in the task `minutes` of `specs/watch_time.yaml` alone: its kind, its loss, or the label's scale.

Stated before the runs: the hypothesis is that `ziln` and `weighted_logistic` have a higher rank correlation
(Spearman) on test rows than squared error on minutes, mean of seeds 0 to 4, paired by seed. The learning rate of each
model is that of `RATES` with the highest mean rank correlation on the seeds 1000 to 1002. Squared error on
log(1 + minutes), Tweedie, and `weighted_logistic` with all rows as negatives are reported, too. Rows and epochs were
chosen on seed 7.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from statistics import mean
from textwrap import fill
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout, without an installation

from archspec.lightning.metrics import RankCorrelation
from archspec.synthetic import synthetic_watch_time
from examples.loop import trained
from examples.report import spread, write_section

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from torch import Tensor, nn

    Batch = dict[str, Tensor]

SPEC: Final = Path(__file__).resolve().parent / "specs" / "watch_time.yaml"
SQUARED: Final = "squared error"
KIND: Final = "tasks.minutes.kind"
MODELS: Final[Mapping[str, Mapping[str, Any]]] = {
    SQUARED: {},
    "squared error of log(1 + minutes)": {"tasks.minutes.label": "log_minutes"},
    "`ziln`": {KIND: "ziln"},
    "`weighted_logistic`": {KIND: "weighted_logistic"},
    "`weighted_logistic`, `negatives: all`": {
        KIND: "weighted_logistic",
        "tasks.minutes.loss": {"kind": "weighted_logistic", "negatives": "all"},
    },
    "`tweedie`": {KIND: "tweedie"},
}
"""Model -> what differs from the spec."""
RATES: Final = (0.001, 0.003, 0.01, 0.03)
TEST_ROWS, BATCH, EPOCHS = 20_000, 512, 5
SEEDS, TUNING_SEEDS = range(5), range(1000, 1003)
WIDTH: Final = 118
"""Characters in a line of prose."""


class Scores(NamedTuple):
    """Measures on test rows: rank correlation of all of them, and of those watched; predicted minutes / true ones."""

    ranks: float
    watched: float
    calibration: float


def data(count: int, seed: int) -> tuple[Batch, Batch]:
    """Rows to train on and rows to test on, of the same users and videos; with `log_minutes`, log(1 + minutes)."""
    batch = synthetic_watch_time(count + TEST_ROWS, seed=seed)
    batch["log_minutes"] = batch["minutes"].log1p()
    return {name: v[:count] for name, v in batch.items()}, {name: v[count:] for name, v in batch.items()}


@torch.no_grad()
def predicted(model: nn.Module, overrides: Mapping[str, Any], rows: Batch) -> Tensor:
    """The minutes that a model predicts, `[B]`."""
    minutes: Tensor = model.predict(rows)["minutes"]  # type: ignore[operator] # a compiled model
    return minutes.expm1() if "tasks.minutes.label" in overrides else minutes


def measured(minutes: Tensor, rows: Batch) -> Scores:
    """The scores of predictions `[B]`."""
    watched = rows["start"] > 0
    calibration = float(minutes.double().sum() / rows["minutes"].double().sum())
    of_watched = rank_correlation(minutes[watched], rows["minutes"][watched])
    return Scores(rank_correlation(minutes, rows["minutes"]), of_watched, calibration)


def rank_correlation(predictions: Tensor, labels: Tensor) -> float:
    """Spearman's; 0 if all predictions are equal."""
    metric = RankCorrelation()
    metric.update(predictions, labels)
    return float(metric.compute() or 0)


def run(cells: Iterable[tuple[str, float]], seeds: Sequence[int], count: int) -> dict[tuple[str, float], list[Scores]]:
    """The scores of models at rates, one for each seed; all models of a seed see the same rows in the same order."""
    cells = list(cells)
    found: dict[tuple[str, float], list[Scores]] = {cell: [] for cell in cells}
    start = time.monotonic()
    for seed in seeds:
        train, test = data(count, seed)
        for name, rate in cells:
            model = trained(SPEC, MODELS[name], train, seed=seed, epochs=EPOCHS, batch=BATCH, rate=rate)
            found[name, rate].append(measured(predicted(model, MODELS[name], test), test))
            ranks = found[name, rate][-1].ranks
            print(f"seed {seed}, {name}, rate {rate:g}: {ranks:.4f}, {time.monotonic() - start:.0f} s", flush=True)
    return found


def table(found: Mapping[tuple[str, float], Sequence[Scores]], ceiling: Sequence[Scores]) -> Iterator[str]:
    """Each model's rate and scores, and its gain over squared error within each seed."""
    yield "| task `minutes` | rate | rank correlation | more than squared error | of watched rows | predicted / true |"
    yield "|---|---|---|---|---|---|"
    base = next(scores for (name, _), scores in found.items() if name == SQUARED)
    for (name, rate), scores in (*found.items(), (("the true expectation", 0.0), ceiling)):
        gains = [one.ranks - other.ranks for one, other in zip(scores, base, strict=True)]
        cells = [f"{rate:g}" if rate else "", spread([one.ranks for one in scores])]
        cells += ["" if name == SQUARED else spread(gains, "+.4f"), spread([one.watched for one in scores])]
        yield f"| {name} | {' | '.join([*cells, spread([one.calibration for one in scores], '.2f')])} |"


def verdict(found: Mapping[tuple[str, float], Sequence[Scores]]) -> str:
    """What became of the hypothesis: for each of its kinds, in how many seeds it is better, and the mean."""
    by_name = {name: [one.ranks for one in scores] for (name, _), scores in found.items()}
    sentences = []
    for name in ("`ziln`", "`weighted_logistic`"):
        gains = [one - other for one, other in zip(by_name[name], by_name[SQUARED], strict=True)]
        wins = sum(gain > 0 for gain in gains)
        answer = "The hypothesis holds" if mean(gains) > 0 else "The hypothesis does not hold"
        sentences.append(f"{answer} for {name}: better in {wins} of {len(gains)} seeds, {mean(gains):+.4f} on average.")
    return " ".join(sentences)


def report(
    found: Mapping[tuple[str, float], Sequence[Scores]], ceiling: Sequence[Scores], count: int, zeros: float
) -> str:
    """The section in Markdown."""
    grid = ", ".join(f"{rate:g}" for rate in RATES)
    setting = (
        f"Made by `python examples/watch_time.py --rows {count}`, whose first lines state the hypothesis, and were "
        "committed before the runs. The rows are `archspec.synthetic.synthetic_watch_time`: minutes of watching, of "
        f"which {zeros:.0%} are 0 and the others have a long tail; {count:,} to train on and {TEST_ROWS:,} to test on. "
        f"`examples/specs/watch_time.yaml`, where only the task `minutes` differs. Adam, batches of {BATCH}, {EPOCHS} "
        f"epochs; the rate of each model is the best of {grid} on {len(TUNING_SEEDS)} other seeds. Rank correlation "
        "(Spearman) of predicted and true minutes, mean ± standard deviation over "
        f"{len(ceiling)} seeds, and the difference within each seed:"
    )
    rows = "\n".join(table(found, ceiling))
    return f"## Watch time\n\n{fill(setting, WIDTH)}\n\n{rows}\n\n{fill(verdict(found), WIDTH)}\n"


def compare(count: int, seeds: Sequence[int], tuning: Sequence[int], rates: Sequence[float] = RATES) -> str:
    """Tunes, trains and measures all models; the section in Markdown."""
    grid = run([(name, rate) for name in MODELS for rate in rates], tuning, count)
    means = {cell: mean(one.ranks for one in scores) for cell, scores in grid.items()}
    best = [(name, max(rates, key=lambda rate: means[name, rate])) for name in MODELS]
    found = run(best, seeds, count)
    tests = [data(count, seed)[1] for seed in seeds]
    ceiling = [measured(rows["expected"], rows) for rows in tests]
    zeros = mean(float((rows["minutes"] == 0).float().mean()) for rows in tests)
    return report(found, ceiling, count, zeros)


def main() -> None:
    """Compares and reports."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000, help="rows to train on (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="Markdown file for the section")
    options = parser.parse_args()
    if options.rows < 1:
        parser.error("--rows must be 1 or more")
    torch.set_num_threads(1)
    text = compare(options.rows, SEEDS, TUNING_SEEDS)
    print(f"\n{text}")
    if options.output:
        write_section(options.output, "watch_time", text)


if __name__ == "__main__":
    main()
