"""Which inputs a trained model relies on: the change of its metrics when an input's values are permuted over rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite, nan
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, Final

import torch

from archspec.compiler.compile import build
from archspec.compiler.emit import emit
from archspec.compiler.living import class_of
from archspec.data.batches import ROWS_AT_ONCE
from archspec.diagnostics import Diagnostics, suggest
from archspec.graph.graph import Stream
from archspec.graph.widths import width_of
from archspec.lightning.measures import Measures
from archspec.program import Output
from archspec.program.nodes import NodeName
from archspec.spec.spec import Block
from archspec.train.criterion import MultiTaskLoss

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from torch import Tensor

    from archspec.graph.graph import Graph
    from archspec.nn.module import Compiled
    from archspec.runs.trained import Trained

MEASURED: Final = ("auc", "log_loss", "rmse")
"""The metrics whose change is reported, as far as a task's kind has them."""


@dataclass(frozen=True, slots=True)
class Importance:
    """The change of each metric when one input, or the inputs of one group, are permuted."""

    name: str
    columns: tuple[str, ...]
    """The columns that are permuted, together."""
    changes: Mapping[str, tuple[float | None, float | None]]
    """`<task>/<metric>` -> mean over the repeats of permuted minus unpermuted, and its standard deviation, if any."""


@dataclass(frozen=True, slots=True)
class Importances:
    """What `importances` found, with the metrics of the rows as they are."""

    rows: int
    repeats: int
    metrics: Mapping[str, float | None]
    inputs: tuple[Importance, ...]


@dataclass(frozen=True, slots=True)
class FeatureFactors:
    """The mean factor of each field of a feature gate; with `per: element`, over the field's elements."""

    gate: str
    fields: tuple[str, ...]
    means: tuple[float, ...]
    by: Mapping[str, Mapping[str, tuple[float, ...]]]
    """Domain input -> value of the domain -> the mean factors over its rows."""


def importances(  # noqa: PLR0913 - as the options of the command
    run: Trained,
    batches: Iterable[Mapping[str, Tensor]],
    *,
    names: Sequence[str] = (),
    repeats: int = 3,
    seed: int = 0,
    progress: Callable[[str, int], None] = lambda _, __: None,
) -> Importances:
    """Permutation importance (Breiman, Machine Learning 2001, section 10) of inputs and of the spec's groups.

    The columns of an input are permuted over all rows, so all rows are kept in memory, encoded. An input that shares
    its values with another one, such as a history with the item, may look unimportant because the other one is left:
    permute their group.

    Args:
        run: the run.
        batches: encoded rows with labels.
        names: inputs and groups of the spec; empty: all.
        repeats: permutations of each.
        seed: of the permutations.
        progress: called after each permutation with the stage and the number of rows scored so far.

    Raises:
        SpecError: AS813: the model reads no input or group of a name.
        ValueError: the batches contain no rows.
    """
    units = _units(run.graph)
    _check(run.graph, names, units)
    rows = _joined(batches)
    count = len(next(iter(rows.values()))) if rows else 0
    if not count:
        raise ValueError("no row to permute: the batches hold none")
    criterion = MultiTaskLoss(run.model).eval()
    criterion.check_labels = False
    base = _metrics(run, rows, criterion)
    generator = torch.Generator().manual_seed(seed)
    found: list[Importance] = []
    for name in names or units:
        tries = []
        for _ in range(repeats):
            order = torch.randperm(count, generator=generator)
            permuted = {key: rows[key][order] for key in units[name] if key in rows}
            tries.append(_metrics(run, {**rows, **permuted}, criterion))
            progress("permuting", count * (len(found) * repeats + len(tries)))
        found.append(Importance(name, units[name], {key: _change(key, base, tries) for key in base}))
    return Importances(count, repeats, {k: v if isfinite(v) else None for k, v in base.items()}, tuple(found))


def feature_factors(run: Trained, batches: Iterable[Mapping[str, Tensor]]) -> tuple[FeatureFactors, ...]:
    """The mean factors of every feature gate over rows, and over the rows of each value of each domain input."""
    gates = [name for name in run.graph.order if name.section == "feature_gates"]
    if not gates:
        return ()
    model = _with_factors(run, gates)
    domains = {
        block.common.column or name: (name, block.settings.domain())
        for name, block in run.graph.spec.inputs.items()
        if block.settings.domain() is not None and NodeName("inputs", name) in run.graph.nodes
    }
    sums: dict[tuple[str, str, int], Tensor] = {}
    counts: dict[tuple[str, int], int] = {}
    for batch in batches:
        factors = model.gate_weights(batch)
        chosen = {("", 0): torch.ones(len(next(iter(batch.values()))), dtype=torch.bool)}
        for column, (_, values) in domains.items():
            chosen |= {(column, place): batch[column] == place for place in range(len(values or ()))}
        for (column, place), rows in chosen.items():
            counts[column, place] = counts.get((column, place), 0) + int(rows.sum())
            for gate in gates:
                total = factors[gate][rows].double().sum(0)
                sums[gate, column, place] = sums.get((gate, column, place), torch.zeros_like(total)) + total
    return tuple(_factors(run.graph, gate, domains, sums, counts) for gate in gates)


