"""`archspec train`: from a spec and tables of data to a trained, evaluated model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from archspec.cli import options
from archspec.cli.app import INTERRUPTED
from archspec.cli.columns import columns_table
from archspec.cli.extras import need
from archspec.cli.messages import show, warn
from archspec.cli.progress import ProgressBar, leads
from archspec.diagnostics import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.data.faults import Bad
    from archspec.data.prepare import Prepared
    from archspec.runs.training import Results

FOLDER: Final = "runs"
"""Columns whose encodings are told one by one."""


class ManyFiles(click.Command):
    """A command whose options for files take several values: `--data a.parquet b.parquet`."""

    SEVERAL: Final = ("--data", "--validation")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeats the option before each of its values."""
        spread: list[str] = []
        current = ""
        for word in args:
            if word.startswith("-") and word != "-":
                current = word if word in self.SEVERAL else ""
                spread += [] if current else [word]
            else:
                spread += [current, word] if current else [word]
        return super().parse_args(ctx, spread)


def files_of(_context: click.Context, _option: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
    """The files of paths and patterns. Raises SpecError for a pattern that matches no file."""
    from archspec.data.parts import data_files

    return data_files(words)


def choices_of(_context: click.Context, option: click.Parameter, words: tuple[str, ...]) -> dict[str, str]:
    """COLUMN=KIND by column, or COLUMN=ITEM. Raises BadParameter for another form."""
    pairs = [word.rpartition("=") for word in words]
    for word, (column, _, kind) in zip(words, pairs, strict=True):
        if not column or not kind:
            such = "history=0" if option.name == "padding" else "city=vocabulary"
            raise click.BadParameter(f"`{word}` is not of the form {option.make_metavar(_context)}, such as `{such}`")
    return {column: kind for column, _, kind in pairs}


def names_of(_context: click.Context, _option: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    """The names of a list such as `user,item,click`."""
    return None if text is None else tuple(name.strip() for name in text.split(","))


header = click.option(
    "--header", metavar="NAME,...", callback=names_of, help="Names of the columns of CSV files without a line of names."
)
bad_rows = click.option(
    "--bad", type=click.Choice(["stop", "skip"]), default="stop", show_default=True,
    help="Rows with values that do not fit: stop before anything is done, or skip them.",
)  # fmt: skip


@click.command(cls=ManyFiles)
@options.spec
@options.as_json
@click.option(
    "--data", "files", multiple=True, required=True, metavar="FILE...", callback=files_of,
    help="Rows to train on: .parquet, .csv, .csv.gz, .tsv, .feather, .arrow; files, folders of parts, a 'pattern*'.",
)  # fmt: skip
@click.option(
    "--validation", multiple=True, metavar="FILE...", callback=files_of,
    help="Rows to validate on. [default: a share of those of --data]",
)  # fmt: skip
@click.option(
    "--split", "share", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.1, show_default=True,
    help="The share of rows to validate on, where --validation is not given.",
)  # fmt: skip
@click.option("-o", "--output", metavar="FOLDER", help=f"Where the run is kept. [default: {FOLDER}/NAME]")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder, if there is one.")
@click.option(
    "--epochs", type=click.IntRange(min=1), default=10, show_default=True, help="Passes over the rows, at most."
)
@click.option("--batch", type=click.IntRange(min=1), default=512, show_default=True, help="Rows of a step.")
@click.option(
    "--learning-rate", type=click.FloatRange(min=0, min_open=True), default=1e-3, show_default=True,
    help="Of AdamW (and SparseAdam, for sparse tables).",
)  # fmt: skip
@click.option("--weight-decay", type=click.FloatRange(min=0), default=0.0, show_default=True, help="Of AdamW.")
@click.option(
    "--patience", type=click.IntRange(min=0), default=2, show_default=True,
    help="Stop after so many epochs without improvement; 0: never.",
)  # fmt: skip
@click.option(
    "--monitor", default="validation/task_losses", show_default=True, metavar="METRIC",
    help="What must improve, such as validation/ctr/auc; its best epoch's weights are kept. The default adds up the "
    "tasks' losses, each times its `weight`, without decay and balance.",
)  # fmt: skip
@click.option(
    "--interval", type=click.IntRange(min=1), default=500, show_default=True,
    help="Steps between checkpoints: what a kill can cost.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of weights, order and dropout.")
@click.option(
    "--devices", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that train together."
)
@click.option(
    "--threads", type=click.IntRange(min=1), metavar="N", help="Threads of each process. [default: as torch chooses]"
)
@click.option(
    "--grouped-by", metavar="COLUMN", help="Also measure AUC within the groups of this column, such as the user."
)
@click.option(
    "--encode", "choices", multiple=True, metavar="COLUMN=KIND", callback=choices_of,
    help="ids, vocabulary, buckets; numbers, standard; a label: classes, soft. [default: what the values are]",
)  # fmt: skip
@click.option(
    "--padding", multiple=True, metavar="COLUMN=ITEM", callback=choices_of,
    help="What fills lists up in a column and is no item, besides -1.",
)  # fmt: skip
@header
@bad_rows
def train(  # noqa: PLR0913, PLR0917 - one argument per option
    spec: str,
    plugins: tuple[str, ...],
    overrides: tuple[str, ...],
    files: tuple[str, ...],
    validation: tuple[str, ...],
    share: float,
    output: str | None,
    epochs: int,
    batch: int,
    learning_rate: float,
    weight_decay: float,
    patience: int,
    monitor: str,
    interval: int,
    seed: int,
    devices: int,
    threads: int | None,
    grouped_by: str | None,
    choices: dict[str, str],
    padding: dict[str, str],
    header: tuple[str, ...] | None,
    bad: Bad,
    *,
    resume: bool,
    as_json: bool,
) -> int:
    """Train a spec's model on tables of data.

    Columns are found by the names of the spec's inputs and tasks. Values become ids and numbers once, and are kept
    beside the checkpoints, so that a run that was interrupted goes on with --resume. Prints what each task reached.
    """
    need("lightning", "pyarrow", "torchmetrics", "matplotlib")
    graph = options.load(spec, plugins, overrides)
    if leads():
        warn(graph.spec.diagnostics)
    from archspec.charts import learning_curves, write_figure
    from archspec.data.prepare import Source
    from archspec.runs.folder import CURVES
    from archspec.runs.recipe import Recipe
    from archspec.runs.training import Progress
    from archspec.runs.training import train as run

    folder = Path(output or f"{FOLDER}/{graph.spec.name}")
    source = Source(files, validation, share, header, choices, bad, grouped_by, padding)
    recipe = Recipe(
        epochs, batch, learning_rate, weight_decay, patience or None, monitor, interval, seed, devices, threads
    )
    quieted()
    try:
        with ProgressBar(batch) as bar:
            progress = Progress(bar.say, bar.warn, bar.rows, lambda done: told(done, bar), bar.step)
            results = run(graph, source, recipe, folder, resume=resume, progress=progress)
    except SpecError as error:
        if leads():
            raise
        return error.status  # the first process says it
    except KeyboardInterrupt:
        if leads():
            click.echo(f"interrupted: the same command with --resume goes on with {folder}", err=True)
        return INTERRUPTED
    if leads():
        curves = learning_curves(results.history, tasks=tuple(graph.spec.tasks))
        write_figure(curves, folder / CURVES)
        print_results(results, folder, tuple(graph.spec.tasks), as_json=as_json)
    return 0


def quieted() -> None:
    """Lightning tells of devices, tips and its own deprecated calls; what archspec has to say is enough."""
    import logging
    import warnings

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)


def told(prepared: Prepared, bar: ProgressBar) -> None:
    """Says what became of the data: rows, columns, and what does not fit."""
    bar.warn(prepared.warnings)
    skipped = f", {prepared.skipped:,} left out" if prepared.skipped else ""
    bar.say(f"{prepared.train:,} rows to train on, {prepared.validation:,} to validate on{skipped}")
    for line in prepared.labels:
        bar.say(f"  {line}")
    bar.say(columns_table(prepared.columns))


def shown_value(value: float | None) -> str:
    """A metric's value, or that it has none."""
    return "no value" if value is None else f"{value:.5f}"


def print_results(results: Results, folder: Path, tasks: Sequence[str], *, as_json: bool) -> None:
    """A row per task, a column per metric: as a table, or as JSON."""
    measured = {
        task: {
            name.removeprefix(f"validation/{task}/"): value
            for name, value in results.measured().items()
            if name.startswith(f"validation/{task}/")
        }
        for task in tasks
    }
    if as_json:
        told: dict[str, Any] = {
            "folder": str(folder), "epoch": results.best.get("epoch"), "step": results.best.get("step"),
            "reason": results.reason,
            "loss": results.best.get("validation/loss"), "tasks": measured,
            "rows": {"train": results.train, "validation": results.validation, "skipped": results.skipped},
        }  # fmt: skip
        click.echo(json.dumps(told, indent=2))
        return
    from rich.box import SIMPLE
    from rich.table import Table

    names = dict.fromkeys(name for values in measured.values() for name in values)
    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("task")
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for task, values in measured.items():
        table.add_row(task, *(shown_value(values[name]) if name in values else "" for name in names))
    show(table)
    click.echo(f"{folder}: weights of epoch {results.best.get('epoch')} ({results.reason}), curves.svg, history.json")
