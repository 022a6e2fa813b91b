"""Loads trained models from the folder of a run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from archspec import plugins as plugin_door
from archspec.compiler.compile import build, instantiate
from archspec.compiler.inference import rounded_copy
from archspec.data.batches import ROWS_AT_ONCE, Batch, OrderedBatches, encoded_chunks, table_batches
from archspec.data.extend import digests
from archspec.data.faults import Faults
from archspec.data.memory import tables_of
from archspec.data.prepare import VALIDATION
from archspec.data.requirements import column_requirements, group_column
from archspec.data.rows import as_batch
from archspec.diagnostics import unusable
from archspec.files import is_file, is_folder, is_there
from archspec.graph.only import only
from archspec.nn.measure import largest_difference, random_batch
from archspec.runs.evaluation import evaluate
from archspec.runs.files import HISTORY, LAST, RUN, WEIGHTS
from archspec.runs.folder import RunFolder
from archspec.runs.scoring import ScoreOptions, Scores

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from torch import Tensor

    from archspec.compiler.compile import Built, Precision
    from archspec.contract import Registry
    from archspec.data.encoder import Encoder
    from archspec.data.faults import Bad
    from archspec.data.memory import Data
    from archspec.graph.graph import Graph
    from archspec.nn.module import Compiled
    from archspec.runs.evaluation import Evaluation


@dataclass(frozen=True, slots=True)
class Trained:
    """A loaded run: the model in evaluation mode, its graph, and the encoder that turns tables into its batches."""

    folder: Path
    graph: Graph
    model: Compiled
    encoder: Encoder
    outputs: Mapping[str, int]
    """What `model.predict` returns: name -> the number of classes, 0 for a single number."""
    groups: str | None = None
    """The batch's column whose values group rows in metrics."""
    top: int = 10
    """k of the metrics within these groups."""
    difference: float | None = None
    """In low precision: the largest difference of a logit from float32, on random input."""

    def validation(self) -> OrderedBatches:
        """The rows that the run was validated on, as batches.

        Raises:
            SpecError: the run's `rows/` were deleted or changed.
        """
        if not is_file(self.folder / VALIDATION):
            unusable("AS708", f"the run in `{self.folder}` has no `rows/` any more", help="give files with `--data`")
        return OrderedBatches(RunFolder(self.folder).rows(VALIDATION), ROWS_AT_ONCE)

    def batches(self, files: Data, *, header: tuple[str, ...] | None = None, bad: Bad = "stop") -> Iterator[Batch]:
        """The rows of files as batches for the model, without labels; see `archspec.data.batches.table_batches`.

        A batch is a dict of tensors; `batch.file` and `batch.rows` identify its rows, counting from 0.
        """
        return table_batches(files, self.encoder.of_inputs(), header=header, bad=bad)

    def encode(self, data: Data, *, bad: Bad = "stop") -> Batch:
        """The rows of a table in memory, such as a request, as one batch for the model; they need no labels.

        Args:
            data: a dict of columns (lists, arrays or tensors), an Arrow table, or a data frame; or files.
            bad: `stop` raises an error for rows with a value that does not fit, `skip` skips them; the batch's `rows`
                are the remaining ones.

        Raises:
            SpecError: the data is not a table, columns are missing or of a wrong type, values do not fit.
        """
        parts = list(encoded_chunks(tables_of(data), self.encoder.of_inputs()))
        if not parts:
            unusable("AS801", "there are no rows to encode", help="pass at least one row")
        faults = Faults()
        for part in parts:
            faults.add(part.faults)
        faults.report(bad, scoring=True)
        kept = [np.flatnonzero(part.good) for part in parts]
        batches = [as_batch(part.columns, rows) for part, rows in zip(parts, kept, strict=True)]
        columns = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
        rows = np.concatenate([part.chunk.first + rows for part, rows in zip(parts, kept, strict=True)])
        return Batch(columns, parts[0].chunk.file, rows)

    def predict(
        self, data: Data, *, gates: bool = False, batch: int = ROWS_AT_ONCE, header: tuple[str, ...] | None = None
    ) -> dict[str, Tensor]:
        """Scores by name for each row of files or of a table in memory, as `model.predict` returns them.

        The scores are `[N]` or, for a multiclass task, `[N, classes]`, in the order of the rows; NaN in rows with a
        value that does not fit. Only the scores of all rows are in memory; `archspec predict` writes them to a file.

        Args:
            data: a path, a pattern, a folder of parts, or several of them; or a table in memory, as for `encode`.
            gates: whether to add the weights of each gate by its canonical name, `[N, experts seen]`.
            batch: rows per forward pass.
            header: column names of CSV files without a header line.

        Raises:
            SpecError: the data cannot be read, or columns are missing or of a wrong type.
        """
        scores = Scores(self, tables_of(data, header), ScoreOptions({}, gates, batch))
        return scores.tensors()

    def evaluate(
        self, data: Data, *, by: str | None = None, header: tuple[str, ...] | None = None, bad: Bad = "stop"
    ) -> Evaluation:
        """The metrics on files or on a table in memory, with labels; see `archspec.runs.evaluation.evaluate`."""
        return evaluate(self, tables_of(data, header), by=by, bad=bad)