def _factors(
    graph: Graph,
    gate: NodeName,
    domains: Mapping[str, tuple[str, tuple[str, ...] | None]],
    sums: Mapping[tuple[str, str, int], Tensor],
    counts: Mapping[tuple[str, int], int],
) -> FeatureFactors:
    """The means of a gate's factors by field."""
    fields = list(_fields(graph, gate))
    block = graph.nodes[gate].block
    assert isinstance(block, Block)
    widths = [width if block.common.per == "element" else 1 for _, width in fields]

    def means(column: str, place: int) -> tuple[float, ...]:
        total = sums[gate, column, place] / max(counts[column, place], 1)
        return tuple(float(part.mean()) for part in torch.split(total, widths))

    by = {
        name: {value: means(column, place) for place, value in enumerate(values or ()) if counts[column, place]}
        for column, (name, values) in domains.items()
    }
    return FeatureFactors(gate, tuple(name for name, _ in fields), means("", 0), by)


def _fields(graph: Graph, gate: NodeName) -> Iterator[tuple[str, int]]:
    """Name and width of each field that a feature gate scales."""
    for leaf in graph.streams[gate, "from"].leaves():
        names = [node for node, _ in leaf.nodes()] if isinstance(leaf, Stream) else [leaf]
        width = width_of(graph, Stream("concat", (leaf,))) or 0
        yield " + ".join(names), width


def _with_factors(run: Trained, gates: Sequence[NodeName]) -> Compiled:
    """The run's model, in which the factors of feature gates are outputs beside the weights of gates."""
    lowered = build(run.graph, optimize=False).lowered
    program = lowered.forward
    hinted = {hint: value for value, hint in program.hints.items()}
    values = {op.output.name: op.output for op in program.ops}
    outputs = [Output("gates", gate, values[hinted[f"{gate.name}_factors"]]) for gate in gates]
    forward = replace(program, outputs=(*program.outputs, *outputs))
    cls: Any = class_of(emit(run.graph, replace(lowered, forward=forward)), run.graph.spec)
    model: Compiled = cls()
    model.load_weights(dict(run.model.named_weights()))
    return model.eval()


def _units(graph: Graph) -> dict[str, tuple[str, ...]]:
    """The inputs that the model reads, and the spec's groups of them, with their columns."""
    inputs = graph.spec.inputs
    settings = {name: block.settings for name, block in inputs.items()}
    read = {edge.source for edge in graph.edges}
    found: dict[str, tuple[str, ...]] = {}
    for name, block in inputs.items():
        if NodeName("inputs", name) in read:
            further = (getattr(block.settings, setting) for setting in block.settings.columns(settings))
            found[name] = (block.common.column or name, *(str(key) for key in further if key is not None))
    for group, members in graph.spec.groups.items():
        columns = dict.fromkeys(column for name in members for column in found.get(name, ()))
        if columns:
            found[group] = tuple(columns)
    return found


def _check(graph: Graph, names: Sequence[str], units: Mapping[str, tuple[str, ...]]) -> None:
    problems = Diagnostics()
    for name in names:
        if name not in units:
            near = suggest(name, units)
            problems.error(
                "AS813", f"`{graph.spec.name}` reads no input or group `{name}`",
                help=f"did you mean `{near}`? " * bool(near) + f"it reads {', '.join(units)}",
            )  # fmt: skip
    problems.raise_errors(status=2)


def _joined(batches: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """All rows as one batch."""
    parts = [dict(batch) for batch in batches]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]} if parts else {}


@torch.no_grad()
def _metrics(run: Trained, rows: Mapping[str, Tensor], criterion: MultiTaskLoss) -> dict[str, float]:
    """The reported metrics over rows; NaN for one without a value."""
    measures = Measures(run.graph.spec)
    for start in range(0, len(next(iter(rows.values()))), ROWS_AT_ONCE):
        batch = {name: values[start : start + ROWS_AT_ONCE] for name, values in rows.items()}
        measures.add(run.model(batch), batch, {}, criterion)
    found = measures.found(criterion)
    return {name: float(found.get(name, nan)) for name in measures.names() if name.rpartition("/")[2] in MEASURED}


def _change(
    name: str, base: Mapping[str, float], tries: Sequence[Mapping[str, float]]
) -> tuple[float | None, float | None]:
    """Mean and standard deviation of a metric's change."""
    changes = [each[name] - base[name] for each in tries]
    if not all(isfinite(change) for change in changes):
        return None, None
    return fmean(changes), stdev(changes) if len(changes) > 1 else 0.0
