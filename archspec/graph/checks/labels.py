"""Checks that tasks read one value per row from their columns: no column of lists may also be a label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.contract import ColumnName
from archspec.diagnostics import Note
from archspec.graph.calls import setting_span
from archspec.graph.construct.wiring import settings_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from archspec.diagnostics import Diagnostics
    from archspec.graph.graph import Graph, Node
    from archspec.program.columns import Column
    from archspec.spec.spec import TaskBlock


def check_labels(graph: Graph, columns: Mapping[str, tuple[Node, Column | None]], diagnostics: Diagnostics) -> None:
    """Reports inputs that read several items per row from a column of a task.

    Args:
        graph: the graph.
        columns: key of the batch -> the first input that reads it, and what that input expects.
        diagnostics: where to report.
    """
    read = {edge.source for edge in graph.edges}
    for name, task in graph.spec.tasks.items():
        for key, use in _columns(name, task):
            node, holds = columns.get(key, (None, None))
            if node is None or holds is None or node.name not in read or not holds.several:
                continue
            setting = _setting(node, key)
            diagnostics.error(
                "AS721", f"`{setting}` of {node.what} reads several items per row from the column `{key}`, but "
                f"task `{name}` reads one, as its {use}",
                setting_span(node, setting), notes=[Note(f"task `{name}`", task.place)],
                help=f"name another column in `{setting}`, or in `{_TASK[use]}` of the task",
            )  # fmt: skip


_TASK = {"label": "label", "sample space": "when", "weight": "weight_column", "loss's column": "loss"}
"""The use of a column in a task -> the setting that names the column."""


def _columns(name: str, task: TaskBlock) -> Iterator[tuple[str, str]]:
    """The columns that a task reads, with their use."""
    settings = task.task
    yield settings.label or name, "label"
    if settings.when is not None:
        yield settings.when, "sample space"
    if settings.weight_column is not None:
        yield settings.weight_column, "weight"
    for loss in task.losses:
        if loss.settings is not None:
            for _, column in settings_names(loss.settings, ColumnName):
                yield str(column), "loss's column"


def _setting(node: Node, key: str) -> str:
    """The setting of an input that names a column."""
    settings = getattr(node.block, "settings", None)
    named = (setting for setting, column in settings_names(settings, ColumnName) if column == key) if settings else ()
    return next((".".join(map(str, setting)) for setting in named), "column")
