"""From files to encoded rows: learns encodings, checks every value, and writes the rows."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - a run's file is read as a Source, by its annotations
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from archspec.data.choices import Requests, sources_of, timed
from archspec.data.columns import Tally, as_text, many_unknown
from archspec.data.distinct import DistinctValues
from archspec.data.encoder import Columns, Encoder
from archspec.data.faults import Bad, Faults
from archspec.data.groups import Groups
from archspec.data.hashing import Key
from archspec.data.label_counts import LabelCounts
from archspec.data.list_survey import ListEnds, list_forms, split_at_blanks, with_lists
from archspec.data.requirements import by_requirement, column_requirements, group_column, leaks
from archspec.data.rows import written_rows
from archspec.data.survey import learned
from archspec.data.tables import check_columns, open_tables
from archspec.data.types import check_types
from archspec.data.vectors import share_line, vector_files, write_vectors
from archspec.diagnostics import Diagnostic, Diagnostics, SpecError, unusable
from archspec.files import write_whole
from archspec.program.columns import numbered

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from archspec.data.columns import ColumnReport
    from archspec.data.extend import Before
    from archspec.data.requirements import ColumnRequirement
    from archspec.data.rows import RowsWriter
    from archspec.data.tables import Chunk, Table
    from archspec.data.values import Mask
    from archspec.graph.graph import Graph

ROWS, TRAIN, VALIDATION, ENCODING = "rows", "rows/train.arrow", "rows/validation.arrow", "encoding.json"
COLUMNS, TABLES = "columns.json", "rows/tables.safetensors"
"""Files of a prepared folder."""
_SPLIT: Final = 2**32


@dataclass(frozen=True, slots=True)
class Source:
    """The files to prepare.

    Args:
        files: files with training rows.
        validation: files with validation rows; empty: a share of the rows of `files`.
        share: that share, 0 to 1; which rows are in it depends only on their positions in the files, or if groups are
            kept together on these.
        header: column names of CSV files without a header line.
        choices: requested encodings by column, instead of those that the values suggest.
        bad: for rows with a value that does not fit: `stop` before anything is written, or `skip` them.
        grouped_by: a column whose values group rows in metrics.
        padding: the padding item of a column of lists, in addition to -1.
        separators: what separates the items of lists that are written as text, by column.
        min_counts: how often a value must occur to be in a vocabulary, by column; `*` is for all others.
        columns: the column of the files that a column of the spec is read from, if its name differs.
        missing: texts for a missing value in a column of single values, in addition to the usual ones.
        tables: the file with pretrained vectors of a table, by the input that owns the table.
        encoding: the folder of a run whose encodings are reused, without new values.
        test: files with rows that are measured once, at the end, with the best weights.
    """

    files: tuple[str, ...]
    validation: tuple[str, ...] = ()
    share: float = 0.1
    header: tuple[str, ...] | None = None
    choices: Mapping[str, str] = field(default_factory=dict)
    bad: Bad = "stop"
    grouped_by: str | None = None
    padding: Mapping[str, str] = field(default_factory=dict)
    separators: Mapping[str, str] = field(default_factory=dict)
    min_counts: Mapping[str, int] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)
    encoding: str | None = None
    test: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """The result of `prepare`: encodings and numbers of rows. `warnings` report skipped rows."""

    encoder: Encoder
    train: int
    validation: int
    skipped: int
    columns: tuple[ColumnReport, ...]
    warnings: tuple[Diagnostic, ...]
    labels: tuple[str, ...] = ()
    """The counts of each column of labels in the training rows, a line each."""
    tables: tuple[str, ...] = ()
    """The share of values with a pretrained vector, a line for each table."""
    groups: Groups | None = None
    """The groups of training rows that batches keep together."""
    values: tuple[str | None, ...] = ()
    """The values by which validation rows are measured, by their number in these rows; None is a missing value."""


def prepare(  # noqa: PLR0913 - the parts of the work
    graph: Graph,
    source: Source,
    folder: Path,
    *,
    before: Before | None = None,
    together: str | None = None,
    by: str | None = None,
    progress: Callable[[str, int], None] = lambda _, __: None,
) -> Prepared:
    """Reads files twice, to learn encodings and to encode; writes `rows/*`, `encoding.json`, `columns.json`.

    Args:
        graph: the graph that reads the data.
        source: the files.
        folder: the folder for the rows; created if it is missing.
        before: the encodings of an earlier run, for the columns that it has.
        together: a column whose values group rows for batches; see `archspec.data.groups`. A group is held out whole.
        by: a column by whose values validation rows are measured: they get the number of their value.
        progress: called after each chunk with the stage and the number of rows that are done.

    Raises:
        SpecError: files cannot be read, columns are missing or have a wrong type, or (with `bad="stop"`) values do not
            fit. The error lists everything that is wrong, with file, column and row; nothing is written.
    """
    wanted = column_requirements(graph, source.grouped_by, together)
    requested = source.choices
    source = source if before is None else before.source(source, wanted)
    read_too = {} if by is None else by_requirement(by)
    tables, held_out = _opened(source, wanted, read_too)
    vectors = vector_files(graph, source.tables)
    for file in vectors:
        file.check()
    forms = list_forms((*tables, *held_out), wanted, source.padding, source.separators)
    share = 0.0 if held_out else source.share

    def read(columns: Collection[str]) -> Iterator[Chunk]:
        seen = 0
        for chunk, held in _split(tables, columns, share, together):
            seen += chunk.rows
            progress("looking at values", seen)
            yield with_lists(_part(chunk, ~held), forms)

    learnt = learned(read, wanted, source.choices, source.min_counts)
    learnt = learnt if before is None else before.learned(learnt, requested, wanted)
    encoder = Encoder.of(learnt, wanted, forms, sources_of(source.columns, source.choices), source.missing)
    matched = {file.name: file.matched(encoder.encodings[file.column]) for file in vectors}
    work = _Work(encoder, progress, group_column(wanted, together), by)
    with ExitStack() as stack:
        train = stack.enter_context(written_rows(folder / TRAIN, wanted))
        validation = stack.enter_context(written_rows(folder / VALIDATION, wanted))
        for chunk, held in _split(tables, {**read_too, **wanted}, share, together):
            work.encode(chunk, held, train, validation)
        for chunk, _ in _split(held_out, {**read_too, **wanted}, 0.0):
            work.encode(chunk, np.ones(chunk.rows, dtype=np.bool_), train, validation)
        left_out = work.faults.report(source.bad)
        _check_enough(source, train, validation, left_out)
        groups = None if together is None else _groups(together, work.keys)
    columns = work.tally.reports(learnt)
    if matched:
        write_vectors(folder / TABLES, matched)
    write_whole(folder / ENCODING, encoder.text())
    write_whole(folder / COLUMNS, as_text(columns))
    blanks = (item for name in forms for item in split_at_blanks(name, forms[name], learnt.longest.get(name, 0)))
    seen = *work.labels.warnings(), *learnt.warnings, *blanks, *work.padding(), *many_unknown(columns, source)
    warnings = *leaks(wanted), *left_out, *seen
    shares = (share_line(file, encoder.encodings[file.column], len(matched[file.name][0])) for file in vectors)
    labels = tuple(work.labels.texts())
    rows = train.rows, validation.rows, work.skipped
    return Prepared(encoder, *rows, columns, warnings, labels, tuple(shares), groups, tuple(work.values.values()))


def _opened(
    source: Source, wanted: Mapping[str, ColumnRequirement], read_too: Mapping[str, ColumnRequirement]
) -> tuple[tuple[Table, ...], tuple[Table, ...]]:
    """The training and the validation tables. Raises SpecError if they, or the test tables, lack a column."""
    problems = Diagnostics()
    Requests.of(source).check(wanted, problems)
    problems.raise_errors(status=2)
    sources = sources_of(source.columns, source.choices)
    tables, held_out, test = (
        tuple(replace(table, sources=sources, none=source.missing) for table in open_tables(files, source.header))
        for files in (source.files, source.validation, source.test)
    )
    check_columns((*tables, *held_out), {**read_too, **wanted})
    check_columns(test, wanted)
    check_types((*tables, *held_out, *test), wanted, timed(source.choices))
    return tables, held_out


class _Work:
    """The counters that are updated while rows are encoded."""

    def __init__(
        self, encoder: Encoder, progress: Callable[[str, int], None], together: str | None, by: str | None
    ) -> None:
        self.encoder, self.progress, self.together, self.by = encoder, progress, together, by
        self.keys: list[NDArray[np.int64]] = []
        self.values = DistinctValues(None if by is None else encoder.encodings.get(by))
        self.faults = Faults()
        self.labels = LabelCounts(encoder)
        self.tally = Tally(encoder)
        self.lists = {
            name: ListEnds(requirement)
            for name, requirement in encoder.requirements.items()
            if requirement.use == "lists"
        }
        self.skipped = self.seen = 0

    def encode(self, chunk: Chunk, held: Mask, train: RowsWriter, validation: RowsWriter) -> None:
        """Encodes a chunk, and passes each row to one of the writers; rows that do not fit are skipped."""
        chunk = with_lists(chunk, self.encoder.forms, padding=True)
        for name, ends in self.lists.items():
            ends.look(chunk.columns[name])
        columns, good, faults = self.encoder.encode(chunk)
        self.faults.add(faults)
        self.skipped += int((~good).sum())
        self.seen += chunk.rows
        self.progress("encoding", self.seen)
        if (good & ~held).any():
            train.add(_chosen(columns, good & ~held))
        if (good & held).any():
            validation.add(_chosen(columns, good & held) | self._numbered(chunk, good & held))
        if self.together is not None:
            self.keys.append(columns[self.together][good & ~held].astype(np.int64))
        self.labels.add(columns, good & ~held)
        self.tally.add(chunk, columns, good & held)

    def _numbered(self, chunk: Chunk, rows: Mask) -> Columns:
        """The number of each row's value in the column by which rows are measured, if there is one."""
        if self.by is None:
            return {}
        return {numbered(self.by): self.values.numbered(_part(chunk, rows).columns[self.by])}

    def padding(self) -> tuple[Diagnostic, ...]:
        """Warnings about items that look like padding."""
        diagnostics = Diagnostics()
        for name, ends in self.lists.items():
            ends.warn(diagnostics, self.encoder.forms[name])
        return tuple(diagnostics.items)


