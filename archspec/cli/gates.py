"""`archspec gates`: the gate weights of a trained model on data."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from archspec.cli import options
from archspec.cli.data_options import ManyFiles, bad_rows, files_of, header
from archspec.cli.extras import need
from archspec.cli.messages import show
from archspec.diagnostics import unusable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.data.faults import Bad
    from archspec.train.gates import GateStatistics


@click.command(cls=ManyFiles)
@click.argument("run", metavar="RUN")
@click.option(
    "--data", "files", multiple=True, metavar="FILE...", callback=files_of,
    help="Rows to look at. [default: those that the run was validated on]",
)  # fmt: skip
@click.option("-o", "--output", metavar="FILE", help="Draw bars with whiskers: .svg or .png.")
@header
@bad_rows
@options.plugins
@options.as_json
def gates(  # noqa: PLR0913, PLR0917 - one argument per option
    run: str,
    files: tuple[str, ...],
    output: str | None,
    header: tuple[str, ...] | None,
    bad: Bad,
    plugins: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Show how the gates of a trained model weigh their experts.

    RUN is a folder of `archspec train`. Prints the mean and standard deviation of each expert's weight over rows, for
    every gate, and what looks wrong: an unused expert, a collapsed gate, gates that do not differ between tasks.
    """
    need("lightning", "pyarrow", "torchmetrics", "matplotlib")
    from archspec.charts import gate_bars, write_figure
    from archspec.runs.trained import load_run
    from archspec.train.gates import gate_findings, gate_statistics

    trained = load_run(run, plugins)
    if not trained.graph.seen:
        unusable("AS708", f"`{trained.graph.spec.name}` has no gates to look at")
    batches = trained.batches(files, header=header, bad=bad) if files else trained.validation()
    statistics = gate_statistics(trained.model, batches)
    findings = gate_findings(statistics)
    if output is not None:
        write_figure(gate_bars(statistics, tasks=tuple(trained.graph.spec.tasks)), output)
        click.echo(output, err=True)
    if as_json:
        found = {"gates": [asdict(gate) for gate in statistics], "findings": findings}
        click.echo(json.dumps(found, indent=2))
        return
    _print(statistics)
    for finding in findings:
        click.echo(f"warning: {finding}", err=True)


def _print(statistics: Sequence[GateStatistics]) -> None:
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("gate")
    table.add_column("expert")
    table.add_column("mean weight", justify="right")
    table.add_column("deviation", justify="right")
    for gate in statistics:
        for place, expert in enumerate(gate.experts):
            name = gate.gate if place == 0 else ""
            table.add_row(name, expert, f"{gate.means[place]:.4f}", f"{gate.deviations[place]:.4f}")
    show(table)
