"""`archspec evaluate`: metrics of a trained model on other rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from archspec.cli import data_options, options
from archspec.cli.data_options import ManyFiles
from archspec.cli.extras import need
from archspec.cli.messages import show
from archspec.cli.progress import Display
from archspec.cli.results import groups_table, of_groups, of_rows

if TYPE_CHECKING:
    from archspec.compiler.compile import Precision
    from archspec.data.faults import Bad


@click.command(cls=ManyFiles)
@data_options.run
@data_options.data(
    "Rows to measure on, with labels: files, folders of parts, a 'pattern*', as for `train`.", required=True
)
@click.option("--by", metavar="COLUMN", help="Also measure each group of rows with one value in this column.")
@data_options.precision
@data_options.header
@data_options.bad_rows
@options.plugins
@options.shown
@options.as_json
def evaluate(  # noqa: PLR0913, PLR0917 - one argument per option
    run: str,
    files: tuple[str, ...],
    by: str | None,
    precision: Precision,
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

    trained = load_run(run, plugins, precision=precision)
    with Display() as display:
        data_options.say_difference(display, trained)
        found = measure(trained, tables_of(files, header), by=by, bad=bad, progress=display.rows)
    display.warn(found.warnings)
    tasks = tuple(trained.graph.spec.tasks)
    if as_json:
        data = {"skipped": found.skipped, **of_rows(found.whole, tasks), **of_groups(by, found.groups, tasks)}
        click.echo(json.dumps(data, indent=2))
        return
    show(groups_table(found.whole, found.groups, by, tasks))
    skipped = f", {found.skipped:,} left out" if found.skipped else ""
    display.say(f"{found.whole.rows:,} row{'s' * (found.whole.rows != 1)}{skipped}")