def _split(
    tables: Iterable[Table], columns: Collection[str], share: float, together: str | None = None
) -> Iterator[tuple[Chunk, Mask]]:
    """The chunks of all tables, and which of their rows are held out; a group of the column `together` as a whole."""
    passed = 0
    for table in tables:
        for chunk in table.chunks({*columns, *([] if together is None else [together])}):
            rows = np.arange(passed + 1, passed + chunk.rows + 1)
            if together is not None:
                keys, known = Key().encode(chunk.columns[together])
                rows = np.where(known, keys, rows)
            yield replace(chunk, columns={name: chunk.columns[name] for name in columns}), _held(rows, share)
            passed += chunk.rows


def _held(numbers: NDArray[np.int64], share: float) -> Mask:
    """Which rows are held out, by their number: if its hash (splitmix64, Steele et al., 2014) is below the share."""
    x = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    held: Mask = (x >> np.uint64(32)) < share * _SPLIT
    return held


def _chosen(columns: Columns, rows: Mask) -> Columns:
    return {name: values[rows] for name, values in columns.items()}


def _part(chunk: Chunk, rows: Mask) -> Chunk:
    if rows.all():
        return chunk
    import pyarrow as pa

    mask = pa.array(rows)
    columns = {name: array.filter(mask) for name, array in chunk.columns.items()}
    return replace(chunk, rows=int(rows.sum()), columns=columns)


def _groups(column: str, keys: list[NDArray[np.int64]]) -> Groups:
    """The groups of training rows. Raises SpecError if each of them is a single row."""
    groups = Groups(np.concatenate(keys))
    if groups.sizes.max() == 1:
        unusable(
            "AS750", f"`--together {column}` keeps nothing together: no two rows to train on have the same value in "
            "this column", help="name a column with one value for all rows of a group, such as the id of a request",
        )  # fmt: skip
    return groups


def _check_enough(source: Source, train: RowsWriter, validation: RowsWriter, warnings: tuple[Diagnostic, ...]) -> None:
    """Raises SpecError if no rows are left to train or validate on; the error also reports the skipped rows."""
    for writer, files, what in ((train, source.files, "train"), (validation, source.validation, "validate")):
        if not writer.rows:
            named = ", ".join(f"`{file}`" for file in files or source.files)
            message = f"there are no rows to {what} on in {named}"
            error = Diagnostic("AS701", message, help="give files with rows, or another `--split`")
            raise SpecError([*warnings, error], status=2)
