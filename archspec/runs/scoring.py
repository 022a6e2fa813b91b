"""Scores of tables of any size: one row for each row, in order, in constant memory."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from archspec.data.batches import ROWS_AT_ONCE, encoded_chunks
from archspec.data.faults import Faults
from archspec.data.requirements import ColumnRequirement
from archspec.data.rows import as_batch
from archspec.data.values import decoded, plain
from archspec.data.writing import check_writable, table_writer
from archspec.diagnostics import Diagnostic, Diagnostics
from archspec.files import whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import IO

    from numpy.typing import NDArray
    from torch import Tensor

    from archspec.data.batches import EncodedChunk
    from archspec.data.tables import Table
    from archspec.data.values import Array
    from archspec.runs.trained import Trained

SKIPPED: Final = "the scores of these rows are null"


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """What a table of scores contains in addition to the scores.

    Args:
        keep: columns of the input that are kept, and their names among the scores.
        gates: whether the weights of each gate are added, as a list column of the gate's canonical name.
        batch: rows per forward pass.
        names: the outputs; empty: all.
    """

    keep: Mapping[str, str]
    gates: bool = False
    batch: int = ROWS_AT_ONCE
    names: tuple[str, ...] = ()


class Scores:
    """The scores of tables as record batches, in the order of the rows. `rows` and `unscored` count those done so far.

    A row with a value that does not fit has null scores. Each score is float32, a probability or a value; a multiclass
    task's is a list of the probabilities of its classes. `progress` is called after each chunk with the stage and the
    number of rows that are done.

    Raises:
        SpecError: AS803: two columns would have the same name.
    """

    def __init__(
        self, run: Trained, tables: tuple[Table, ...], options: ScoreOptions, *,
        progress: Callable[[str, int], None] = lambda _, __: None,
    ) -> None:  # fmt: skip
        self.run, self.options, self.progress = run, options, progress
        self.tables = tuple(replace(table, sources=run.encoder.sources) for table in tables)
        self.rows = self.unscored = 0
        self.faults = Faults()
        self._kept = {name: ColumnRequirement(name, "key", "`--keep`") for name in options.keep}
        self._check_names()

    @property
    def lists(self) -> dict[str, int]:
        """Output or gate -> the length of its lists; 0 for a single number."""
        gates = {gate: len(seen) for gate, seen in self.run.graph.seen.items()} if self.options.gates else {}
        names = self.options.names or tuple(self.run.outputs)
        return {**{name: self.run.outputs[name] for name in names}, **gates}

    def schema(self) -> Any:  # noqa: ANN401 - pyarrow comes without types
        """The schema of all batches: kept columns, then scores, then gates; its metadata lists each gate's experts."""
        import pyarrow as pa

        kept = [(self.options.keep[name], kind) for name, kind in self._kept_types().items()]
        scores = [(name, pa.list_(pa.float32(), n) if n else pa.float32()) for name, n in self.lists.items()]
        experts = {
            gate: ",".join(expert.node for expert in seen)
            for gate, seen in self.run.graph.seen.items()
            if self.options.gates
        }
        return pa.schema([*kept, *scores], metadata={**experts, "archspec": self.run.graph.spec.digest})

    def batches(self, schema: Any) -> Iterator[Any]:  # noqa: ANN401 - pyarrow comes without types
        """The record batches.

        Raises:
            SpecError: files that cannot be read, columns that are missing or of a wrong type.
        """
        import pyarrow as pa

        for encoded, found in self._chunks():
            kept = [
                _cast(encoded.chunk.columns[name], schema.field(shown).type)
                for name, shown in self.options.keep.items()
            ]
            scores = [_array(found[name], encoded.good, count) for name, count in self.lists.items()]
            yield pa.record_batch([*kept, *scores], schema=schema)

    def tensors(self) -> dict[str, Tensor]:
        """The scores of all rows by name, `[N]` or `[N, width]`; NaN in rows that do not fit."""
        parts: dict[str, list[Tensor]] = {
            name: [torch.empty(0, width) if width else torch.empty(0)] for name, width in self.lists.items()
        }
        for encoded, found in self._chunks():
            for name, width in self.lists.items():
                full = np.full((encoded.chunk.rows, width) if width else encoded.chunk.rows, np.nan, dtype=np.float32)
                full[encoded.good] = found[name]
                parts[name].append(torch.from_numpy(full))
        return {name: torch.cat(tensors) for name, tensors in parts.items()}

    def warnings(self) -> tuple[Diagnostic, ...]:
        """A warning for each kind of value that did not fit."""
        return self.faults.report("skip", skipped=SKIPPED)

    def _chunks(self) -> Iterator[tuple[EncodedChunk, dict[str, NDArray[np.float32]]]]:
        """All rows, chunk by chunk, with the scores of those that fit."""
        for encoded in encoded_chunks(self.tables, self.run.encoder.of_inputs(), self._kept):
            self.faults.add(encoded.faults)
            self.rows += encoded.chunk.rows
            self.unscored += int((~encoded.good).sum())
            yield encoded, self._scored(encoded)
            self.progress("scoring", self.rows)

    def _scored(self, encoded: EncodedChunk) -> dict[str, NDArray[np.float32]]:
        """The scores of the rows that fit, in order, `[n]` or `[n, width]`."""
        rows = np.flatnonzero(encoded.good)
        parts: list[dict[str, Tensor]] = []
        for start in range(0, max(len(rows), 1), self.options.batch):
            batch = as_batch(encoded.columns, rows[start : start + self.options.batch])
            gates = self.run.model.gate_weights(batch) if self.options.gates else {}
            parts.append({**self.run.model.predict(batch), **gates})
        return {name: torch.cat([part[name] for part in parts]).float().numpy() for name in parts[0]}

    def _kept_types(self) -> dict[str, Any]:
        """The type of each kept column: one for the values of all files, or texts."""
        import pyarrow as pa

        found: dict[str, list[Any]] = {name: [] for name in self._kept}
        for table in self.tables:
            for chunk in table.chunks(self._kept):
                for name, array in chunk.columns.items():
                    found[name].append(plain(array.type))
                break  # all chunks of a file have the same types
        return {name: _common(types) if types else pa.null() for name, types in found.items()}

    def _check_names(self) -> None:
        problems = Diagnostics()
        taken = set(self.lists)
        for column, shown in self.options.keep.items():
            if shown in taken:
                what = "a score" if shown in self.lists else "another column"
                problems.error(
                    "AS803", f"the kept column `{shown}` and {what} would have the same name",
                    help=f"`--keep {column}=label_{shown}` keeps it under another name",
                )  # fmt: skip
            taken.add(shown)
        problems.raise_errors(status=2)


