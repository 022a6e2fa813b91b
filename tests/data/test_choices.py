"""Encodings on request: hashes, rare values, several columns from one, declared separators."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from archspec import plugins
from archspec.data.batches import OrderedBatches, table_batches
from archspec.data.encoder import Encoder
from archspec.data.encodings import Log, Vocabulary
from archspec.data.hashing import Hashed, hashes
from archspec.data.prepare import TRAIN, Prepared, Source, prepare
from archspec.data.rows import Rows
from archspec.diagnostics import SpecError
from archspec.graph.load import load_graph

if TYPE_CHECKING:
    from pathlib import Path

SPEC = """
archspec: 1
name: choices
inputs:
  city: {kind: sparse, vocab: 6, dim: 2}
  item: {kind: sparse, vocab: 50, dim: 2}
  clicks: {kind: sequence, table: item, length: 3}
  tags: {kind: sequence, vocab: 9, dim: 2, length: 3}
  price: {kind: dense, dim: 1}
  level: {kind: sparse, vocab: 5, dim: 2}
tasks: {click: {}}
towers: {click: {units: [2]}}
"""
ROWS: dict[str, list[Any]] = {
    "city": ["Oslo", "Rome", "Oslo", "Lima", "Oslo", "Rome", None, "Bern"],
    "item": ["a", "b", "c", "a", "b", "a", None, "d"],
    "clicks": ["a b", "c", "", "b a", "d", "a", "b", "c"],
    "tags": ["Film Noir", "Drama", "Film Noir;Drama", "Sci Fi", "", "Drama", "Drama", "Sci Fi"],
    "price": [i + 0.5 for i in range(8)],
    "click": [0, 1] * 4,
}


def prepared(
    folder: Path,
    rows: dict[str, list[Any]] | None = None,
    name: str = "rows.parquet",
    **options: Any,  # noqa: ANN401 - a Source's options
) -> Prepared:
    """The rows, prepared with options of a Source; the same rows are used for training and validation."""
    path = folder / name
    (csv.write_csv if name.endswith(".csv") else parquet.write_table)(pa.table(rows or ROWS), path)
    options["columns"] = {"level": "price", **options.get("columns", {})}
    source = Source((str(path),), (str(path),), **options)
    return prepare(load_graph(SPEC, None, plugins.load([])), source, folder / "run")


def column(folder: Path, name: str) -> list[Any]:
    """A column of the encoded rows."""
    found: list[Any] = next(iter(OrderedBatches(Rows(folder / "run" / TRAIN), 99)))[name].tolist()
    return found


def refused(folder: Path, **options: Any) -> Any:  # noqa: ANN401 - a Diagnostic
    """The only diagnostic of a rejected request, for which nothing is written."""
    with pytest.raises(SpecError) as caught:
        prepared(folder, **options)
    (diagnostic,) = caught.value.diagnostics
    assert caught.value.status == 2
    assert not (folder / "run" / TRAIN).exists()
    return diagnostic


# -- hashes ------------------------------------------------------------------------------------------------------------


def test_a_hash_is_the_same_everywhere() -> None:
    """A hash is 8 bytes of BLAKE2b of the text; a number has the hash of its text, whatever its type."""
    right = int.from_bytes(hashlib.blake2b(b"12", digest_size=8).digest())
    for values in ([12], ["12"], [12.0], pa.array([12], pa.uint64()), pa.array(["12"]).dictionary_encode()):
        found, known = hashes(values if isinstance(values, pa.Array) else pa.array(values))
        assert (found.tolist(), known.tolist()) == ([right], [True])
    assert Hashed(high=100).encode(pa.array(["12", None]))[0].tolist() == [1 + right % 99, 0]


def test_the_collision_rate_is_in_the_table(tmp_path: Path) -> None:
    """All columns that share ids are hashed, and the table of columns shows the share of values that collide."""
    found = prepared(tmp_path, choices={"item": "hash", "clicks": "hash"})
    encoding = found.encoder.encodings["item"]
    assert isinstance(encoding, Hashed)
    assert encoding.values == 4
    ids = encoding.encode(pa.array(["a", "b", "c", "d"]))[0].tolist()
    assert column(tmp_path, "item") == [ids["abcd".index(v)] if v else 0 for v in ROWS["item"]]
    assert column(tmp_path, "clicks")[:2] == [[*ids[:2], -1], [ids[2], -1, -1]]
    text = {report.column: report.encoding for report in found.columns}["item"]
    assert text == "hash to ids 1..49; 0.0% of 4 values share an id with another"


def test_collisions_are_counted() -> None:
    """A value collides if another one has the same id: all nine values, two of them, or none."""
    found = np.arange(9, dtype=np.uint64)
    assert Hashed.of(2, found).colliding == 9
    assert Hashed.of(9, found).colliding == 2
    assert Hashed.of(100, found).colliding == 0


def test_a_hash_with_a_shared_vocabulary(tmp_path: Path) -> None:
    """A hash for one of two columns that share ids is rejected, and the command that the help proposes works."""
    told = refused(tmp_path, choices={"item": "hash"})
    assert told.code == "AS760"
    assert "`item` shares its ids with `clicks`, which gets a shared vocabulary" in told.message
    assert "`--encode item=hash --encode clicks=hash`" in told.help
    told = refused(tmp_path, choices={"item": "ids", "clicks": "vocabulary"})
    assert told.code == "AS760"
    assert "is to be encoded as `vocabulary`" in told.message


@pytest.mark.parametrize("vocab", [1, 2])
def test_a_hash_needs_an_id_besides_that_of_nothing(tmp_path: Path, vocab: int) -> None:
    """A table with one row has no id for values besides 0; one with two rows has."""
    graph = load_graph(SPEC.replace("vocab: 6", f"vocab: {vocab}"), None, plugins.load([]))
    parquet.write_table(pa.table(ROWS), tmp_path / "rows.parquet")
    files = (str(tmp_path / "rows.parquet"),)
    source = Source(files, files, choices={"city": "hash"}, columns={"level": "price"})
    if vocab == 1:
        with pytest.raises(SpecError, match="input `city` has 1 ids") as caught:
            prepare(graph, source, tmp_path / "run")
        assert caught.value.diagnostics[0].help == "write `vocab: 2`"
    else:
        prepare(graph, source, tmp_path / "run")
        assert column(tmp_path, "city") == [1, 1, 1, 1, 1, 1, 0, 1]


# -- rare values -------------------------------------------------------------------------------------------------------


def test_rare_values_are_unknown(tmp_path: Path) -> None:
    """A minimum of 2 makes values of one row unknown; a column may have its own minimum; shared columns add up."""
    found = prepared(tmp_path, min_counts={"*": 2, "tags": 1}).encoder.encodings
    values = {name: e.values for name, e in found.items() if isinstance(e, Vocabulary)}
    assert values["city"] == ("Oslo", "Rome")
    assert values["item"] == values["clicks"] == ("a", "b", "c", "d")
    assert len(values["tags"]) == 3
    assert column(tmp_path, "city") == [1, 2, 1, 0, 1, 2, 3, 0]
    rare = found["city"]
    assert isinstance(rare, Vocabulary)
    assert rare.others == 2


@pytest.mark.parametrize(
    ("min_counts", "code", "said"),
    [
        ({"town": 2}, "AS705", "the spec reads no column `town`"),
        ({"level": 2}, "AS705", "column `level` has no vocabulary"),
        ({"item": 2, "clicks": 3}, "AS760", "`clicks` shares its vocabulary with `item`"),
    ],
)
def test_rare_values_where_there_are_none(tmp_path: Path, min_counts: dict[str, int], code: str, said: str) -> None:
    """An unknown column, one without a vocabulary, and two minimums for one vocabulary are errors with a help."""
    told = refused(tmp_path, min_counts=min_counts)
    assert told.code == code
    assert said in told.message
    assert told.help


# -- one column, several inputs ----------------------------------------------------------------------------------------


def test_a_price_as_a_number_and_as_buckets(tmp_path: Path) -> None:
    """Two inputs read one column of the file with different encodings, in training and in new rows."""
    found = prepared(tmp_path, choices={"price": "log1p", "level": "buckets"})
    assert column(tmp_path, "price") == pytest.approx(np.log1p(np.arange(8) + 0.5), abs=1e-6)
    assert column(tmp_path, "level") == [1, 1, 2, 2, 3, 3, 4, 4]
    again = Encoder.from_text(found.encoder.text(), found.encoder.requirements).of_inputs()
    (scored,) = table_batches(str(tmp_path / "rows.parquet"), again)
    assert scored["level"].tolist() == column(tmp_path, "level")
    in_memory = {name: values for name, values in ROWS.items() if name != "click"}
    (scored,) = table_batches(in_memory, again)
    assert scored["level"].tolist() == column(tmp_path, "level")


@pytest.mark.parametrize(
    ("columns", "code", "said"),
    [
        ({"levl": "price"}, "AS705", "the spec reads no column `levl`"),
        ({"level": "prise"}, "AS702", "has no column `prise`, which input `level` reads"),
    ],
)
def test_columns_that_are_not_there(tmp_path: Path, columns: dict[str, str], code: str, said: str) -> None:
    """For a name that the spec or the file does not have, the nearest one is suggested."""
    told = refused(tmp_path, columns=columns)
    assert told.code == code
    assert said in told.message
    assert "did you mean `" in told.help


def test_logarithms_of_negative_numbers(tmp_path: Path) -> None:
    """Negative numbers do not fit, and neither do missing ones."""
    assert Log().encode(pa.array([0.0, -0.5, None, float("inf"), float("nan")]))[1].tolist() == [1, 0, 0, 0, 0]
    rows = {**ROWS, "price": [1.0, -2.0, *ROWS["price"][2:]]}
    with pytest.raises(SpecError, match=r"row 2: `-2\.0` is not a number of at least 0, which log1p requires"):
        prepared(tmp_path, rows, choices={"price": "log1p", "level": "buckets"})


# -- separators --------------------------------------------------------------------------------------------------------


def tags(found: Prepared, folder: Path) -> list[list[str]]:
    """The items of the column `tags` as texts."""
    encoding = found.encoder.encodings["tags"]
    assert isinstance(encoding, Vocabulary)
    return [[encoding.values[i - 1] for i in row if i > 0] for row in column(folder, "tags")]


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_texts_without_any_separator_stay_whole(tmp_path: Path, name: str) -> None:
    """Texts of words are split at blanks with a warning if nothing else separates; both of its proposals work."""
    rows = {**ROWS, "tags": ["Film Noir", "Drama", "Film Noir", "Sci Fi", "", "Drama", "Drama", "Sci Fi"]}
    found = prepared(tmp_path, rows, name)
    (warning,) = (item for item in found.warnings if item.code == "AS761" and "`tags`" in item.message)
    assert '`--separator tags=";"`' in warning.help
    assert tags(found, tmp_path)[0] == ["Film", "Noir"]
    found = prepared(tmp_path, rows, name, separators={"tags": ";", "clicks": " "})
    assert tags(found, tmp_path)[:2] == [["Film Noir"], ["Drama"]]
    assert not [item for item in found.warnings if item.code == "AS761"]
    found = prepared(tmp_path, rows, name, separators={"tags": " "})
    assert tags(found, tmp_path)[0] == ["Film", "Noir"]
    assert not [item for item in found.warnings if item.code == "AS761" and "`tags`" in item.message]


@pytest.mark.parametrize(("mark", "text"), [("::", "a, b::c"), ("\t", "a, b\tc"), (" / ", " a, b /  / c ")])
def test_any_text_can_separate(tmp_path: Path, mark: str, text: str) -> None:
    """Only a declared separator splits; empty items are dropped; the run keeps the separator for new rows."""
    rows = {**ROWS, "tags": [text] * 8}
    found = prepared(tmp_path, rows, separators={"tags": mark})
    assert tags(found, tmp_path)[0][:2] == ["a, b", "c"]
    report = {report.column: report.why for report in found.columns}["tags"]
    assert f"split at {'tab' if mark == chr(9) else mark}" in report
    again = Encoder.from_text(found.encoder.text(), found.encoder.requirements).of_inputs()
    (scored,) = table_batches(str(tmp_path / "rows.parquet"), again)
    assert scored["tags"].tolist() == column(tmp_path, "tags")


def test_a_separator_of_no_list(tmp_path: Path) -> None:
    """A separator for a column that is not read as a list is rejected, and the nearest column of lists is suggested."""
    told = refused(tmp_path, separators={"tag": ";"})
    assert (told.code, told.help) == ("AS705", "did you mean `tags`?")


# -- missing values ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_texts_that_mean_no_value(tmp_path: Path, name: str) -> None:
    """The texts are missing values in their own column only, in training and in new rows, as texts and as numbers."""
    rows = {
        **ROWS, "city": ["NA", "-", "NA", "Oslo", "-", "Oslo", "NA", "-"], "item": ["-", "b"] * 4,
        "price": [-1.0, 2.5, -1.0, 4.5, -1.0, 6.5, 7.5, 8.5],
    }  # fmt: skip
    options: dict[str, Any] = {
        "missing": {"city": ("NA", "-"), "price": ("-1",), "level": ("-1",)}, "choices": {"price": "standard"},
    }  # fmt: skip
    found = prepared(tmp_path, rows, name, **options)
    city = found.encoder.encodings["city"]
    assert isinstance(city, Vocabulary)
    assert (city.values, city.missing) == (("Oslo",), True)
    assert column(tmp_path, "city") == [2, 2, 2, 1, 2, 1, 2, 2]
    assert {*column(tmp_path, "item")} == {1, 2}
    assert column(tmp_path, "level")[:2] == [0, 1]
    assert column(tmp_path, "price")[0] == 0
    assert {report.column: report.missing for report in found.columns}["price"] == 3 / 8
    again = Encoder.from_text(found.encoder.text(), found.encoder.requirements).of_inputs()
    (scored,) = table_batches(str(tmp_path / name), again)
    assert scored["city"].tolist() == column(tmp_path, "city")
    kept = prepared(tmp_path, rows, name).encoder.encodings["city"]
    assert isinstance(kept, Vocabulary)
    assert kept.values == ("-", "NA", "Oslo")


def test_na_among_the_items_of_lists(tmp_path: Path) -> None:
    """In lists, `NA` is an item among names and missing among numbers; `--padding` leaves it out."""
    for written in ([["NO", "NA"]] * 8, ["NO;NA"] * 8, ["['NO', 'NA']"] * 8):
        found = prepared(tmp_path, {**ROWS, "tags": written})
        assert sorted(tags(found, tmp_path)[0]) == ["NA", "NO"]
        found = prepared(tmp_path, {**ROWS, "tags": written}, padding={"tags": "NA"})
        assert tags(found, tmp_path)[0] == ["NO"]
    for written in ([["3", "NA"]] * 8, ["3 NA"] * 8):
        prepared(tmp_path, {**ROWS, "tags": written})
        assert column(tmp_path, "tags")[0] == [3, -1, -1]


def test_texts_that_mean_no_item(tmp_path: Path) -> None:
    """For a column of lists, `--missing` is rejected, and the help proposes `--padding`."""
    told = refused(tmp_path, missing={"tags": ("-",)})
    assert (told.code, told.help) == ("AS705", "`--padding tags=-` leaves such items out of them")
    assert "did you mean `city`?" in refused(tmp_path, missing={"citi": ("-",)}).help
