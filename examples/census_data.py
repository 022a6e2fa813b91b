"""Census-Income (KDD) as batches: every column as ids, the amounts also as numbers, three kinds of labels.

`python examples/census_data.py --data census-income.test.gz --output build` writes the same rows for `archspec train`,
with the original values: build/census_train.parquet and build/census_test.parquet.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import sys
from pathlib import Path

import pyarrow as pa
import torch
from pyarrow import parquet
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout, without an installation

from archspec.files import whole

Batch = dict[str, Tensor]

COLUMNS = """
age class_worker det_ind_code det_occ_code education wage_per_hour hs_college marital_stat major_ind_code major_occ_code
race hisp_origin sex union_member unemp_reason full_or_part_emp capital_gains capital_losses stock_dividends
tax_filer_stat region_prev_res state_prev_res det_hh_fam_stat det_hh_summ instance_weight mig_msa mig_reg mig_move
live_here mig_sunbelt num_emp fam_under_18 country_father country_mother country_self citizenship own_or_self
vet_question vet_benefits weeks_worked year income
""".split()  # noqa: SIM905 - 42 names read best as words
NO_INPUT = {"education", "marital_stat", "instance_weight", "income"}
NUMBERS = ("age", "wage_per_hour", "capital_gains", "capital_losses", "stock_dividends", "weeks_worked")
BUCKETED = {"wage_per_hour", "capital_gains", "capital_losses", "stock_dividends"}
BUCKETS = 32


def read_columns(path: Path) -> dict[str, list[str]]:
    """The file's columns by name, as text. Raises ValueError if a line has another number of columns."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row]
    for number, row in enumerate(rows, 1):
        if len(row) != len(COLUMNS):
            raise ValueError(f"{path}: line {number} has {len(row)} columns, not {len(COLUMNS)}")
    return {name: list(cells) for name, cells in zip(COLUMNS, zip(*rows, strict=True), strict=True)}


def split(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Indices of training and test rows: 80/20 within each of the labels' combinations `[rows]`."""
    generator = torch.Generator().manual_seed(0)
    train, test = [], []
    for value in torch.unique(labels):
        rows = (labels == value).nonzero().squeeze(1)
        rows = rows[torch.randperm(len(rows), generator=generator)]
        cut = round(0.8 * len(rows))
        train.append(rows[:cut])
        test.append(rows[cut:])
    return torch.cat(train), torch.cat(test)


def ids(cells: list[str], train: list[int]) -> Tensor:
    """Ids `[rows]` of a column's values, numbered from 1 in sorted order; 0 for values not in the training rows."""
    vocabulary = {value: index for index, value in enumerate(sorted({cells[row] for row in train}), 1)}
    return torch.tensor([vocabulary.get(cell, 0) for cell in cells])


def buckets(values: Tensor, train: Tensor) -> Tensor:
    """Ids `[rows]` of a number that is mostly 0: 0 for 0, else its bucket among quantiles of the training values."""
    known = values[train][values[train] > 0]
    edges = torch.quantile(known, torch.linspace(0, 1, BUCKETS)[1:-1].to(known))
    edges = torch.unique(edges)
    return torch.where(values > 0, torch.bucketize(values, edges) + 1, 0)


def labels_of(text: dict[str, list[str]]) -> Batch:
    """Both tasks' labels, and those of the chain: ever married, and also over 50,000 dollars."""
    income = torch.tensor([cell == "50000+." for cell in text["income"]])
    never = torch.tensor([cell == "Never married" for cell in text["marital_stat"]])
    found = {"income": income, "never_married": never, "married": ~never, "married_income": income & ~never}
    return {name: label.float() for name, label in found.items()}


def load_data(path: Path) -> tuple[Batch, Batch]:
    """Training and test rows: every input and label column by name."""
    text = read_columns(path)
    data = labels_of(text)
    train, test = split(2 * data["income"] + data["never_married"])
    numbers = {name: torch.tensor([float(cell) for cell in text[name]]) for name in NUMBERS}
    for name in (name for name in COLUMNS if name not in NO_INPUT):
        data[name] = buckets(numbers[name], train) if name in BUCKETED else ids(text[name], train.tolist())
    logs = torch.stack([values.log1p() for values in numbers.values()], dim=1)
    data["numbers"] = (logs - logs[train].mean(0)) / logs[train].std(0)
    return rows_of(data, train), rows_of(data, test)


def rows_of(data: Batch, rows: Tensor) -> Batch:
    """The given rows of all columns."""
    return {name: column[rows] for name, column in data.items()}


def write_tables(path: Path, folder: Path) -> None:
    """Writes training and test rows as Parquet: inputs as texts, amounts as logarithms too, labels as numbers."""
    text = read_columns(path)
    labels = labels_of(text)
    parts = split(2 * labels["income"] + labels["never_married"])
    logs = torch.tensor([[float(cell) for cell in text[name]] for name in NUMBERS]).log1p().T
    columns = {name: cells for name, cells in text.items() if name not in NO_INPUT}
    table = pa.table({**columns, **{name: label.numpy() for name, label in labels.items()}, "numbers": logs.tolist()})
    for name, rows in zip(("train", "test"), parts, strict=True):
        with whole(folder / f"census_{name}.parquet", parents=True) as file:
            parquet.write_table(table.take(rows.tolist()), file)


def main() -> None:
    """Writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="census-income.test.gz, or another part of the data")
    parser.add_argument("--output", type=Path, required=True, help="folder for two Parquet files")
    options = parser.parse_args()
    write_tables(options.data, options.output)


if __name__ == "__main__":
    main()
