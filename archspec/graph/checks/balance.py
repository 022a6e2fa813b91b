"""Checks for a balance that reads gradients: it needs weights that tasks share, with dense gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.graph.reach import last_nodes, trained_by
from archspec.program.nodes import NodeName
from archspec.spec.spec import Block

if TYPE_CHECKING:
    from archspec.diagnostics import Diagnostics
    from archspec.graph.graph import Graph, Node


def check_balance(graph: Graph, diagnostics: Diagnostics) -> None:
    """Reports a balance that reads each task's gradient if tasks share no weights, or gradients are sparse."""
    balance = graph.spec.balance
    reads = balance.settings.gradients if balance.settings is not None else "none"
    if reads == "none" or len(graph.spec.tasks) == 1:
        return
    tasks = trained_by(graph)
    holders = {name for name, node in graph.nodes.items() if _may_hold_weights(graph, node)}
    shared = {name for name in holders if len(tasks[name]) > 1} if reads == "shared" else last_nodes(graph, holders)
    if not shared:
        diagnostics.error(
            "AS738", f"balance `{balance.kind}` reads each task's gradient on weights that tasks share, but these "
            "tasks share none", balance.place, help="let tasks share a table or an expert, or use `balance: sum`",
        )  # fmt: skip
    for block in graph.spec.inputs.values():
        if (
            NodeName("inputs", block.name) in shared
            and block.settings is not None
            and block.settings.sparse_gradients()
        ):
            diagnostics.error(
                "AS738", f"balance `{balance.kind}` reads dense gradients, but those of input `{block.name}` are "
                "sparse", block.span("sparse_grad", key=True), help="remove `sparse_grad`, or use `balance: sum`",
            )  # fmt: skip


def _may_hold_weights(graph: Graph, node: Node) -> bool:
    """Whether a node may have weights, judging by its settings: dense inputs, fusions and tasks have none."""
    if node.category in {"fusion", "task"}:
        return False
    if not isinstance(node.block, Block) or node.block.settings is None:
        return True
    if node.category == "input":
        inputs = {name: block.settings for name, block in graph.spec.inputs.items()}
        column = node.block.settings.column(inputs)
        return column.dtype != "float" and column.table is None
    return True
