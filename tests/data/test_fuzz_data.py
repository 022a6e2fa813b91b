"""Fuzzes data files: each is rejected with a message and nothing written, or each row is encoded as it is alone."""

from __future__ import annotations

import decimal
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from pyarrow import csv, feather, parquet

from archspec.data.batches import table_batches
from archspec.data.encoder import Encoder
from archspec.data.prepare import ENCODING, VALIDATION, Prepared, Source, prepare
from archspec.data.rows import Rows
from archspec.diagnostics import SpecError
from tests.fuzzing import LONGEST, contents, fuzz
from tests.limited import limited

if TYPE_CHECKING:
    from pathlib import Path

    from hypothesis.strategies import DrawFn, SearchStrategy

    from archspec.graph.graph import Graph

WORDS = (
    "",
    "a",
    "b",
    "NA",
    "nan",
    "inf",
    "-1",
    "0",
    "1",
    "1.0",
    "01",
    "1e3",
    "1_0",
    "a b",
    "[1, 2]",
    "['a b']",
    "\0",
    "é",
)
TEXTS = st.one_of(st.sampled_from(WORDS), st.text(st.characters(exclude_categories=["Cs"]), max_size=6))
FLOATS = st.one_of(st.sampled_from([0.0, -0.0, 1.0, 1.5, 1e16, 1e300, 2.0**53]), st.floats())
TYPES: dict[str, tuple[Any, SearchStrategy[Any]]] = {
    "int8": (pa.int8(), st.integers(-128, 127)),
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "small": (pa.int32(), st.integers(-1, 3)),
    "uint64": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "float32": (pa.float32(), st.floats(width=32)),
    "float64": (pa.float64(), FLOATS),
    "half": (pa.float16(), st.floats(width=16).map(np.float16)),
    "bool": (pa.bool_(), st.booleans()),
    "text": (pa.string(), TEXTS),
    "large text": (pa.large_string(), TEXTS),
    "view": (pa.string_view(), TEXTS),
    "names": (pa.string(), st.sampled_from(["home", "shop", "Oslo", "Rome"])),
    "words": (pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["home", "shop", "1", "NA"])),
    "bytes": (pa.binary(), st.binary(max_size=4)),
    "date": (pa.date32(), st.dates()),
    "time": (pa.timestamp("us"), st.integers(-(2**40), 2**50)),
    "decimal": (pa.decimal128(20, 2), st.decimals(-99, 99, places=2).map(decimal.Decimal)),
    "null": (pa.null(), st.none()),
    "ids": (pa.list_(pa.int64()), st.lists(st.integers(-1, 5), max_size=4)),
    "large ids": (pa.list_(pa.uint64()), st.lists(st.integers(0, 2**64 - 1), max_size=3)),
    "tags": (pa.large_list(pa.string()), st.lists(st.one_of(st.none(), TEXTS), max_size=3)),
    "pair": (pa.list_(pa.float64(), 2), st.lists(FLOATS, min_size=2, max_size=2)),
    "lists": (pa.list_(pa.list_(pa.int8())), st.lists(st.lists(st.integers(0, 3), max_size=2), max_size=2)),
    "struct": (pa.struct([("a", pa.int8())]), st.fixed_dictionaries({"a": st.integers(0, 3)})),
    "map": (pa.map_(pa.string(), pa.int8()), st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3)), max_size=2)),
}
READ = ("user", "city", "age", "visited", "scene", "price", "place", "click", "buy", "value", "watch", "rating")
"""The columns that the spec reads."""
FORMATS = ("a.csv", "a.tsv", "a.csv.gz", "a.parquet", "a.feather", "a.arrow")


@dataclass(frozen=True)
class Change:
    """A change that replaces a sound column of a file."""

    column: str
    type: str
    values: list[Any]


@st.composite
def changes(draw: DrawFn) -> Change:
    """Any columns of any type with any values, some of which are missing."""
    name = draw(st.sampled_from(sorted(TYPES)))
    element = TYPES[name][1]
    values = st.lists(st.one_of(element, element, element, st.none()), min_size=1, max_size=12)
    return Change(draw(st.sampled_from(READ)), name, draw(values))


def table_of(rows: dict[str, list[Any]], done: list[Change]) -> Any:  # noqa: ANN401 - pyarrow comes without types
    """The sound rows with some columns changed; the values of a change are repeated to fill all rows."""
    columns = {name: pa.array(values) for name, values in rows.items()}
    count = len(rows["user"])
    for change in done:
        values = (change.values * count)[:count]
        columns[change.column] = pa.array(values, TYPES[change.type][0])
    return pa.table(columns)


def as_text(value: Any) -> str | None:  # noqa: ANN401 - a value of any column
    """The text of a value in a CSV file."""
    if isinstance(value, list):
        return " ".join("" if item is None else str(item) for item in value)
    return None if value is None else value.decode("latin-1") if isinstance(value, bytes) else str(value)


