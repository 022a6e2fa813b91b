"""Does attention to the candidate help? `specs/din_ple.yaml` compared with itself with its events averaged.

    python examples/events.py --output docs/results.md

Rows come from `archspec.synthetic.synthetic_events`, where the label depends on how similar the candidate is to one of
up to twenty past clicks. The models differ in one line, the block `interest`; everything above it is the same PLE.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, Final

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout, without an installation

from archspec.lightning import AUC
from archspec.synthetic import synthetic_events
from examples.loop import trained
from examples.report import spread, write_section

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor, nn

SPEC: Final = Path(__file__).resolve().parent.parent / "specs" / "din_ple.yaml"
EVENTS: Final = ["clicks", "click_cates"]
MODELS: Final[Mapping[str, Mapping[str, Any]]] = {
    "mean of the events": {"blocks.interest": {"kind": "pool", "from": EVENTS}},
    "target attention, as in the paper": {},
    "target attention, softmax": {"blocks.interest.normalize": "softmax"},
}
"""Model -> what differs from the spec."""
TASKS: Final = ("click", "buy")
ROWS, TEST_ROWS, BATCH, EPOCHS, RATE = 100_000, 20_000, 512, 3, 3e-3
WIDTH: Final = 118
"""Characters in a line of prose."""

Batch = dict[str, "Tensor"]
Scores = dict[str, float]


@torch.no_grad()
def measured(model: nn.Module, rows: Batch) -> Scores:
    """AUC of both tasks; for a purchase, only rows with a click count."""
    logits = model(rows)
    found = {}
    for task, inside in zip(TASKS, (rows["click"] >= 0, rows["click"] == 1), strict=True):
        auc = AUC()
        auc.update(logits[task][inside], rows[task][inside])
        found[task] = float(auc.compute() or 0)
    return found


def run_all(seeds: Sequence[int], count: int, epochs: int) -> dict[str, list[Scores]]:
    """The scores of every model and seed; all models of a seed see the same rows in the same order."""
    found: dict[str, list[Scores]] = {name: [] for name in MODELS}
    start = time.monotonic()
    for seed in seeds:
        rows = synthetic_events(count + TEST_ROWS, seed=seed)
        train, test = ({name: v[part] for name, v in rows.items()} for part in (slice(count), slice(count, None)))
        for name, overrides in MODELS.items():
            model = trained(SPEC, overrides, train, seed=seed, epochs=epochs, batch=BATCH, rate=RATE)
            found[name].append(measured(model, test))
            print(f"seed {seed}, {name}: {found[name][-1]}, {time.monotonic() - start:.0f} s", flush=True)
    return found


def table(found: Mapping[str, Sequence[Scores]]) -> Iterator[str]:
    """Mean and standard deviation of each model's scores, and of their gain over those of the mean."""
    yield "| events | " + " | ".join(f"{task} | more than the mean" for task in TASKS) + " |"
    yield "|---" * (1 + 2 * len(TASKS)) + "|"
    base = next(iter(found.values()))
    for name, scores in found.items():
        cells = []
        for task in TASKS:
            gains = [one[task] - other[task] for one, other in zip(scores, base, strict=True)]
            cells += [spread([one[task] for one in scores]), "" if scores is base else spread(gains, "+.4f")]
        yield f"| {name} | {' | '.join(cells)} |"


def report(found: Mapping[str, Sequence[Scores]], options: argparse.Namespace) -> str:
    """The section in Markdown."""
    count = len(next(iter(found.values())))
    setting = (
        f"Made by `python examples/events.py --seeds {options.seeds}`. `specs/din_ple.yaml`, which compares each past "
        "click with the candidate before it adds them up, against the same spec with the mean of the clicks: only the "
        f"block `interest` differs. The rows are `archspec.synthetic.synthetic_events`, {options.rows:,} to train on "
        f"and {TEST_ROWS:,} to test on; Adam at {RATE:g}, batches of {BATCH}, {options.epochs} epochs, for all models. "
        f"Runs of one seed share rows and their order. AUC, mean ± standard deviation over {count} seeds, and the "
        "difference within each seed:"
    )
    return f"## Target attention\n\n{fill(setting, WIDTH)}\n\n" + "\n".join(table(found)) + "\n"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5, help="runs of each model (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=ROWS, help="rows to train on (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="passes over them (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="Markdown file for the section")
    options = parser.parse_args()
    if min(options.seeds, options.rows, options.epochs) < 1:
        parser.error("--seeds, --rows and --epochs must be 1 or more")
    return options


def main() -> None:
    """Trains, measures and reports."""
    options = arguments()
    text = report(run_all(range(options.seeds), options.rows, options.epochs), options)
    print(f"\n{text}")
    if options.output:
        write_section(options.output, "events", text)


if __name__ == "__main__":
    main()
