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

    from rich.table import Table

    from archspec.runs.evaluation import Measured
    from archspec.runs.results import Results


def shown_value(value: float | None) -> str:
    """A metric's value in words."""
    return "no value" if value is None else f"{value:.5f}"


def of_task(metrics: Mapping[str, float | None], task: str) -> dict[str, float | None]:
    """The metrics of a task, such as `click` or `validation/click`, by their own names."""
    head = f"{task}/"
    return {name.removeprefix(head): value for name, value in metrics.items() if name.startswith(head)}


def of_rows(measured: Measured, tasks: Sequence[str]) -> dict[str, Any]:
    """The metrics over some rows, for JSON."""
    return {
        "rows": measured.rows,
        "task_losses": measured.metrics.get("task_losses"),
        "tasks": {task: of_task(measured.metrics, task) for task in tasks},
    }


def of_groups(by: str | None, groups: Mapping[str | None, Measured], tasks: Sequence[str]) -> dict[str, Any]:
    """The metrics over the rows of each value of a column, for JSON; nothing without a column."""
    if by is None:
        return {}
    return {"by": by, "groups": [{"value": value, **of_rows(rows, tasks)} for value, rows in groups.items()]}


def groups_table(whole: Measured, groups: Mapping[str | None, Measured], by: str | None, tasks: Sequence[str]) -> Table:
    """A row for each task, and for each task and value of the column `by`, if there is one."""
    rows = {"all": whole}
    rows |= {"no value" if value is None else value: measured for value, measured in groups.items()}
    names = dict.fromkeys(name for task in tasks for name in of_task(whole.metrics, task))
    words = [name.replace("_", " ") for name in names]
    table = metrics_table(["task"], words) if by is None else metrics_table(["task", by], ["rows", *words])
    for task in tasks:
        for place, (value, measured) in enumerate(rows.items()):
            own = of_task(measured.metrics, task)
            cells = [shown_value(own[name]) if name in own else "" for name in names]
            of_group = [] if by is None else [value, f"{measured.rows:,}"]
            table.add_row("" if place else task, *of_group, *cells)
    return table


def print_results(results: Results, folder: Path, tasks: Sequence[str], *, as_json: bool) -> None:
    """Prints tables of tasks and their metrics, those of test rows last, or all as JSON."""
    metrics = results.measured()
    measured = {task: of_task(metrics, f"validation/{task}") for task in tasks}
    if as_json:
        printed: dict[str, Any] = {
            "folder": str(folder), "epoch": results.best.get("epoch"), "step": results.best.get("step"),
            "reason": results.reason,
            "loss": results.best.get("validation/loss"), "tasks": measured,
            "rows": {"train": results.train, "validation": results.validation, "skipped": results.skipped},
            **of_groups(results.by, results.groups, tasks),
        }  # fmt: skip
        if results.test is not None:
            printed["test"] = of_rows(results.test, tasks)
        click.echo(json.dumps(printed, indent=2))
        return
    if results.by is None:
        _print_tables(measured)
    else:
        show(groups_table(results.whole(), results.groups, results.by, tasks))
    if results.test is not None:
        click.echo(f"\ntest, {results.test.rows:,} rows:")
        _print_tables({task: of_task(results.test.metrics, task) for task in tasks})
    click.echo(f"{folder}: weights of epoch {results.best.get('epoch')} ({results.reason}), curves.svg, history.json")


def _print_tables(measured: Mapping[str, Mapping[str, float | None]]) -> None:
    """Prints a row per task and a column per metric; tasks with the same metrics share a table."""
    for names in dict.fromkeys(tuple(values) for values in measured.values()):
        table = metrics_table(["task"], [name.replace("_", " ") for name in names])
        for task, values in measured.items():
            if tuple(values) == names:
                table.add_row(task, *map(shown_value, values.values()))
        show(table)
