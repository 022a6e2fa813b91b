"""Loads trained models from the folder of a run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from archspec import plugins as plugin_door
from archspec.compiler.compile import compile as compile_spec
from archspec.data.batches import OrderedBatches, table_batches
from archspec.data.prepare import VALIDATION
from archspec.data.requirements import column_requirements
from archspec.diagnostics import unusable
from archspec.files import is_file, is_folder, is_there
from archspec.runs.files import HISTORY, LAST, RUN, WEIGHTS
from archspec.runs.folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from archspec.data.batches import Batch
    from archspec.data.encoder import Encoder
    from archspec.data.faults import Bad
    from archspec.data.parts import Name
    from archspec.graph.graph import Graph
    from archspec.nn.module import Compiled

ROWS_AT_ONCE: Final = 8192
"""Rows of a batch for inference."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A loaded run: the model in evaluation mode, its graph, and the encoder that turns tables into its batches."""

    folder: Path
    graph: Graph
    model: Compiled
    encoder: Encoder

    def validation(self) -> OrderedBatches:
        """The rows that the run was validated on, as batches.

        Raises:
            SpecError: the run's `rows/` were deleted or changed.
        """
        if not is_file(self.folder / VALIDATION):
            unusable("AS708", f"the run in `{self.folder}` has lost its `rows/`", help="give files with `--data`")
        return OrderedBatches(RunFolder(self.folder).rows(VALIDATION), ROWS_AT_ONCE)

    def batches(
        self, files: Name | Iterable[Name], *, header: tuple[str, ...] | None = None, bad: Bad = "stop"
    ) -> Iterator[Batch]:
        """The rows of files as batches for the model, without labels; see `archspec.data.batches.table_batches`.

        A batch is a dict of tensors; `batch.file` and `batch.rows` identify its rows, counting from 0.
        """
        return table_batches(files, self.encoder.of_inputs(), header=header, bad=bad)


def load_run(folder: str | os.PathLike[str], plugins: Iterable[plugin_door.Plugin] = ()) -> Trained:
    """Loads the best weights of a run, and the encoder for its data.

    Args:
        folder: a folder of `archspec train`, or any file in it.
        plugins: the plugins that the spec needs; the folder names them, but never enables any.

    Raises:
        SpecError: it is not the folder of a run, or the run has not saved any weights yet, or its spec needs a plugin;
            or one of its files is missing, cut or edited.
    """
    path = Path(folder)
    path = path if is_folder(path) else path.parent
    if not any(is_there(path / name) for name in (RUN, WEIGHTS, LAST, HISTORY)):
        unusable("AS708", f"`{os.fspath(folder)}` is not a run", help="give a folder that `archspec train` wrote")
    run = RunFolder(path)
    if not any(run.has(name) for name in (WEIGHTS, HISTORY)):
        unusable("AS708", f"the run in `{path}` has kept no weights yet", help="they come with the first epoch")
    graph = run.graph(plugin_door.load(plugins))
    encoder = run.encoder(column_requirements(graph, run.arguments.source.grouped_by))
    model = compile_spec(graph.spec)
    run.load_weights(model)
    model.eval()
    return Trained(path, graph, model, encoder)
