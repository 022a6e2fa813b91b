"""The results of a run, as a table or as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from archspec.cli.messages import show
from archspec.cli.tables import metrics_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from archspec.runs.training import Results


def shown_value(value: float | None) -> str:
    """A metric's value in words."""
    return "no value" if value is None else f"{value:.5f}"


def of_task(metrics: Mapping[str, float | None], task: str) -> dict[str, float | None]:
    """The metrics of a task, such as `click` or `validation/click`, by their own names."""
    head = f"{task}/"
    return {name.removeprefix(head): value for name, value in metrics.items() if name.startswith(head)}


def print_results(results: Results, folder: Path, tasks: Sequence[str], *, as_json: bool) -> None:
    """Prints a row per task and a column per metric, as tables of tasks with the same metrics, or as JSON."""
    metrics = results.measured()
    measured = {task: of_task(metrics, f"validation/{task}") for task in tasks}
    if as_json:
        printed: dict[str, Any] = {
            "folder": str(folder), "epoch": results.best.get("epoch"), "step": results.best.get("step"),
            "reason": results.reason,
            "loss": results.best.get("validation/loss"), "tasks": measured,
            "rows": {"train": results.train, "validation": results.validation, "skipped": results.skipped},
        }  # fmt: skip
        click.echo(json.dumps(printed, indent=2))
        return
    for names in dict.fromkeys(tuple(values) for values in measured.values()):  # tasks with the same metrics together
        table = metrics_table(["task"], [name.replace("_", " ") for name in names])
        for task, values in measured.items():
            if tuple(values) == names:
                table.add_row(task, *map(shown_value, values.values()))
        show(table)
    click.echo(f"{folder}: weights of epoch {results.best.get('epoch')} ({results.reason}), curves.svg, history.json")
