"""From version 1 of a spec to a served version 2, with random data: `python examples/after_training.py build/after`.

Trains a model on a first day, scores and measures it on a second one; adds a task and an expert, and continues from the
old weights, which hardly changes what the model says; trains on the second day; exports to ONNX, and scores rows with a
program that does without archspec. Every step is a command that you can type.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout, without an installation

import archspec
from archspec.cli.app import archspec as commands
from archspec.lightning import load_run
from archspec.serving.score import score
from archspec.train.migration import SHARE

if TYPE_CHECKING:
    from numpy.typing import NDArray

FIRST = """\
archspec: 1
name: clicks
inputs:
  user: {kind: sparse, vocab: 300, dim: 8}
  item: {kind: sparse, vocab: 300, dim: 8}
  seen: {kind: sequence, table: item, length: 5, pool: mean}
tasks:
  click: {}
levels:
  - experts: {shared: {count: 3, units: [16]}}
    gates: {$task: {sees: [shared], bias: true}}
towers: {$task: {units: [8]}}
"""
SECOND = FIRST.replace("  click: {}", "  click: {}\n  buy: {when: click}").replace("count: 3", "count: 4")
ROWS, TASTES = 3000, 3
BOUND = 0.01
"""How far an old score may move when an expert enters: its weight is at most SHARE, its output a few units."""
TOLERANCE = 1e-5
"""How far a served score may be from that of `archspec predict`."""
TRAIN = ("--epochs", "3", "--learning-rate", "0.02", "--batch", "256")


def day(number: int) -> dict[str, list[Any]]:
    """A day of a growing log: users and items of the day before, and new ones."""
    random = np.random.default_rng(number)
    user, item = random.integers(50 * number, 150 + 50 * number, ROWS), random.integers(0, 100 + 50 * number, ROWS)
    fit = np.where(user % TASTES == item % TASTES, 1.0, -1.0)
    click = fit + random.logistic(size=ROWS) > 0
    buy = click & (random.random(ROWS) < 0.3 + 0.2 * fit)
    liked = [random.integers(0, 30, random.integers(0, 6)) * TASTES + one % TASTES for one in user]
    return {
        "user": [f"u{one}" for one in user],
        "item": [f"i{one}" for one in item],
        "seen": [[f"i{one}" for one in each] for each in liked],
        "click": click.astype(int).tolist(),
        "buy": buy.astype(int).tolist(),
    }


def command(*words: str | Path) -> None:
    """Prints and runs `archspec WORDS...`. Raises SystemExit if it fails."""
    print("\n$ archspec", *words, flush=True)
    status = commands.main([str(word) for word in words], standalone_mode=False)
    if status:
        raise SystemExit(status)


def check(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - a condition
    """Raises SystemExit with a message unless the condition holds."""
    if not holds:
        raise SystemExit(otherwise)


def column(file: Path, name: str) -> NDArray[np.float32]:
    """A column of a file of scores."""
    found: NDArray[np.float32] = parquet.read_table(file)[name].to_numpy()
    return found


def main(folder: Path) -> None:
    """Runs all steps in a folder. Raises SystemExit if a command fails, or if scores that must agree differ."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, text in enumerate((FIRST, SECOND), 1):
        (folder / f"v{number}.yaml").write_text(text, encoding="utf-8")
        parquet.write_table(pa.table(day(number)), folder / f"day{number}.parquet")
    new, first, second = folder / "day2.parquet", folder / "run1", folder / "run2"

    command("train", folder / "v1.yaml", "--data", folder / "day1.parquet", "-o", first, *TRAIN)
    command("predict", first, "--data", new, "-o", folder / "scores1.parquet", "--keep", "user,click=clicked")
    command("evaluate", first, "--data", new)

    # The scores of the new spec with the old weights, before it is trained: see the weights in `migration.text()`.
    migration = archspec.migrate(first, folder / "v2.yaml", seed=0)
    old = load_run(first)
    batch = old.encode(new)
    moved = (migration.model.eval().predict(batch)["click"] - old.model.predict(batch)["click"]).abs().max()
    print(f"\nbefore the first step, old scores move by at most {moved:.1e} (added experts weigh at most {SHARE})")
    check(float(moved) <= BOUND, f"old scores moved by {moved}")

    command("train", folder / "v2.yaml", "--data", new, "--from", first, "-o", second, *TRAIN)
    command("predict", second, "--data", new, "-o", folder / "scores2.parquet")
    command("export", second, "--to", "onnx", "-o", folder / "served")

    data = day(2)
    served = score(str(folder / "served"), [{name: data[name][row] for name in data} for row in range(ROWS)])
    differences = {name: np.abs(column(folder / "scores2.parquet", name) - served[name]).max() for name in served}
    print("\nlargest differences of served scores:", {name: f"{value:.0e}" for name, value in differences.items()})
    check(max(differences.values()) <= TOLERANCE, "the served scores are others")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where to write everything; it must not contain an earlier run")
    main(parser.parse_args().folder)
