"""Census-Income (KDD) with the commands alone: does a schedule help over the defaults of `archspec train`?

    python examples/census_commands.py --data census-income.test.gz --output docs/results.md

Writes the rows as Parquet (`census_data.py`), then runs `archspec train` and `archspec evaluate` for each model, recipe
and seed. A tenth of the rows to train on is held out, and decides which epoch's weights are kept; only
`archspec evaluate` reads the test rows. Finished runs are skipped: the same command continues an experiment.

Stated before the runs: the hypothesis is that the recipe `scheduled` has a higher AUC on test rows than `defaults`, in
both tasks, mean over two models and the seeds 0 to 2, paired by model and seed. Nothing was tuned for either.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from textwrap import fill
from typing import TYPE_CHECKING, Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout, without an installation

from archspec.files import write_whole
from examples.census_data import BUCKETED, write_tables
from examples.report import spread, write_section

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT: Final = Path(__file__).resolve().parent.parent
MODELS: Final = ("shared_bottom", "mmoe")
RECIPES: Final[Mapping[str, tuple[str, ...]]] = {
    "defaults": (),
    "scheduled": (
        "--epochs=6", "--patience=0", "--learning-rate=0.002", "--schedule=cosine", "--warmup=100",
        "--weight-decay=0.01", "--clip=1",
    ),
}  # fmt: skip
"""Recipe -> options of `archspec train`."""
SEEDS: Final = range(3)
TASKS: Final = ("income", "never_married")
ENCODINGS: Final = ("--encode", "year=vocabulary", *(f"--encode={name}=buckets" for name in sorted(BUCKETED)))
"""Both recipes read the columns alike: amounts, which are mostly 0, in buckets."""
WIDTH: Final = 118
"""Characters in a line of prose."""


class Run(NamedTuple):
    """A training and its evaluation."""

    model: str
    recipe: str
    seed: int

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.model}_{self.recipe}_{self.seed}"


def commands(run: Run, folder: Path) -> tuple[list[str], list[str]]:
    """The words of `archspec train` and of `archspec evaluate`, for rows in this folder."""
    spec, to = f"examples/specs/census_{run.model}.yaml", str(folder / run.name)
    rows = [str(folder / f"census_{part}.parquet") for part in ("train", "test")]
    train = ["train", spec, "--data", rows[0], *ENCODINGS, *RECIPES[run.recipe], "--seed", str(run.seed)]
    return [*train, "--threads", "1", "-o", to, "--resume", "-q"], ["evaluate", to, "--data", rows[1], "--json", "-q"]


def called(words: Sequence[str]) -> str:
    """What `archspec WORDS...` prints. Raises CalledProcessError if it fails."""
    line = [sys.executable, "-m", "archspec", *words]
    return subprocess.run(line, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout  # noqa: S603 - our own command line


def aucs(run: Run, folder: Path) -> dict[str, float]:
    """The AUC of each task on the test rows; of a finished run, from its folder."""
    file = folder / run.name / "test.json"
    if not file.exists():
        train, evaluate = commands(run, folder)
        called(train)
        write_whole(file, called(evaluate))
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return {task: found["tasks"][task]["auc"] for task in TASKS}


def table(found: Mapping[Run, Mapping[str, float]]) -> Iterator[str]:
    """Mean and deviation of the AUC of each model and recipe."""
    yield "| model | recipe | " + " | ".join(task.replace("_", " ") for task in TASKS) + " |"
    yield "|---" * (2 + len(TASKS)) + "|"
    for model in MODELS:
        for recipe in RECIPES:
            of = [scores for run, scores in found.items() if (run.model, run.recipe) == (model, recipe)]
            yield f"| `{model}` | {recipe} | " + " | ".join(spread([one[task] for one in of]) for task in TASKS) + " |"


def verdict(found: Mapping[Run, Mapping[str, float]]) -> str:
    """What became of the hypothesis, for each task."""
    sentences = []
    for task in TASKS:
        base = {(run.model, run.seed): scores[task] for run, scores in found.items() if run.recipe == "defaults"}
        gains = [scores[task] - base[run.model, run.seed] for run, scores in found.items() if run.recipe == "scheduled"]
        error = stdev(gains) / sqrt(len(gains))
        answer = "holds" if mean(gains) > 2 * error else "does not hold" if mean(gains) < 0 else "is undecided"
        sentences.append(
            f"For `{task}` the hypothesis {answer}: {mean(gains):+.4f} ± {error:.4f} (standard error), better in "
            f"{sum(gain > 0 for gain in gains)} of {len(gains)} pairs."
        )
    return " ".join(sentences)


def report(found: Mapping[Run, Mapping[str, float]]) -> str:
    """The section in Markdown."""
    words = (
        "Made by `python examples/census_commands.py --data census-income.test.gz`, whose first lines state the "
        "hypothesis: `archspec train` and `archspec evaluate`, nothing else. 79,809 rows, of which a tenth chooses the "
        f"epoch; AUC on 19,953 others, mean ± standard deviation over {len(SEEDS)} seeds. `defaults` are those of "
        f"`archspec train`, `scheduled` is `{' '.join(RECIPES['scheduled'])}`."
    )
    rows = "\n".join(table(found))
    return (
        f"## Census-Income with the commands alone\n\n{fill(words, WIDTH)}\n\n{rows}\n\n{fill(verdict(found), WIDTH)}\n"
    )


def main() -> None:
    """Trains, evaluates and reports."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="census-income.test.gz; skipped where it is absent")
    parser.add_argument("--runs", type=Path, default=ROOT / "build" / "census", help="folder of the runs")
    parser.add_argument("--output", type=Path, help="Markdown file for the section")
    options = parser.parse_args()
    if not options.data.exists():
        print(f"skipped: there is no {options.data}")
        return
    folder = options.runs.resolve()
    if not (folder / "census_test.parquet").exists():
        write_tables(options.data, folder)
    found = {}
    for run in [Run(model, recipe, seed) for seed in SEEDS for model in MODELS for recipe in RECIPES]:
        found[run] = aucs(run, folder)
        print(run.name, found[run], flush=True)
    text = report(found)
    print(f"\n{text}")
    if options.output:
        write_section(options.output, "census_commands", text)


if __name__ == "__main__":
    main()