def write(table: Any, path: Path) -> None:  # noqa: ANN401 - pyarrow comes without types
    """Writes a table in the format given by the name of the file."""
    if ".csv" in path.name or ".tsv" in path.name:
        texts = pa.table({name: pa.array([as_text(x) for x in table[name].to_pylist()]) for name in table.column_names})
        with pa.output_stream(path, compression="gzip" if path.suffix == ".gz" else None) as file:
            csv.write_csv(texts, file, csv.WriteOptions(delimiter="\t" if ".tsv" in path.name else ","))
    elif path.suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=16)
    else:
        feather.write_feather(table, path, compression="uncompressed", chunksize=16)


def answer(world: World, file: Path, bad: Any) -> Prepared | None:  # noqa: ANN401 - one of two words
    """The prepared file, or None if it is rejected with a message, status 2 and nothing written."""
    folder = world.folder / "run"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with limited(LONGEST):
            return prepare(world.graph, Source((str(file),), (str(file),), bad=bad, grouped_by="unread"), folder)
    except SpecError as error:
        assert error.status == 2  # noqa: PT017 - a rejection is one of two valid results
        assert all(item.code.startswith("AS7") and item.message for item in error.diagnostics)  # noqa: PT017 - as above
        assert not [path for path, what in contents(folder).items() if what != "folder"] if folder.exists() else True
        event("refused")
        return None


def check_rows(done: Prepared, folder: Path) -> dict[str, Any]:
    """Asserts that the written ids are in the range of their tables and all numbers are finite; returns the columns."""
    rows = Rows(folder / VALIDATION)
    columns = rows.read(range(len(rows.blocks)))
    for name, required in done.encoder.requirements.items():
        values = columns[name]
        assert np.isfinite(values).all(), name
        if required.high is not None and required.use in {"ids", "lists", "class"}:
            low = -1 if required.use == "lists" else 0
            assert values.min(initial=0) >= low
            assert values.max(initial=0) < required.high, name
    return dict(columns)


def assert_same(batch: Any, columns: dict[str, Any], rows: Any) -> None:  # noqa: ANN401 - arrays
    """Asserts that rows encoded for scoring equal those written for training."""
    for name, values in batch.items():
        wanted = columns[name][rows].astype(values.numpy().dtype)
        np.testing.assert_array_equal(values.numpy(), wanted, err_msg=name)


class World:
    """What all examples of a test share: the spec, the folder, and forty rows that fit. Its repr is short."""

    def __init__(self, graph: Graph, folder: Path, sound: dict[str, list[Any]]) -> None:
        self.graph, self.folder, self.sound = graph, folder, sound


@pytest.fixture
def world(graph: Graph, rows: dict[str, list[Any]], tmp_path: Path) -> World:
    """The objects that all examples share."""
    return World(graph, tmp_path, rows)


@given(
    st.lists(changes(), min_size=1, max_size=3), st.sampled_from(FORMATS), st.sampled_from(["stop", "skip"]),
    st.integers(0, 39),
)  # fmt: skip
@fuzz(by_day=120, by_night=20_000)
def test_fuzz_of_odd_tables(world: World, done: list[Change], name: str, bad: str, row: int) -> None:
    """Columns of any type are rejected or encoded, and a row alone in a file is encoded as it was in training."""
    table = table_of(world.sound, done)
    file, alone, folder = world.folder / name, world.folder / f"one_{name}", world.folder / "run"
    try:
        write(table, file)
        write(table.slice(row, 1), alone)
    except pa.ArrowNotImplementedError:
        event("cannot be written")
        return
    prepared = answer(world, file, bad)
    if prepared is None:
        return
    event("prepared")
    columns = check_rows(prepared, folder)
    encoder = Encoder.from_text((folder / ENCODING).read_text(), prepared.encoder.requirements)
    kept: list[int] = []
    for batch in table_batches(file, encoder, bad="skip"):
        assert_same(batch, columns, slice(len(kept), len(kept) + len(batch.rows)))
        kept += batch.rows.tolist()
    assert len(kept) == prepared.validation
    for batch in table_batches(alone, encoder, bad="skip"):
        assert_same(batch, columns, [kept.index(row)])


@dataclass(frozen=True)
class Bytes:
    """A damage to the bytes of a file at some places."""

    how: str
    places: list[tuple[int, int]]

    def do(self, content: bytearray) -> None:
        """Applies the damage to the content."""
        for at, value in self.places:
            spot = at % max(len(content), 1)
            if self.how == "flipped":
                content[spot : spot + 1] = bytes([value])
            elif self.how == "cut":
                del content[spot:]
            elif self.how == "removed":
                del content[spot : spot + 1 + value % 8]
            else:
                content[spot:spot] = bytes([value]) * (1 + value % 8)


damages = st.builds(
    Bytes, st.sampled_from(["flipped", "flipped", "cut", "removed", "grown"]),
    st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=8),
)  # fmt: skip


@given(st.sampled_from(FORMATS), damages, st.sampled_from(["stop", "skip"]))
@fuzz(by_day=150, by_night=20_000)
def test_fuzz_of_damaged_files(world: World, name: str, damage: Bytes, bad: str) -> None:
    """A file with wrong, missing or additional bytes is rejected, or its values are sound."""
    file = world.folder / name
    write(table_of(world.sound, []), file)
    content = bytearray(file.read_bytes())
    damage.do(content)
    file.write_bytes(content)
    prepared = answer(world, file, bad)
    if prepared is not None:
        event("prepared")
        check_rows(prepared, world.folder / "run")
