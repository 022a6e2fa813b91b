"""The results of a run: metrics of the weights that it saved, over all validation rows and by value of a column."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from math import isfinite, nan
from typing import TYPE_CHECKING, Any

from torch import distributed

from archspec.data.batches import process
from archspec.data.memory import tables_of
from archspec.program.columns import numbered
from archspec.runs.evaluation import Evaluator, Measured, evaluate
from archspec.runs.trained import open_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

    from archspec.data.prepare import Source
    from archspec.graph.graph import Graph
    from archspec.lightning.module import MultiTaskModule
    from archspec.runs.folder import RunFolder
    from archspec.runs.training import Progress


@dataclass(frozen=True, slots=True)
class Results:
    """The results of a run: `best` has the metrics of the epoch whose weights were saved, with `epoch` and `step`."""

    best: dict[str, float]
    history: dict[str, list[tuple[int, float]]]
    train: int
    validation: int
    skipped: int
    reason: str = ""
    """Why the weights of this epoch were saved."""
    metrics: tuple[str, ...] = ()
    """All metrics, including those without a value, such as an AUC if all rows have one class."""
    by: str | None = None
    """The column by whose values validation rows were measured, too."""
    groups: Mapping[str | None, Measured] = field(default_factory=dict)
    """Value of this column -> the metrics over its rows; None: rows without a value."""
    test: Measured | None = None
    """The metrics of the saved weights over the test rows, if there are any."""

    def measured(self) -> dict[str, float | None]:
        """`best`, with None for each metric that has no value or is not a number."""
        names = dict.fromkeys((*(name for name in self.best if name not in self.metrics), *self.metrics))
        values = {name: self.best.get(name, nan) for name in names}
        return {name: value if isfinite(value) else None for name, value in values.items()}

    def whole(self) -> Measured:
        """The metrics over all validation rows, with the names that those of groups have."""
        metrics = {name.removeprefix("validation/"): value for name, value in self.measured().items()}
        return Measured(self.validation, metrics)

    def written(self) -> dict[str, Any]:
        """The contents of `results.json`."""
        left_out = {"history", "metrics", "by", "groups", *(("test",) if self.test is None else ())}
        found = {name: value for name, value in asdict(self).items() if name not in left_out}
        if self.by is not None:
            groups = [{"value": value, **asdict(measured)} for value, measured in self.groups.items()]
            found |= {"by": self.by, "groups": groups}
        return {**found, "best": self.measured()}


def measured_by_value(
    by: str, graph: Graph, run: RunFolder, module: MultiTaskModule, batches: Iterable[Mapping[str, Tensor]]
) -> dict[str | None, Measured]:
    """The metrics of the saved weights on the validation rows of each value of a column. Collective.

    Args:
        by: the column.
        graph: the graph of the spec.
        run: the folder with the weights and the column's values.
        module: receives the weights.
        batches: this process's share of the validation rows.
    """
    _await_weights()
    model: Any = module.model
    run.load_weights(model)
    work = Evaluator(model.eval(), graph, module.measures.grouped_by, module.measures.top)
    for batch in batches:
        work.add(batch, batch[numbered(by)])
    return work.measured(run.found.values)[1]


def measured_test(
    graph: Graph, source: Source, run: RunFolder, module: MultiTaskModule, progress: Progress
) -> Measured:
    """The metrics of the saved weights on the test rows. Collective."""
    _await_weights()
    trained = open_run(run.path, graph.spec.registry)
    trained.model.to(next(module.parameters()).device)
    tables = tables_of(source.test, source.header)
    found = evaluate(trained, tables, bad=source.bad, progress=progress.rows, share=process())
    progress.warn(found.warnings)
    return found.whole


def _await_weights() -> None:
    """Waits until the first process has saved the weights."""
    if process()[1] > 1:
        distributed.barrier()
