"""Tasks and their losses."""

from __future__ import annotations

from archspec.contract.limits import MOST_LOSSES
from archspec.contract.settings import keys_of
from archspec.spec.entries import EntryReader
from archspec.spec.problems import validated
from archspec.spec.spec import Block, Task, TaskBlock
from archspec.spec.tree import Entry, Mapping, Node, Scalar, Sequence, as_mapping, span_at

LOSS = {"binary": "logistic", "regression": "mse", "multiclass": "cross_entropy"}
"""Kind of a task -> its default loss."""


class TaskReader(EntryReader):
    """Reads tasks."""

    def task(self, entry: Entry) -> TaskBlock:
        """One task with its losses."""
        what, node = f"task `{entry.key}`", as_mapping(entry.node)
        if node is None:
            self.error("AS109", f"{what} must be a mapping", entry.node.span, notes=entry.node.provenance,
                       help=f"write `{entry.key}: {{kind: binary}}`")  # fmt: skip
            return TaskBlock(entry.key, Task(label=entry.key), (), entry.node, entry.key_span)
        node = self.blocks.split_colons(node, what)
        node = self.blocks.without_nulls(self.blocks.known_keys(node, (*keys_of(Task), "loss"), what), what)
        task = validated(Task, node.without("loss"), what, entry.key_span, self.diagnostics)
        if task is None:
            return TaskBlock(entry.key, Task(label=entry.key), (), node, entry.key_span)
        self.classes(task, node, what, entry)
        given = node.get("loss") or Scalar(LOSS[task.kind], entry.key_span)
        nodes = given.items if isinstance(given, Sequence) else (given,)
        if not nodes:
            self.error(
                "AS109",
                f"`loss` of {what} is empty",
                given.span,
                notes=given.provenance,
                help=f"write `loss: {LOSS[task.kind]}`",
            )
        if len(nodes) > MOST_LOSSES:
            message = f"{what} has {len(nodes):,} losses; a task has {MOST_LOSSES} at most"
            self.error("AS109", message, given.span, notes=given.provenance, help="drop some")
        losses = tuple(self.loss(entry.key, task.kind, item) for item in nodes[:MOST_LOSSES])
        return TaskBlock(
            entry.key, task.model_copy(update={"label": task.label or entry.key}), losses, node, entry.key_span
        )

    def classes(self, task: Task, node: Mapping, what: str, entry: Entry) -> None:
        """`classes` and `kind: multiclass` go together."""
        if task.kind == "multiclass" and task.classes is None:
            self.error(
                "AS110",
                f"{what} needs `classes`",
                entry.key_span,
                notes=node.provenance,
                help="add how many: `classes: N`",
            )
        if task.kind != "multiclass" and task.classes is not None:
            self.error("AS109", f"`classes` of {what} is for `kind: multiclass`", span_at(node, ("classes",), key=True),
                       notes=node.provenance, help="drop `classes`, or write `kind: multiclass`")  # fmt: skip

    def loss(self, task: str, kind: str, node: Node) -> Block:
        """One loss of a task, fit for the task's kind."""
        block = self.blocks.named("loss", task, node, f"a loss of task `{task}`", node.span)
        fits: tuple[str, ...] = block.settings.tasks if block.settings is not None else ()
        if fits and kind not in fits:
            self.error("AS109", f"loss `{block.kind}` is for {', '.join(fits)} tasks; `{task}` is {kind}", node.span,
                       notes=node.provenance, help=f"write `loss: {LOSS[kind]}`")  # fmt: skip
        return block
