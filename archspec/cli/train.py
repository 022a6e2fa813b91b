"""`archspec train`: from a spec and tables of data to a trained, evaluated model."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from archspec.cli import options
from archspec.cli.app import INTERRUPTED
from archspec.cli.columns import columns_table
from archspec.cli.data_options import ManyFiles, choices_of, source_of, source_options
from archspec.cli.extras import need
from archspec.cli.messages import warn
from archspec.cli.progress import ProgressBar, leads
from archspec.cli.results import print_results
from archspec.diagnostics import SpecError

if TYPE_CHECKING:
    from archspec.data.choices import Requests
    from archspec.data.prepare import Prepared
    from archspec.graph.graph import Graph
    from archspec.runs.recipe import Recipe

FOLDER: Final = "runs"
"""The folder for runs without `-o`."""

_RECIPE: Final = (
    click.option(
        "--epochs", type=click.IntRange(min=1), default=10, show_default=True, help="The most passes over the rows."
    ),
    click.option("--batch", type=click.IntRange(min=1), default=512, show_default=True, help="Rows per step."),
    click.option(
        "--learning-rate", type=click.FloatRange(min=0, min_open=True), default=1e-3, show_default=True,
        help="Learning rate of AdamW (and of SparseAdam, for sparse tables).",
    ),
    click.option(
        "--weight-decay", type=click.FloatRange(min=0), default=0.0, show_default=True, help="Weight decay of AdamW."
    ),
    click.option(
        "--table-learning-rate", type=click.FloatRange(min=0, min_open=True), metavar="R",
        help="Learning rate of the tables of inputs. [default: that of everything else]",
    ),
    click.option(
        "--table-optimizer", type=click.Choice(("adam", "rowwise_adagrad", "sparse_adam")),
        help="What trains the tables of inputs. [default: AdamW; SparseAdam for tables with `sparse_grad`]",
    ),
    click.option(
        "--schedule", type=click.Choice(["constant", "cosine", "linear"]), default="constant", show_default=True,
        help="How the learning rate falls after warm-up; cosine and linear reach 0 after --epochs.",
    ),
    click.option(
        "--warmup", type=click.IntRange(min=0), default=0, show_default=True, metavar="STEPS",
        help="Optimizer steps in which the learning rate rises linearly.",
    ),
    click.option(
        "--clip", type=click.FloatRange(min=0, min_open=True), metavar="NORM",
        help="Scale the gradients down if the norm of all of them together is larger. [default: never]",
    ),
    click.option(
        "--precision", type=click.Choice(["32", "bf16-mixed", "16-mixed"]), default="32", show_default=True,
        help="Arithmetic of a step; weights stay in float32.",
    ),
    click.option(
        "--accumulate", type=click.IntRange(min=1), default=1, show_default=True, metavar="BATCHES",
        help="Average the gradients of this many batches for each optimizer step.",
    ),
    click.option(
        "--patience", type=click.IntRange(min=0), default=2, show_default=True,
        help="Stop after this many epochs without improvement; 0: never stop early.",
    ),
    click.option(
        "--monitor", default="validation/task_losses", show_default=True, metavar="METRIC",
        help="The metric that must improve, such as validation/ctr/auc; the weights of its best epoch are kept. The "
        "default is the sum of the tasks' losses, each times its `weight`, without decay and balance.",
    ),
    click.option(
        "--interval", type=click.IntRange(min=1), default=500, show_default=True,
        help="Steps between checkpoints: the most that is lost if the process is killed.",
    ),
    click.option(
        "--seed", type=click.IntRange(min=0), default=0, show_default=True,
        help="Seed of initial weights, order of rows, and dropout.",
    ),
    click.option(
        "--devices", type=click.IntRange(min=1), default=1, show_default=True,
        help="Number of processes that train together.",
    ),
    click.option(
        "--threads", type=click.IntRange(min=1), metavar="N",
        help="Threads per process. [default: torch's own]",
    ),
    click.option(
        "--from", "start", metavar="RUN",
        help="Start from this run: its weights by name, its encodings, its vocabularies with the new values added.",
    ),
    click.option(
        "--moved", multiple=True, metavar="OLD=NEW", callback=choices_of,
        help="With --from: renamed blocks, such as ctr=click or level1.experts.shared=level1.experts.common.",
    ),
)  # fmt: skip


def recipe_options(command: options.Command) -> options.Command:
    """Adds the options for training, whose names are the fields of a `Recipe`."""
    return options.applied(_RECIPE, command)


def recipe_of(values: dict[str, Any]) -> Recipe:
    """Makes a Recipe from the options; with a patience of 0, training never stops early."""
    from archspec.runs.recipe import Recipe

    settings = {field.name: values[field.name] for field in fields(Recipe)}
    return Recipe(**{**settings, "patience": values["patience"] or None})


@click.command(cls=ManyFiles)
@options.spec
@options.as_json
@source_options
@click.option("-o", "--output", metavar="FOLDER", help=f"The folder of the run. [default: {FOLDER}/NAME]")
@click.option("--resume", is_flag=True, help="Continue the run in the folder, if there is one.")
@recipe_options
def train(  # noqa: PLR0913 - click passes each option by name
    spec: str,
    plugins: tuple[str, ...],
    overrides: tuple[str, ...],
    output: str | None,
    *,
    resume: bool,
    as_json: bool,
    **values: Any,  # noqa: ANN401 - of the options of Source and Recipe
) -> int:
    """Train a spec's model on tables of data.

    Columns are found by the names of the spec's inputs and tasks. Values are encoded once, and the encoded rows are
    stored with the checkpoints; continue an interrupted run with --resume. Prints the metrics of each task.
    """
    need("lightning", "pyarrow", "torchmetrics", "matplotlib")
    graph = options.load(spec, plugins, overrides)
    if leads():
        warn(graph.spec.diagnostics)
    from archspec.charts import learning_curves, write_figure
    from archspec.runs.files import CURVES
    from archspec.runs.training import Progress
    from archspec.runs.training import train as run

    folder = Path(output or f"{FOLDER}/{graph.spec.name}")
    recipe, source = recipe_of(values), source_of(values, _written(graph, values))
    _quiet_lightning()
    try:
        with ProgressBar(recipe.batch) as bar:
            progress = Progress(bar.say, bar.warn, bar.rows, lambda prepared: _report(prepared, bar), bar.step)
            results = run(graph, source, recipe, folder, resume=resume, progress=progress)
    except SpecError as error:
        if leads():
            raise
        return error.status  # the first process prints it
    except KeyboardInterrupt:
        if leads():
            click.echo(f"interrupted: to continue the run in {folder}, add --resume to the same command", err=True)
        return INTERRUPTED
    if leads():
        best = (results.best["step"], f"best epoch: {results.best['epoch']}") if "step" in results.best else None
        write_figure(learning_curves(results.history, tasks=tuple(graph.spec.tasks), best=best), folder / CURVES)
        print_results(results, folder, tuple(graph.spec.tasks), as_json=as_json)
    return 0


def _written(graph: Graph, values: dict[str, Any]) -> Requests | None:
    """The encodings in the file of `--encodings`, if there is one."""
    if values["encodings"] is None:
        return None
    from archspec.data.requirements import column_requirements
    from archspec.data.written import written_requests

    return written_requests(values["encodings"], column_requirements(graph, values["grouped_by"]))


def _quiet_lightning() -> None:
    """Suppresses Lightning's messages about devices, tips and its own deprecated calls."""
    import logging
    import warnings

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)


def _report(prepared: Prepared, bar: ProgressBar) -> None:
    """Prints a report about the data: rows, columns, and values that do not fit."""
    bar.warn(prepared.warnings)
    skipped = f", {prepared.skipped:,} left out" if prepared.skipped else ""
    bar.say(f"{prepared.train:,} rows to train on, {prepared.validation:,} to validate on{skipped}")
    for line in (*prepared.labels, *prepared.tables):
        bar.say(f"  {line}")
    bar.say(columns_table(prepared.columns))
