"""Files of pretrained vectors: which values match, and what is rejected before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pyarrow import feather, parquet
from safetensors.numpy import load_file

from archspec import plugins
from archspec.data.encodings import Vocabulary
from archspec.data.prepare import TABLES, Prepared, Source, prepare
from archspec.diagnostics import SpecError
from archspec.graph.load import load_graph

if TYPE_CHECKING:
    from pathlib import Path

SPEC = """
archspec: 1
name: vectors
inputs:
  item: {kind: sparse, vocab: 6, dim: 2, trainable: false, column: id_of_item}
  clicks: {kind: sequence, table: item, length: 3}
  user: {kind: sparse, vocab: 4, dim: 2}
  x: {kind: dense, dim: 1}
tasks: {click: {}}
towers: {click: {from: [item, clicks, user, x], units: [2]}}
"""
ROWS: dict[str, list[Any]] = {
    "id_of_item": ["a", "b", "a", "c"],
    "clicks": [["a"], ["d", "b"], [], ["a"]],
    "user": [0, 1, 2, 3],
    "x": [0.0, 1.0, 2.0, 3.0],
    "click": [0, 1, 0, 1],
}
GOOD: dict[str, Any] = {"id": ["b", "z", "d"], "vector": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]}


def prepared(folder: Path, vectors: dict[str, Any], name: str = "item", **options: Any) -> Prepared:  # noqa: ANN401
    """The rows, prepared with a file of vectors for one input."""
    parquet.write_table(pa.table(ROWS), folder / "rows.parquet")
    parquet.write_table(pa.table(vectors), folder / "vectors.parquet")
    files = (str(folder / "rows.parquet"),)
    source = Source(files, files, tables={name: str(folder / "vectors.parquet")}, **options)
    return prepare(load_graph(SPEC, None, plugins.load([])), source, folder / "run")


def test_vectors_are_matched_through_the_vocabulary(tmp_path: Path) -> None:
    """Values of the run get their vectors, and others in the file are ignored; the share of matches is reported."""
    found = prepared(tmp_path, GOOD)
    vocabulary = found.encoder.encodings["id_of_item"]
    assert isinstance(vocabulary, Vocabulary)
    kept = load_file(tmp_path / "run" / TABLES)
    assert [vocabulary.values[i - 1] for i in kept["item.ids"]] == ["b", "d"]
    assert kept["item.vectors"].tolist() == [[1, 2], [5, 6]]
    (line,) = found.tables
    assert line == (
        "table `item`: vectors for 2 of 4 values (50.0%); the others start at random, and stay so because the table is "
        "frozen"
    )


@pytest.mark.parametrize("kind", [pa.int64(), pa.string(), pa.float64()])
def test_ids_as_they_are(tmp_path: Path, kind: pa.DataType) -> None:
    """If the column contains ids, they match the file's ids of any type by number; ids out of range are ignored."""
    ids = pa.array([3, 0, 9]).cast(kind)
    found = prepared(
        tmp_path, {"id": ids, "vector": pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.int8(), 2))}, "user"
    )
    kept = load_file(tmp_path / "run" / TABLES)
    assert kept["user.ids"].tolist() == [3, 0]
    assert kept["user.vectors"].tolist() == [[1, 2], [3, 4]]
    assert found.tables == ("table `user`: vectors for 2 of 4 values (50.0%); the others start at random",)


def test_other_formats_and_folders_of_parts(tmp_path: Path) -> None:
    """A Feather file and a folder of Parquet files work too."""
    (tmp_path / "parts").mkdir()
    parquet.write_table(pa.table(ROWS), tmp_path / "rows.parquet")
    for part, rows in enumerate((slice(0, 1), slice(1, 3))):
        table = pa.table({name: values[rows] for name, values in GOOD.items()})
        parquet.write_table(table, tmp_path / "parts" / f"{part}.parquet")
    feather.write_feather(pa.table(GOOD), tmp_path / "vectors.feather", compression="uncompressed")
    files = (str(tmp_path / "rows.parquet"),)
    for path in ("parts", "vectors.feather"):
        source = Source(files, files, tables={"item": str(tmp_path / path)})
        prepare(load_graph(SPEC, None, plugins.load([])), source, tmp_path / path.partition(".")[0] / "run")
        assert load_file(tmp_path / path.partition(".")[0] / "run" / TABLES)["item.vectors"].tolist() == [
            [1, 2],
            [5, 6],
        ]


