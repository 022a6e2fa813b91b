"""Pretrained vectors in files: checked before anything is written, and matched through the run's vocabulary."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from archspec.data.encodings import Ids, Vocabulary
from archspec.data.tables import open_tables
from archspec.data.values import is_list, is_scalar, missing, texts
from archspec.diagnostics import Diagnostics, suggest, unusable
from archspec.files import whole
from archspec.kinds.inputs import Table as TableKind

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from archspec.data.encodings import Encoding
    from archspec.data.tables import Chunk, Table
    from archspec.data.values import Array
    from archspec.graph.graph import Graph

ID, VECTOR = "id", "vector"
"""The columns of a file of vectors."""
_COLUMNS: Final = (ID, VECTOR)


@dataclass(frozen=True, slots=True)
class VectorFile:
    """The file with the vectors of one table.

    Args:
        name: the input that owns the table.
        column: the column with its ids, whose encoding identifies rows of the table.
        width: the table's `dim`.
        rows: the table's `vocab`.
        frozen: whether the table is not trained.
        tables: the file; or the files, if it is a folder of parts.
    """

    name: str
    column: str
    width: int
    rows: int
    frozen: bool
    tables: tuple[Table, ...]

    def check(self) -> None:
        """Checks every vector.

        Raises:
            SpecError: columns are missing or of another type, vectors of another width or with values that are not
                finite numbers, ids that are missing or repeated. The message names the first such row.
        """
        import pyarrow as pa

        found, chunks = [], []
        for table in self.tables:
            _check_columns(table)
            for chunk in table.chunks(_COLUMNS):
                self._check_chunk(chunk)
                found.append(texts(chunk.columns[ID]))
                chunks.append(replace(chunk, columns={}))
        ids = pa.chunked_array(found, pa.string()).combine_chunks().dictionary_encode()
        order = np.asarray(ids.indices)
        _, first, counts = np.unique(order, return_index=True, return_counts=True)
        if not len(order):
            self._refuse(self.tables[0].file, "has no vectors", "give a file with rows")
        if counts.max() > 1:
            place = int(first[counts > 1].min())
            again = int(np.flatnonzero(order == order[place])[1])
            (file, row), (other, second) = _row_of(chunks, place), _row_of(chunks, again)
            rows = (
                f"rows {row:,} and {second:,}" if file == other else f"row {row:,} and in row {second:,} of `{other}`"
            )
            self._refuse(
                file, f"has two vectors for id `{ids.dictionary[int(order[place])]}`, in {rows}", "keep one of them"
            )

    def matched(self, encoding: Encoding) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The ids `[N]` of the table that have a vector, and their vectors `[N, width]`.

        Raises:
            SpecError: the column's encoding does not give each value its own id, or no vector belongs to a known value.
        """
        if not isinstance(encoding, Ids | Vocabulary):
            unusable(
                "AS762", f"`--table {self.name}=...`: column `{self.column}` is encoded as {encoding.text()}, so that "
                "its values do not have their own rows",
                help=f"use `--encode {self.column}=vocabulary`, or leave `--table` out",
            )  # fmt: skip
        ids, vectors = [np.empty(0, dtype=np.int64)], [np.empty((0, self.width), dtype=np.float32)]
        for table in self.tables:
            for chunk in table.chunks(_COLUMNS):
                found, fits = encoding.encode(chunk.columns[ID])
                known = fits & (found > 0) if isinstance(encoding, Vocabulary) else fits
                ids.append(found[known])
                vectors.append(_values(chunk.columns[VECTOR], self.width)[known])
        if not sum(map(len, ids)):
            some = ", ".join(f"`{value}`" for value in next(self.tables[0].chunks([ID])).columns[ID][:3].to_pylist())
            unusable(
                "AS763", f"`{self.tables[0].file}`: none of its ids, such as {some}, is in column `{self.column}`: "
                f"{encoding.text()}", help="write ids in the same form in both files",
            )  # fmt: skip
        places, rows = np.concatenate(ids), np.concatenate(vectors)
        found, counts = np.unique(places, return_counts=True)
        if len(found) < len(places):
            self._refuse(
                self.tables[0].file, f"spells one id in two ways: {found[counts > 1][0]} in column `{self.column}`",
                "keep one of them",
            )  # fmt: skip
        return places, rows

    def _check_chunk(self, chunk: Chunk) -> None:
        ids, vectors = chunk.columns[ID], chunk.columns[VECTOR]
        if not (is_list(vectors) and _of_numbers(vectors.type.value_type)):
            self._refuse(
                chunk.file, f"column `{VECTOR}` has the type {vectors.type}", "write a list of numbers in each row"
            )
        if not is_scalar(ids.type):
            self._refuse(chunk.file, f"column `{ID}` has the type {ids.type}", "write a number or a text in each row")
        wrong = {
            "has no id": missing(ids),
            f"does not have `dim` = {self.width} values": _widths(vectors) != self.width,
        }
        if not any(rows.any() for rows in wrong.values()):
            wrong = {"has a value that is not a finite number": ~np.isfinite(_values(vectors, self.width)).all(1)}
        for words, rows in wrong.items():
            if rows.any():
                row = int(np.flatnonzero(rows)[0])
                count = int(rows.sum()) - 1
                more = f"; {count:,} more row{'s' * (count > 1)} like this" if count else ""
                self._refuse(
                    chunk.file, f"row {chunk.first + row + 1:,}, of id `{ids[row].as_py()}`, {words}{more}",
                    f"leave such rows out, or change `dim` of input `{self.name}`",
                )  # fmt: skip

    def _refuse(self, file: str, what: str, way_out: str) -> None:
        unusable("AS763", f"`{file}`, the vectors of input `{self.name}`: {what}", help=way_out)


