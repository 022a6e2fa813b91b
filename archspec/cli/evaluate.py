"""`archspec evaluate`: metrics of a trained model on other rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from archspec.cli import data_options, options
from archspec.cli.data_options import ManyFiles
from archspec.cli.extras import need
from archspec.cli.messages import show
from archspec.cli.progress import Display
from archspec.cli.results import of_task, shown_value
from archspec.cli.tables import metrics_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.data.faults import Bad
    from archspec.runs.evaluation import Evaluation, Measured


@click.command(cls=ManyFiles)
@data_options.run
@data_options.data(
    "Rows to measure on, with labels: files, folders of parts, a 'pattern*', as for `train`.", required=True
)
@click.option("--by", metavar="COLUMN", help="Also measure each group of rows with one value in this column.")
@data_options.header
@data_options.bad_rows
@options.plugins
@options.shown
@options.as_json
def evaluate(  # noqa: PLR0913, PLR0917 - one argument per option
    run: str,
    files: tuple[str, ...],
    by: str | None,
    header: tuple[str, ...] | None,
    bad: Bad,
    plugins: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Measure a trained model on rows with labels.

    RUN is a folder of `archspec train`. Prints the same metrics as training, over all rows and, with --by, for each
    value of a column.
    """
    need("lightning", "pyarrow", "torchmetrics")
    from archspec.data.memory import tables_of
    from archspec.runs.evaluation import evaluate as measure
    from archspec.runs.trained import load_run

    trained = load_run(run, plugins)
    with Display() as display:
        found = measure(trained, tables_of(files, header), by=by, bad=bad, progress=display.rows)
    display.warn(found.warnings)
    tasks = tuple(trained.graph.spec.tasks)
    if as_json:
        click.echo(json.dumps(_data(found, by, tasks), indent=2))
        return
    _print(found, by, tasks)
    skipped = f", {found.skipped:,} left out" if found.skipped else ""
    display.say(f"{found.whole.rows:,} row{'s' * (found.whole.rows != 1)}{skipped}")


def _data(found: Evaluation, by: str | None, tasks: Sequence[str]) -> dict[str, Any]:
    """The evaluation for JSON."""
    data = {"skipped": found.skipped, **_measured(found.whole, tasks)}
    if by is not None:
        data |= {"by": by, "groups": [{"value": value, **_measured(m, tasks)} for value, m in found.groups.items()]}
    return data


def _measured(measured: Measured, tasks: Sequence[str]) -> dict[str, Any]:
    return {
        "rows": measured.rows,
        "task_losses": measured.metrics.get("task_losses"),
        "tasks": {task: of_task(measured.metrics, task) for task in tasks},
    }


def _print(found: Evaluation, by: str | None, tasks: Sequence[str]) -> None:
    """Prints a row for each task, and for each task and group."""
    groups = {"all": found.whole}
    groups |= {"no value" if value is None else value: measured for value, measured in found.groups.items()}
    names = dict.fromkeys(name for task in tasks for name in of_task(found.whole.metrics, task))
    words = [name.replace("_", " ") for name in names]
    table = metrics_table(["task"], words) if by is None else metrics_table(["task", by], ["rows", *words])
    for task in tasks:
        for place, (value, measured) in enumerate(groups.items()):
            own = of_task(measured.metrics, task)
            cells = [shown_value(own[name]) if name in own else "" for name in names]
            of_group = [] if by is None else [value, f"{measured.rows:,}"]
            table.add_row("" if place else task, *of_group, *cells)
    show(table)