def load_run(
    folder: str | os.PathLike[str],
    plugins: Iterable[plugin_door.Plugin] = (),
    *,
    tasks: Sequence[str] = (),
    precision: Precision = "fp32",
) -> Trained:
    """Loads the best weights of a run, and the encoder for its data.

    Args:
        folder: a folder of `archspec train`, or any file in it.
        plugins: the plugins that the spec needs; the folder names them, but never enables any.
        tasks: the outputs to keep (tasks, towers, fusions), with all that they need; empty: everything. The model then
            has fewer weights, and reads fewer columns.
        precision: `bf16` loads the model as `archspec.for_inference` makes it, with products in bfloat16; `difference`
            is what this changed.

    Raises:
        SpecError: it is not the folder of a run, the run has not saved any weights yet, its spec needs a plugin that
            is not enabled, or one of its files is missing, cut short or edited; or AS812: it has no such output.
    """
    return open_run(folder, plugin_door.load(plugins), tasks, precision)


def open_run(
    folder: str | os.PathLike[str], registry: Registry, tasks: Sequence[str] = (), precision: Precision = "fp32"
) -> Trained:
    """As `load_run`, with the kinds of a registry."""
    path = Path(folder)
    path = path if is_folder(path) else path.parent
    if not any(is_there(path / name) for name in (RUN, WEIGHTS, LAST, HISTORY)):
        unusable(
            "AS708",
            f"`{os.fspath(folder)}` is not the folder of a run",
            help="give a folder that `archspec train` wrote",
        )
    run = RunFolder(path)
    if not any(run.has(name) for name in (WEIGHTS, HISTORY)):
        unusable("AS708", f"the run in `{path}` has no weights yet", help="they are saved after the first epoch")
    graph = run.graph(registry)
    graph = only(graph, tasks) if tasks else graph
    grouped_by = run.arguments.source.grouped_by
    requirements = column_requirements(graph, grouped_by)
    encoder = run.encoder(requirements)
    built = build(graph)
    model = instantiate(built)
    model.vocabularies = digests(graph, encoder.encodings)
    run.load_weights(model, strict=not tasks)
    model.eval()
    model, difference = _rounded(built, model) if precision == "bf16" else (model, None)
    widths = {out.name: out.value.shape[1:] for out in built.lowered.predict.outputs}
    outputs = {name: int(shape[0]) if shape else 0 for name, shape in widths.items()}
    return Trained(
        path,
        graph,
        model,
        encoder,
        outputs,
        group_column(requirements, grouped_by),
        run.arguments.recipe.top,
        difference,
    )


def _rounded(built: Built, model: Compiled) -> tuple[Compiled, float]:
    """A model with products in bfloat16, and the largest difference of a logit on random input."""
    rounded = rounded_copy(built.graph, model)
    return rounded, largest_difference(model, rounded, random_batch(built.lowered.of_batch(), 256))