def write_scores(scores: Scores, output: str, stream: IO[bytes] | None = None) -> None:
    """Writes scores to a file, completely or not at all, or as CSV to a stream.

    Raises:
        SpecError: the rows cannot be read, or the file cannot be written.
    """
    if stream is None:
        check_writable(output)
    with ExitStack() as stack:
        schema = scores.schema()
        batches = scores.batches(schema)
        first = next(batches, None)  # a file that cannot be read is refused before anything is written
        sink = stack.enter_context(whole(output)) if stream is None else stream
        write = stack.enter_context(table_writer(sink, output if stream is None else ".csv", schema))
        for batch in chain(() if first is None else (first,), batches):
            write(batch)


def _array(values: NDArray[np.float32], good: NDArray[np.bool_], width: int) -> Array:
    """Values of the rows that fit, with null in all others."""
    import pyarrow as pa

    full = np.zeros((len(good), width) if width else len(good), dtype=np.float32)
    full[good] = values
    if not width:
        return pa.array(full, mask=~good)
    return pa.FixedSizeListArray.from_arrays(pa.array(full.reshape(-1)), width, mask=pa.array(~good))


def _common(types: list[Any]) -> Any:  # noqa: ANN401 - pyarrow comes without types
    """A type that can hold the values of all types; texts if there is no other."""
    import pyarrow as pa

    try:
        schemas = [pa.schema([("column", kind)]) for kind in types]
        return pa.unify_schemas(schemas, promote_options="permissive").field("column").type
    except pa.ArrowException:
        return pa.string()


def _cast(array: Array, kind: Any) -> Array:  # noqa: ANN401 - pyarrow comes without types
    import pyarrow.compute as pc

    array = decoded(array)
    return array if array.type == kind else pc.cast(array, kind)
