"""`archspec gates`: the gate weights of a trained model on data."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from archspec.cli import data_options, options
from archspec.cli.data_options import ManyFiles, some_rows
from archspec.cli.extras import need
from archspec.cli.messages import say
from archspec.cli.tables import Column, table
from archspec.diagnostics import unusable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.data.faults import Bad
    from archspec.train.gates import GateStatistics


@click.command(cls=ManyFiles)
@data_options.run
@data_options.data("Rows to compute the weights on. [default: the rows that the run was validated on]")
@click.option("-o", "--output", metavar="FILE", help="Draw the weights as bars with whiskers: .svg or .png.")
@data_options.header
@data_options.bad_rows
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
    every gate, next to 1/n, the weight of each of n experts if all were equal. Reports what looks wrong: an expert
    that no gate uses, a gate that has collapsed to one expert, gates that are the same for different tasks.
    """
    need("lightning", "pyarrow", "torchmetrics", "matplotlib")
    from archspec.charts import gate_bars, write_figure
    from archspec.runs.trained import load_run
    from archspec.train.gates import gate_findings, gate_statistics

    trained = load_run(run, plugins)
    if not trained.graph.seen:
        unusable("AS708", f"`{trained.graph.spec.name}` has no gates")
    batches = trained.batches(files, header=header, bad=bad) if files else trained.validation()
    statistics = gate_statistics(trained.model, some_rows(batches))
    findings = gate_findings(statistics)
    if output is not None:
        write_figure(gate_bars(statistics, tasks=tuple(trained.graph.spec.tasks)), output)
        click.echo(output, err=True)
    if as_json:
        found = {"gates": [asdict(gate) for gate in statistics], "findings": findings}
        click.echo(json.dumps(found, indent=2))
        return
    say(_text(statistics))
    for finding in findings:
        click.echo(f"warning: {finding}", err=True)


def _text(statistics: Sequence[GateStatistics]) -> str:
    """A line for each gate, with the weight of each of its experts if all were equal, and one for each expert."""
    columns = [Column("gate and experts"), Column("mean weight", numbers=True), Column("deviation", numbers=True)]
    rows: list[Sequence[str]] = []
    for gate in statistics:
        count = len(gate.experts)
        rows.append((f"{gate.gate}: {gate.kind} over {count}, 1/n = {1 / count:.4f}",))
        values = zip(gate.experts, gate.means, gate.deviations, strict=True)
        rows += [(f"  {expert}", f"{mean:.4f}", f"{deviation:.4f}") for expert, mean, deviation in values]
    return "\n".join(table(columns, rows))
