"""`archspec predict`: scores of a trained model for tables of any size."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from archspec.cli import data_options, options
from archspec.cli.data_options import ManyFiles
from archspec.cli.extras import need
from archspec.cli.output import STDOUT
from archspec.cli.progress import Display

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.compiler.compile import Precision


def kept(_context: click.Context, _option: click.Parameter, text: str | None) -> dict[str, str]:
    """Parses `user,click=label`: columns, and the names under which they are kept."""
    words = [word.strip() for word in (text or "").split(",") if word.strip()]
    pairs = [(word, "=", word) if "=" not in word else word.rpartition("=") for word in words]
    if not all(column and shown for column, _, shown in pairs):
        raise click.BadParameter(f"`{text}` is not a list of columns, such as `user,click=label`")
    return {column: shown for column, _, shown in pairs}


@click.command(cls=ManyFiles)
@data_options.run
@data_options.data(
    "Rows to score; they need no labels: files, folders of parts, a 'pattern*', as for `train`.", required=True
)
@click.option(
    "-o", "--output", required=True, metavar="FILE",
    help="Where to write: .parquet, .csv, .csv.gz, .tsv, .feather, .arrow; `-`: CSV to standard output.",
)  # fmt: skip
@click.option(
    "--keep", metavar="COLUMN[=NAME],...", callback=kept,
    help="Columns of the data to write next to the scores, under their own or another name.",
)  # fmt: skip
@options.tasks
@click.option("--gates", is_flag=True, help="Also write each gate's weights, as a list per row.")
@click.option(
    "--batch", type=click.IntRange(min=1), default=8192, show_default=True, help="Rows per forward pass."
)  # fmt: skip
@data_options.precision
@data_options.header
@options.plugins
@options.shown
def predict(  # noqa: PLR0913, PLR0917 - one argument per option
    run: str,
    files: tuple[str, ...],
    output: str,
    keep: Mapping[str, str],
    tasks: tuple[str, ...],
    batch: int,
    precision: Precision,
    header: tuple[str, ...] | None,
    plugins: tuple[str, ...],
    *,
    gates: bool,
) -> None:
    """Score rows with a trained model.

    RUN is a folder of `archspec train`. Writes one row for each row of the data, in order, with a column per output.
    Rows with a value that does not fit have no scores, and are counted.
    """
    need("lightning", "pyarrow", "torchmetrics")
    from archspec.data.memory import tables_of
    from archspec.data.writing import check_writable
    from archspec.runs.scoring import ScoreOptions, Scores, write_scores
    from archspec.runs.trained import load_run

    if output != STDOUT:
        check_writable(output)
    trained = load_run(run, plugins, tasks=tasks, precision=precision)
    with Display() as display:
        data_options.say_difference(display, trained)
        settings = ScoreOptions(keep, gates, batch, tasks)
        scores = Scores(trained, tables_of(files, header), settings, progress=display.rows)
        write_scores(scores, output, sys.stdout.buffer if output == STDOUT else None)
    display.warn(scores.warnings())
    missing = f", {scores.unscored:,} without scores" if scores.unscored else ""
    name = "" if output == STDOUT else f"{output}: "
    display.say(f"{name}{scores.rows:,} row{'s' * (scores.rows != 1)}{missing}")