def vector_files(graph: Graph, tables: Mapping[str, str]) -> tuple[VectorFile, ...]:
    """The files of `--table`, opened; their vectors are not checked yet.

    Args:
        graph: the graph.
        tables: input -> the file with its table's vectors.

    Raises:
        SpecError: an input does not own a table, or a file cannot be read; reports all of them at once.
    """
    problems = Diagnostics()
    inputs = graph.spec.inputs
    read = {edge.source.name for edge in graph.edges if edge.source.section == "inputs"}
    owners = [
        name
        for name, block in inputs.items()
        if isinstance(block.settings, TableKind) and block.settings.table is None and name in read
    ]
    for name in tables:
        if name not in owners:
            _report(problems, graph, name, owners)
    problems.raise_errors(status=2)
    found = []
    for name, file in tables.items():
        block: Any = inputs[name]
        settings = block.settings
        found.append(
            VectorFile(
                name, block.common.column or name, settings.dim, settings.vocab, not settings.trainable,
                open_tables([file]),
            )
        )  # fmt: skip
    return tuple(found)


def write_vectors(
    path: str | os.PathLike[str], vectors: Mapping[str, tuple[NDArray[np.int64], NDArray[np.float32]]]
) -> None:
    """Writes ids and vectors of tables, by input, as safetensors: `NAME.ids` `[N]` and `NAME.vectors` `[N, dim]`."""
    from safetensors.numpy import save

    arrays: dict[str, NDArray[Any]] = {}
    for name, (ids, rows) in vectors.items():
        arrays |= {f"{name}.ids": ids, f"{name}.vectors": rows}
    with whole(path, parents=True) as file:
        file.write(save(arrays))


def share_line(file: VectorFile, encoding: Encoding, matched: int) -> str:
    """A line that says how many values have a vector."""
    values = len(encoding.values) if isinstance(encoding, Vocabulary) else file.rows
    left = (
        ""
        if matched >= values
        else f"; the others start at random{', and stay so because the table is frozen' * file.frozen}"
    )
    return f"table `{file.name}`: vectors for {matched:,} of {values:,} values ({matched / max(values, 1):.1%}){left}"


def _report(problems: Diagnostics, graph: Graph, name: str, owners: list[str]) -> None:
    """Adds an error for an input that does not own a table."""
    block = graph.spec.inputs.get(name)
    near = suggest(name, owners)
    known = f"did you mean `{near}`?" if near else f"inputs with a table: {', '.join(owners) or 'none'}"
    if block is None:
        problems.error("AS762", f"`--table {name}=...`: the spec has no input `{name}`", help=known)
    elif isinstance(block.settings, TableKind) and block.settings.table is not None:
        owner = block.settings.table
        problems.error(
            "AS762", f"`--table {name}=...`: input `{name}` reads the table of `{owner}`",
            help=f"write `--table {owner}=...`",
        )  # fmt: skip
    else:
        why = "no block reads it" if isinstance(block.settings, TableKind) else f"`kind: {block.kind}` has no table"
        problems.error("AS762", f"`--table {name}=...`: input `{name}` has no table: {why}", help=known)


def _check_columns(table: Table) -> None:
    """Raises SpecError if the file lacks a column of vectors."""
    for column in _COLUMNS:
        if column not in table.columns:
            unusable(
                "AS763", f"`{table.file}` has no column `{column}`: a file of vectors has the columns `{ID}` and "
                f"`{VECTOR}`", help=f"columns here: {', '.join(table.columns[:12])}",
            )  # fmt: skip


def _row_of(chunks: Sequence[Chunk], place: int) -> tuple[str, int]:
    """The file of a row among those of all chunks, and its number there, from 1."""
    number = 0
    while place >= chunks[number].rows:
        place -= chunks[number].rows
        number += 1
    return chunks[number].file, chunks[number].first + place + 1


def _of_numbers(kind: Any) -> bool:  # noqa: ANN401 - pyarrow comes without types
    import pyarrow as pa

    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _widths(vectors: Array) -> NDArray[np.int64]:
    """The length of each list; -1 for a missing one."""
    import pyarrow.compute as pc

    found: NDArray[np.int64] = pc.fill_null(pc.list_value_length(vectors), -1).to_numpy(zero_copy_only=False)
    return found


def _values(vectors: Array, width: int) -> NDArray[np.float32]:
    """Lists of this length as an array `[N, width]`; missing items are NaN."""
    import pyarrow as pa
    import pyarrow.compute as pc

    flat = pc.cast(pc.list_flatten(vectors), pa.float32(), safe=False)
    found: NDArray[np.float32] = pc.fill_null(flat, float("nan")).to_numpy(zero_copy_only=False)
    return found.reshape(len(vectors), width)
