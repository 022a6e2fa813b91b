"""Multi-task models on Census-Income (KDD): one recipe, several seeds, mean and spread.

    python examples/census_income.py --data census-income.test.gz --output docs/results.md

Two tasks: income over 50,000 dollars, and never married. Education, marital status and the survey's weight are not used
as inputs. 80 % of the rows are for training, 20 % for testing; the split is the same for all seeds, which change the
initial weights and the order of rows. `PlainMmoe` is a hand-written MMoE, which must perform as well as archspec's.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout, without an installation

import archspec
from archspec.train.criterion import MultiTaskLoss
from examples.census_data import NUMBERS, Batch, load_data, rows_of
from examples.report import spread, write_section

SPECS = Path(__file__).parent / "specs"
MODELS = ("shared_bottom", "moe", "mmoe", "plain_mmoe", "cgc", "ple", "cross_stitch", "chain")
EPOCHS, BATCH, RATE, DECAY = 6, 512, 2e-3, 1e-2


class Result(NamedTuple):
    """One run: AUC on the test rows of both tasks, and the seconds of training."""

    income: float
    never_married: float
    seconds: float


# -- models --------------------------------------------------------------------------------------------------------


class PlainMmoe(nn.Module):
    """MMoE in plain PyTorch, with the sizes of specs/census_mmoe.yaml."""

    def __init__(self, vocabularies: dict[str, int], dim: int = 4, numbers: int = len(NUMBERS)) -> None:
        """Creates tables, six experts, a gate and a tower per task."""
        super().__init__()
        self.tables = nn.ModuleDict({name: nn.Embedding(size, dim) for name, size in vocabularies.items()})
        width = dim * len(vocabularies) + numbers
        self.experts = nn.ModuleList(
            nn.Sequential(
                nn.Linear(width, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.1)
            )
            for _ in range(6)
        )
        tasks = ("income", "never_married")
        self.gates = nn.ModuleDict({task: nn.Linear(width, 6, bias=False) for task in tasks})
        self.towers = nn.ModuleDict(
            {task: nn.Sequential(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1)) for task in tasks}
        )

    def forward(self, batch: Batch) -> Batch:
        """Logits of both tasks, `[B]`."""
        x = torch.cat([*(table(batch[name]) for name, table in self.tables.items()), batch["numbers"]], dim=1)
        experts_BEH = torch.stack([expert(x) for expert in self.experts], dim=1)
        logits = {}
        for task, gate in self.gates.items():
            weights_BE = torch.softmax(gate(x), dim=1)
            mixed = (weights_BE.unsqueeze(2) * experts_BEH).sum(1)
            logits[task] = self.towers[task](mixed).squeeze(1)
        return logits


def plain_loss(logits: Batch, batch: Batch) -> tuple[Tensor, Batch]:
    """Sum of both logistic losses, and the parts."""
    parts = {task: binary_cross_entropy_with_logits(logits[task], batch[task]) for task in logits}
    return torch.stack(list(parts.values())).sum(), parts


def make_model(name: str, seed: int) -> tuple[nn.Module, nn.Module | None]:
    """A model and its criterion; None for the plain one, which has `plain_loss`."""
    spec = archspec.load(SPECS / f"census_{name.removeprefix('plain_')}.yaml")
    if name != "plain_mmoe":
        model = archspec.compile(spec, seed=seed)
        model.check_inputs = False  # the columns were created above
        return model, MultiTaskLoss(model)
    torch.manual_seed(seed)
    settings = {name: block.settings for name, block in spec.inputs.items() if block.kind == "sparse"}
    return PlainMmoe({name: setting.vocab for name, setting in settings.items()}), None


# -- recipe --------------------------------------------------------------------------------------------------------


def run(name: str, seed: int, train: Batch, test: Batch) -> Result:
    """Trains a model from one seed and tests it."""
    model, criterion = make_model(name, seed)
    torch.manual_seed(seed)
    rows = len(train["income"])
    steps = EPOCHS * (rows // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=RATE, total_steps=steps, pct_start=0.1)
    start = time.perf_counter()
    for _ in range(EPOCHS):
        for chosen in torch.split(torch.randperm(rows), BATCH)[: rows // BATCH]:
            batch = rows_of(train, chosen)
            loss, _ = (criterion or plain_loss)(model(batch), batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    seconds = time.perf_counter() - start
    model.eval()
    with torch.no_grad():
        logits = model(test)
    if name == "chain":
        return Result(
            auc(logits["married_income"], test["married_income"]), auc(logits["married"], test["married"]), seconds
        )
    return Result(auc(logits["income"], test["income"]), auc(logits["never_married"], test["never_married"]), seconds)


def auc(scores: Tensor, labels: Tensor) -> float:
    """Area under the ROC curve: the share of (positive, negative) pairs in the right order; ties count half."""
    _, places, counts = torch.unique(scores.double(), return_inverse=True, return_counts=True)
    ranks = (counts.cumsum(0) - (counts - 1) / 2)[places]
    positive = labels > 0
    many, few = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - many * (many + 1) / 2) / (many * few))


# -- report --------------------------------------------------------------------------------------------------------


def report(results: dict[str, list[Result]], command: str) -> str:
    """The table in Markdown."""
    seeds = len(next(iter(results.values())))
    lines = [
        "## Census-Income (KDD)",
        "",
        f"Made by `{command}`: AUC on 20 % of the rows, {seeds} seeds, mean ± standard deviation. {EPOCHS} epochs,",
        f"batch {BATCH}, AdamW with a one-cycle rate up to {RATE:g}; {torch.get_num_threads()} threads.",
        "`plain_mmoe` is hand-written PyTorch. `chain` learns other labels (ever married; ever married and over 50,000",
        "dollars), so its income column compares with no other.",
        "",
        "| model | income | never married | seconds |",
        "|---|---|---|---|",
    ]
    for name, runs in results.items():
        cells = [spread([run.income for run in runs]), spread([run.never_married for run in runs])]
        lines.append(f"| `{name}` | {' | '.join(cells)} | {mean(run.seconds for run in runs):.0f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs every model with every seed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="census-income.test.gz, or another part of the data set"
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="Markdown file for the table")
    options = parser.parse_args()
    train, test = load_data(options.data)
    results: dict[str, list[Result]] = defaultdict(list)
    for name in options.models:
        for seed in range(options.seeds):
            results[name].append(run(name, seed, train, test))
            print(name, seed, *(f"{value:.4f}" for value in results[name][-1]), flush=True)
    text = report(results, f"python examples/census_income.py --data {options.data.name}")
    print(f"\n{text}")
    if options.output:
        write_section(options.output, "census_income", text)


if __name__ == "__main__":
    main()
