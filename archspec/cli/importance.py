"""`archspec importance`: which inputs a trained model relies on."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from archspec.cli import data_options, options
from archspec.cli.data_options import ManyFiles, some_rows
from archspec.cli.extras import need
from archspec.cli.messages import show
from archspec.cli.progress import Display
from archspec.cli.tables import metrics_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from archspec.data.faults import Bad
    from archspec.runs.importance import FeatureFactors, Importance, Importances


@click.command(cls=ManyFiles)
@data_options.run
@data_options.data(
    "Rows with labels; all of them are kept in memory. [default: the rows that the run was validated on]"
)
@click.option(
    "--inputs", metavar="NAME,...", callback=options.names, help="Inputs and groups of the spec. [default: all of them]"
)
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True, help="Permutations of each.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the permutations.")
@click.option("-o", "--output", metavar="FILE", help="Draw the changes as bars with whiskers: .svg or .png.")
@data_options.header
@data_options.bad_rows
@options.plugins
@options.shown
@options.as_json
def importance(  # noqa: PLR0913, PLR0917 - one argument per option
    run: str,
    files: tuple[str, ...],
    inputs: tuple[str, ...],
    repeats: int,
    seed: int,
    output: str | None,
    header: tuple[str, ...] | None,
    bad: Bad,
    plugins: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Show which inputs a trained model relies on.

    RUN is a folder of `archspec train`. Permutes one input, or the inputs of one group, over all rows, and prints how
    AUC and log loss of each task change; and the mean factors of feature gates, also for each value of a domain.
    """
    need("lightning", "pyarrow", "torchmetrics", "matplotlib")
    from archspec.data.batches import table_batches
    from archspec.runs.importance import feature_factors, importances
    from archspec.runs.trained import load_run

    trained = load_run(run, plugins)
    rows = table_batches(files, trained.encoder, header=header, bad=bad) if files else trained.validation()
    batches = [dict(batch) for batch in some_rows(rows)]
    with Display() as display:
        found = importances(trained, batches, names=inputs, repeats=repeats, seed=seed, progress=display.rows)
    factors = feature_factors(trained, batches)
    if output is not None:
        _draw(found, output)
        display.say(output)
    if as_json:
        click.echo(json.dumps({**asdict(found), "feature_gates": [asdict(each) for each in factors]}, indent=2))
        return
    _print(found, factors)
    display.say(f"{found.rows:,} rows, {found.repeats} permutations of each input")


def _worse(metric: str, change: float) -> float:
    """A change for the worse: less AUC, more of anything else."""
    return -change if metric == "auc" else change


def _shown(found: Importances) -> dict[str, str]:
    """Task -> its first metric with a value: AUC, else log loss or RMSE."""
    metrics: dict[str, str] = {}
    for name, value in found.metrics.items():
        task, _, metric = name.rpartition("/")
        if value is not None:
            metrics.setdefault(task, metric)
    return metrics


def _changes(found: Importances) -> dict[str, dict[str, tuple[float, float]]]:
    """Input -> task -> change for the worse and its deviation; the most important input first."""
    from archspec.charts.importance import ordered

    metrics = _shown(found)

    def of(each: Importance) -> dict[str, tuple[float, float]]:
        pairs = {task: each.changes[f"{task}/{metric}"] for task, metric in metrics.items()}
        return {
            task: (_worse(metrics[task], mean), deviation)
            for task, (mean, deviation) in pairs.items()
            if mean is not None and deviation is not None
        }

    changes = {each.name: of(each) for each in found.inputs}
    return {name: changes[name] for name in ordered(changes)}


def _draw(found: Importances, output: str) -> None:
    from archspec.charts import importance_bars, write_figure

    words = {"auc": "loss of AUC", "log_loss": "rise of log loss", "rmse": "rise of RMSE"}
    metrics = {task: words[metric] for task, metric in _shown(found).items()}
    caption = f"each input permuted {found.repeats} times over {found.rows:,} rows; whiskers: one standard deviation"
    write_figure(importance_bars(_changes(found), metrics=metrics, caption=caption), output)


def _print(found: Importances, factors: Sequence[FeatureFactors]) -> None:
    table = metrics_table(["permuted"], [name.replace("/", " ").replace("_", " ") for name in found.metrics])
    by_name = {each.name: each for each in found.inputs}
    table.add_row("nothing", *("" if value is None else f"{value:.5f}" for value in found.metrics.values()))
    for name in _changes(found):
        pairs = by_name[name].changes.values()
        table.add_row(name, *("" if mean is None else f"{mean:+.5f} ± {deviation:.5f}" for mean, deviation in pairs))
    show(table)
    for each in factors:
        show(_factor_table(each))


def _factor_table(factors: FeatureFactors) -> Table:
    """The mean factors of a feature gate: a row per field, a column for all rows and for each domain's value."""
    columns = {"all rows": factors.means}
    columns |= {f"{name}={value}": means for name, values in factors.by.items() for value, means in values.items()}
    table = metrics_table([f"mean factor of {factors.gate}"], columns)
    for place, field in enumerate(factors.fields):
        table.add_row(field, *(f"{means[place]:.4f}" for means in columns.values()))
    return table
