"""The summary of a network as data: what `archspec summary` prints, and the schema of its `--json`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from archspec.compiler.count import count_program, counted_weights, sum_of
from archspec.compiler.lower import lower
from archspec.graph.reach import needed_by, trained_by

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from archspec.compiler.count import Count, CountedWeights
    from archspec.graph.graph import Graph


class Reported(BaseModel):
    """An object of what `--json` prints; the docstrings of its fields are their documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Sizes(Reported):
    """The cost of a part of the network; null if a plugin's module does not report it."""

    parameters: int | None
    """Weights, including frozen tables; statistics such as running means are not counted."""
    flops: int | None
    """FLOPs of one row's forward pass in the plain model; a multiply-add counts as 2."""


class NodeSummary(Sizes):
    """A node of the graph."""

    node: str
    """Its canonical name, such as `level1.experts.shared.0`."""
    category: str
    """`input`, `feature_gate`, `block`, `expert`, `gate`, `tower` or `fusion`."""
    kind: str
    """Its kind, such as `mlp`."""
    like: str | None
    """The expert or block whose weights it uses, by canonical name; null if it has its own."""
    weights_of: list[str]
    """Other nodes whose weights it reads: an input's shared table, an expert that is `like` another."""
    width: int | None
    """Features of its output, or of each of its tokens."""
    tokens: int | None
    """The number of tokens of its output in every row; null if its output is one row of numbers."""
    tasks: list[str]
    """The tasks whose loss reaches it."""


class TaskSummary(Sizes):
    """What a task's score needs, which is the cost of serving this task alone, and what its loss trains.

    Mostly `parameters` = `alone` + `shared` + `untrained`; a loss that reaches beyond the task's score trains more.
    """

    task: str
    """Its name."""
    kind: str
    """Its kind, such as `binary`."""
    alone: int | None
    """Parameters that only this task's loss trains."""
    shared: int | None
    """Parameters that this task's loss trains together with others."""
    untrained: int | None
    """Parameters that its score needs and its loss does not train: behind a detached stream, or in a frozen table."""


class Summary(Reported):
    """A network in numbers."""

    name: str
    """The spec's `name`."""
    about: str
    """The spec's `about`; may be empty."""
    digest: str
    """16 hexadecimal digits that identify the spec's meaning."""
    tasks: list[str]
    """All tasks, in the spec's order."""
    nodes: list[NodeSummary]
    """All nodes except tasks, each after those that it reads."""
    by_task: list[TaskSummary]
    """A row for each task."""
    tables: int
    """Parameters of embedding tables."""
    dense: int | None
    """All other parameters; null if a plugin's module does not report its own."""
    total: Sizes
    """The whole network."""


def summarize(graph: Graph) -> Summary:
    """Counts a checked graph. Raises SpecError like `lower`."""
    program = lower(graph).forward
    counted, found = count_program(graph, program), tuple(counted_weights(graph, program))
    spec, total = graph.spec, counted.total
    tables = sum(weights.parameters or 0 for weights in found if weights.table)
    return Summary(
        name=spec.name,
        about=spec.about,
        digest=spec.digest,
        tasks=list(spec.tasks),
        nodes=_nodes(graph, counted, found),
        by_task=_by_task(graph, counted, found),
        tables=tables,
        dense=None if total.parameters is None else total.parameters - tables,
        total=Sizes(parameters=total.parameters, flops=total.flops),
    )


def _nodes(graph: Graph, counted: Count, found: Iterable[CountedWeights]) -> list[NodeSummary]:
    trained = trained_by(graph)
    lent: dict[str, dict[str, None]] = {name: {} for name in graph.order}
    for weights in found:
        for user in weights.users - {weights.owner}:
            lent[user][weights.owner] = None
    return [
        NodeSummary(
            node=name,
            category=node.category,
            kind=node.kind,
            like=node.like,
            weights_of=list(lent[name]),
            width=graph.widths[name],
            tokens=graph.tokens.get(name),
            parameters=counted.nodes[name].parameters,
            flops=counted.nodes[name].flops,
            tasks=list(trained[name]),
        )
        for name, node in ((name, graph.nodes[name]) for name in graph.order)
        if node.category != "task"
    ]


def _by_task(graph: Graph, counted: Count, found: Collection[CountedWeights]) -> list[TaskSummary]:
    trained = [(weights, frozenset(() if weights.frozen else _trained_by(graph, weights))) for weights in found]
    used: dict[str, set[str]] = {task: set() for task in graph.spec.tasks}
    for name, tasks in needed_by(graph).items():
        for task in tasks:
            used[task].add(name)
    rows = []
    for task, block in graph.spec.tasks.items():
        mine = [(weights, tasks) for weights, tasks in trained if task in tasks]
        needed = [(weights, tasks) for weights, tasks in trained if weights.users & used[task]]
        row = TaskSummary(
            task=task,
            kind=block.kind,
            parameters=_parameters(weights for weights, _ in needed),
            flops=sum_of(*(counted.nodes[name].flops for name in used[task])),
            alone=_parameters(weights for weights, tasks in mine if len(tasks) == 1),
            shared=_parameters(weights for weights, tasks in mine if len(tasks) > 1),
            untrained=_parameters(weights for weights, tasks in needed if task not in tasks),
        )
        rows.append(row)
    return rows


def _trained_by(graph: Graph, weights: CountedWeights) -> Iterator[str]:
    """The tasks whose loss reaches a node that uses these weights."""
    for user in weights.users:
        yield from graph.tasks[user]


def _parameters(found: Iterable[CountedWeights]) -> int | None:
    return sum_of(*(weights.parameters for weights in found))
