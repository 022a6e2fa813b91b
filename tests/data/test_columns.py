"""The table of columns and their encodings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from archspec.data.batches import OrderedBatches
from archspec.data.prepare import COLUMNS, VALIDATION, Source, prepare
from archspec.data.rows import Rows
from archspec.diagnostics import SpecError

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.graph.graph import Graph


def files(folder: Path, rows: dict[str, list[Any]], **changes: list[Any]) -> Source:
    """Files with the rows to train on, and the same rows with some columns changed to validate on."""
    for name, columns in (("train", rows), ("validation", {**rows, **changes})):
        parquet.write_table(pa.table(columns), folder / f"{name}.parquet")
    return Source((str(folder / "train.parquet"),), (str(folder / "validation.parquet"),))


def test_every_column_has_a_row(graph: Graph, rows: dict[str, list[Any]], tmp_path: Path) -> None:
    """Each input and label has a row with its contents, its encoding and the reason; the run keeps the table."""
    prepared = prepare(graph, files(tmp_path, rows), tmp_path)
    found = {report.column: (report.holds, report.encoding, report.why) for report in prepared.columns}
    assert found["user"] == ("whole numbers", "unchanged ids, 0..9", "all are whole")
    assert found["age"] == ("numbers", "7 buckets with about equally many rows", "not all are whole")
    assert found["visited"][0] == "lists of texts"
    assert found["city"][1] == found["visited"][1]
    assert found["place"] == ("lists of numbers", "unchanged numbers", "dense input")
    assert found["value"][2] == "weight"
    kept = json.loads((tmp_path / COLUMNS).read_text(encoding="utf-8"))
    assert [row["column"] for row in kept] == list(prepared.encoder.requirements)
    assert kept[0]["reader"] == "input `user`"


def test_missing_is_not_unknown(graph: Graph, rows: dict[str, list[Any]], tmp_path: Path) -> None:
    """Missing and unknown values have separate shares, and only many unknown values cause a warning."""
    changes: list[Any] = [None, None, "Nowhere", "Nowhere", *["Oslo"] * 36]
    prepared = prepare(graph, files(tmp_path, rows, city=changes, visited=[None] * 40), tmp_path)
    reports = {report.column: report for report in prepared.columns}
    assert reports["city"].missing == 2 / 80
    assert reports["city"].unknown == 2 / 38
    assert reports["user"].unknown is None
    assert prepared.warnings == ()
    changes = ["Nowhere"] * 4 + ["Oslo"] * 36
    prepared = prepare(graph, files(tmp_path, rows, city=changes, visited=[None] * 40), tmp_path)
    assert prepared.warnings == ()
    changes = ["Nowhere"] * 5 + ["Oslo"] * 35
    prepared = prepare(graph, files(tmp_path, rows, city=changes, visited=[None] * 40), tmp_path)
    assert [item.code for item in prepared.warnings] == ["AS714"]
    assert "12.5% of the values of column `city`" in prepared.warnings[0].message
    assert "as in the files to train on" in prepared.warnings[0].help


def test_the_advice_on_unknown_values_of_one_file(graph: Graph, rows: dict[str, list[Any]], tmp_path: Path) -> None:
    """If `--split` held out rows of the files, the advice is about the split and does not mention other files."""
    source = Source(files(tmp_path, {**rows, "city": [f"city {row}" for row in range(40)]}).files, share=0.5)
    (item,) = (found for found in prepare(graph, source, tmp_path).warnings if found.code == "AS714")
    assert item.message == "100.0% of the values of column `city` in validation rows are not in its vocabulary"
    assert item.help == "they all share id 0; train on more rows, or hold out fewer with a smaller `--split`"


def test_a_file_without_any_list(graph: Graph, rows: dict[str, list[Any]], tmp_path: Path) -> None:
    """If a column of lists is entirely missing in a part and so has no type, its rows are empty lists."""
    parquet.write_table(pa.table(rows), tmp_path / "a.parquet")
    parquet.write_table(pa.table({**rows, "visited": pa.nulls(40)}), tmp_path / "b.parquet")
    source = Source((str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")))
    prepared = prepare(graph, source, tmp_path)
    assert {report.column: report.missing for report in prepared.columns}["visited"] == 0.5
    assert not prepared.encoder.encodings["visited"].model_dump()["missing"]


@pytest.mark.parametrize("values", [["home", "shop"], [0, 1], [1, 2], ["1.0", " 2"]])
def test_the_ways_out_for_a_domain(graph: Graph, rows: dict[str, list[Any]], tmp_path: Path, values: list[Any]) -> None:
    """Numbers from 0 to n are neither counted from 0 nor from 1; each alternative that the help proposes works."""
    rows["scene"] = [0, 2] * 20
    source = files(tmp_path, rows)
    with pytest.raises(SpecError, match="AS704") as caught:
        prepare(graph, source, tmp_path)
    assert "write the names, or in all rows numbers from 0 to 1, or from 1 to 2" in caught.value.diagnostics[0].help
    rows["scene"] = values * 20
    prepare(graph, files(tmp_path, rows), tmp_path)
    batch = next(iter(OrderedBatches(Rows(tmp_path / VALIDATION), 40)))
    assert batch["scene"].tolist() == [0, 1] * 20
