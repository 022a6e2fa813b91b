"""`archspec train`: from a spec and tables of data to a trained, evaluated model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from archspec.cli import options
from archspec.cli.app import INTERRUPTED
from archspec.cli.columns import columns_table
from archspec.cli.data_options import ManyFiles, source_of, source_options
from archspec.cli.extras import need
from archspec.cli.messages import tell, warn
from archspec.cli.progress import Display, leads
from archspec.cli.recipe_options import overridden, recipe_of, recipe_options, written_recipe
from archspec.cli.results import print_results
from archspec.diagnostics import SpecError

if TYPE_CHECKING:
    from archspec.data.choices import Requests
    from archspec.data.prepare import Prepared
    from archspec.graph.graph import Graph

FOLDER: Final = "runs"
"""The folder for runs without `-o`."""


@click.command(cls=ManyFiles)
@options.spec
@options.progress
@options.as_json
@source_options
@click.option("-o", "--output", metavar="FOLDER", help=f"The folder of the run. [default: {FOLDER}/NAME]")
@click.option("--resume", is_flag=True, help="Continue the run in the folder, if there is one.")
@recipe_options
@click.pass_context
def train(  # noqa: PLR0913 - click passes each option by name
    context: click.Context,
    /,
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
    written = written_recipe(values)
    recipe = recipe_of(context, written)
    source = source_of(values, _written(graph, values, recipe.together))
    _quiet_lightning()
    try:
        with Display(recipe.batch) as display:
            progress = Progress(
                display.say, display.warn, display.rows, lambda prepared: _report(prepared, display),
                display.step, display.epoch,
            )  # fmt: skip
            display.warn(overridden(context, written))
            results = run(graph, source, recipe, folder, resume=resume, progress=progress, places=written.places)
    except SpecError as error:
        if leads():
            raise
        return error.status  # the first process prints it
    except KeyboardInterrupt:
        if leads():
            tell(f"interrupted: to continue the run in {folder}, add --resume to the same command")
        return INTERRUPTED
    if leads():
        best = (results.best["step"], f"best epoch: {results.best['epoch']}") if "step" in results.best else None
        write_figure(learning_curves(results.history, tasks=tuple(graph.spec.tasks), best=best), folder / CURVES)
        print_results(results, folder, tuple(graph.spec.tasks), as_json=as_json)
    return 0


def _written(graph: Graph, values: dict[str, Any], together: str | None) -> Requests | None:
    """The encodings in the file of `--encodings`, if there is one."""
    if values["encodings"] is None:
        return None
    from archspec.data.requirements import column_requirements
    from archspec.data.written import written_requests

    return written_requests(values["encodings"], column_requirements(graph, values["grouped_by"], together))


def _quiet_lightning() -> None:
    """Suppresses Lightning's messages about devices, tips and its own deprecated calls."""
    import logging
    import warnings

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)


def _report(prepared: Prepared, display: Display) -> None:
    """Prints a report about the data: rows, columns, and values that do not fit."""
    display.warn(prepared.warnings)
    skipped = f", {prepared.skipped:,} left out" if prepared.skipped else ""
    display.say(f"{prepared.train:,} rows to train on, {prepared.validation:,} to validate on{skipped}")
    for line in (*prepared.labels, *prepared.tables):
        display.say(f"  {line}")
    display.say(columns_table(prepared.columns))
