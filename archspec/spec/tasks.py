"""Tasks and their losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from archspec.contract import Task, TaskKind
from archspec.contract.limits import MOST_LOSSES
from archspec.contract.settings import keys_of
from archspec.spec.entries import EntryReader
from archspec.spec.problems import validated
from archspec.spec.spec import Block, TaskBlock
from archspec.spec.tree import Entry, Mapping, Node, Scalar, Sequence, as_mapping

if TYPE_CHECKING:
    from archspec.contract import LossKind
    from archspec.diagnostics import Span


class _Wrong(TaskKind):
    """Replaces the kind of a task that is wrong and was reported, so that no other check complains about it."""

    output: ClassVar[Literal["binary", "regression", "multiclass"]] = "binary"


class TaskReader(EntryReader):
    """Reads tasks."""

    def task(self, entry: Entry) -> TaskBlock:
        """One task with its losses."""
        what, node = f"task `{entry.key}`", as_mapping(entry.node)
        if node is None:
            self.error("AS109", f"{what} must be a mapping", entry.node.span, notes=entry.node.provenance,
                       help=f"write `{entry.key}: {{kind: binary}}`")  # fmt: skip
            return _wrong(entry, entry.node)
        node = self.blocks.near("kind", "task", self.blocks.split_colons(node, what), what)
        kind = self.blocks.kind("task", node, what, entry.key_span)
        cls = self.registry.find("task", kind)
        own = keys_of(cls) if cls else ()
        if cls:
            node = self.blocks.known_keys(node, ("kind", *keys_of(Task), "loss", *own), what, "task")
        node = self.blocks.without_nulls(node, what)
        task = validated(Task, node.only(*keys_of(Task)), what, entry.key_span, self.diagnostics)
        settings: Any = validated(cls, node.only(*own), what, entry.key_span, self.diagnostics) if cls else None
        if task is None or settings is None:
            return _wrong(entry, node)
        block = Block("task", entry.key, kind, task, settings, node, entry.key_span)
        if not self.blocks.answers(block, what):
            return _wrong(entry, node)
        task = task.model_copy(update={"label": task.label or entry.key})
        return TaskBlock(
            entry.key, kind, task, settings, self.losses(entry, kind, settings, node), node, entry.key_span
        )

    def losses(self, entry: Entry, kind: str, settings: TaskKind, node: Mapping) -> tuple[Block, ...]:
        """The losses of a task: those it names, or its kind's default."""
        what = f"task `{entry.key}`"
        given = node.get("loss") or _written(settings.default_loss(), entry.key_span)
        nodes = given.items if isinstance(given, Sequence) else (given,)
        if not nodes:
            self.error("AS109", f"`loss` of {what} is empty", given.span, notes=given.provenance,
                       help=_loss_help(settings))  # fmt: skip
        if len(nodes) > MOST_LOSSES:
            message = f"{what} has {len(nodes):,} losses; a task may have at most {MOST_LOSSES}"
            self.error("AS109", message, given.span, notes=given.provenance, help="remove some")
        return tuple(self.loss(entry.key, kind, settings, item) for item in nodes[:MOST_LOSSES])

    def loss(self, task: str, kind: str, settings: TaskKind, node: Node) -> Block:
        """One loss of a task; reports a loss that is not for tasks of this kind."""
        block = self.blocks.named("loss", task, node, f"a loss of task `{task}`", node.span)
        loss: LossKind | None = block.settings
        fits = {kind, settings.output} if loss is not None and loss.reads == "scores" else {kind}
        if loss is not None and loss.tasks and fits.isdisjoint(loss.tasks):
            self.error("AS109", f"loss `{block.kind}` is for {', '.join(loss.tasks)} tasks; `{task}` is {kind}",
                       node.span, notes=node.provenance, help=_loss_help(settings))  # fmt: skip
        elif loss is not None and loss.outputs not in {None, settings.outputs()}:
            message = f"loss `{block.kind}` is for tasks with {loss.outputs} outputs; `{task}` has {settings.outputs()}"
            self.error("AS109", message, node.span, notes=node.provenance, help=_loss_help(settings))
        return block


def _wrong(entry: Entry, node: Node) -> TaskBlock:
    """A task that could not be read."""
    return TaskBlock(entry.key, "binary", Task(label=entry.key), _Wrong(), (), node, entry.key_span)


def _written(loss: Any, place: Span) -> Node:  # noqa: ANN401 - a mapping, or a value in it
    """A loss as the tree of a spec that writes it."""
    if not hasattr(loss, "items"):
        return Scalar(loss, place)
    return Mapping(tuple(Entry(key, place, _written(value, place)) for key, value in loss.items()), place)


def _loss_help(settings: TaskKind) -> str:
    """The help that shows the loss of a task's kind."""
    loss = settings.default_loss()
    words = ", ".join(f"{key}: {value}" for key, value in loss.items())
    return f"write `loss: {loss['kind'] if len(loss) == 1 else '{' + words + '}'}`"