NAN = float("nan")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"vector": [[1.0], [2.0], [3.0]]},
            "row 1, of id `b`, does not have `dim` = 2 values",
        ),
        ({"vector": [[1.0, 2.0], None, [3.0, 4.0]]}, "row 2, of id `z`, does not have `dim` = 2 values"),
        (
            {"vector": [[1.0, 2.0], [NAN, 1.0], [3.0, 4.0]]},
            "row 2, of id `z`, has a value that is not",
        ),
        ({"vector": [[1.0, 2.0], [1e300, 1.0], [3.0, 4.0]]}, "row 2, of id `z`, has a value that is not"),
        ({"vector": [[1.0, 2.0], [None, 1.0], [3.0, 4.0]]}, "row 2, of id `z`, has a value that is not"),
        ({"vector": [1.0, 2.0, 3.0]}, "column `vector` has the type double"),
        ({"vector": ["1 2", "3 4", "5 6"]}, "column `vector` has the type string"),
        ({"id": ["b", "z", "b"]}, "has two vectors for id `b`, in rows 1 and 3"),
        ({"id": ["b", None, "d"]}, "row 2, of id `None`, has no id"),
        ({"id": [["b"], ["z"], ["d"]]}, "column `id` has the type list"),
        ({"id": ["u", "v", "w"]}, "none of its ids, such as `u`, `v`, `w`, is in column `id_of_item`"),
        ({"id": pa.array([], pa.string()), "vector": pa.array([], pa.list_(pa.float32()))}, "has no vectors"),
        ({"name": ["b", "z", "d"], "id": None}, "has no column `id`"),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    """A wrong width, NaN, repeated ids and missing columns cause one diagnostic, and nothing is written."""
    vectors = {name: values for name, values in {**GOOD, **changes}.items() if values is not None}
    with pytest.raises(SpecError) as caught:
        prepared(tmp_path, vectors)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "AS763"
    assert "vectors.parquet" in diagnostic.message
    assert said in diagnostic.message
    assert diagnostic.help
    assert caught.value.status == 2
    assert not (tmp_path / "run").exists()


def test_an_id_in_two_parts(tmp_path: Path) -> None:
    """The message has both files, and each row is counted in its own file."""
    (tmp_path / "parts").mkdir()
    for part, ids in (("0", ["z", "a", "b"]), ("1", ["d", "b"])):
        table = pa.table({"id": ids, "vector": [[1.0, 2.0]] * len(ids)})
        parquet.write_table(table, tmp_path / "parts" / f"{part}.parquet")
    parquet.write_table(pa.table(ROWS), tmp_path / "rows.parquet")
    files = (str(tmp_path / "rows.parquet"),)
    source = Source(files, files, tables={"item": str(tmp_path / "parts")})
    with pytest.raises(SpecError) as caught:
        prepare(load_graph(SPEC, None, plugins.load([])), source, tmp_path / "run")
    (diagnostic,) = caught.value.diagnostics
    first, second = (tmp_path / "parts" / f"{part}.parquet" for part in "01")
    assert diagnostic.message == (
        f"`{first}`, the vectors of input `item`: has two vectors for id `b`, in row 3 and in row 2 of `{second}`"
    )


@pytest.mark.parametrize(
    ("name", "options", "said", "way_out"),
    [
        ("itm", {}, "the spec has no input `itm`", "did you mean `item`?"),
        ("clicks", {}, "input `clicks` reads the table of `item`", "write `--table item=...`"),
        ("x", {}, "input `x` has no table: `kind: dense` has no table", "inputs with a table: item, user"),
        ("item", {"choices": {"id_of_item": "hash", "clicks": "hash"}}, "do not have their own rows", "vocabulary"),
    ],
)
def test_inputs_that_take_no_vectors(tmp_path: Path, name: str, options: Any, said: str, way_out: str) -> None:  # noqa: ANN401
    """An unknown input, one that shares a table, one without a table and one that is hashed are rejected."""
    with pytest.raises(SpecError) as caught:
        prepared(tmp_path, GOOD, name, **options)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "AS762"
    assert said in diagnostic.message
    assert way_out in diagnostic.help
    assert not (tmp_path / "run").exists()


def test_two_spellings_of_one_id(tmp_path: Path) -> None:
    """If ids are numbers, `7` and `007` are the same id with two vectors, which is an error."""
    with pytest.raises(SpecError, match="spells one id in two ways: 3 in column `user`"):
        prepared(tmp_path, {"id": ["3", "03"], "vector": [[1.0, 2.0]] * 2}, "user")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A missing file is AS701, as for data."""
    parquet.write_table(pa.table(ROWS), tmp_path / "rows.parquet")
    files = (str(tmp_path / "rows.parquet"),)
    source = Source(files, files, tables={"item": "no.parquet"})
    with pytest.raises(SpecError, match="AS701"):
        prepare(load_graph(SPEC, None, plugins.load([])), source, tmp_path / "run")
