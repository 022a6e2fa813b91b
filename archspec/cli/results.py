"""The results of a run, as a table or as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from archspec.cli.messages import show

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from archspec.runs.training import Results


def shown_value(value: float | None) -> str:
    """A metric's value in words."""
    return "no value" if value is None else f"{value:.5f}"


def print_results(results: Results, folder: Path, tasks: Sequence[str], *, as_json: bool) -> None:
    """Prints a row per task and a column per metric, as tables of tasks with the same metrics, or as JSON."""
    measured = {
        task: {
            name.removeprefix(f"validation/{task}/"): value
            for name, value in results.measured().items()
            if name.startswith(f"validation/{task}/")
        }
        for task in tasks
    }
    if as_json:
        printed: dict[str, Any] = {
            "folder": str(folder), "epoch": results.best.get("epoch"), "step": results.best.get("step"),
            "reason": results.reason,
            "loss": results.best.get("validation/loss"), "tasks": measured,
            "rows": {"train": results.train, "validation": results.validation, "skipped": results.skipped},
        }  # fmt: skip
        click.echo(json.dumps(printed, indent=2))
        return
    from rich.box import SIMPLE
    from rich.table import Table

    for names in dict.fromkeys(tuple(values) for values in measured.values()):  # tasks with the same metrics together
        table = Table(box=SIMPLE, pad_edge=False)
        table.add_column("task")
        for name in names:
            table.add_column(name.replace("_", " "), justify="right")
        for task, values in measured.items():
            if tuple(values) == names:
                table.add_row(task, *map(shown_value, values.values()))
        show(table)
    click.echo(f"{folder}: weights of epoch {results.best.get('epoch')} ({results.reason}), curves.svg, history.json")
