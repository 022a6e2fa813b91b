"""Timestamps: hours, days of the week, and days between two moments."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from archspec import plugins
from archspec.data.batches import OrderedBatches, table_batches
from archspec.data.encoder import Encoder
from archspec.data.moments import Age, Hour, Weekday, moments
from archspec.data.prepare import TRAIN, Prepared, Source, prepare
from archspec.data.rows import Rows
from archspec.diagnostics import SpecError
from archspec.graph.load import load_graph

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.graph.graph import Graph

FRIDAY = datetime(2026, 11, 27, 5, 30, tzinfo=UTC)
SECONDS = int(FRIDAY.timestamp())


@pytest.mark.parametrize(
    "values",
    [
        [SECONDS],
        [float(SECONDS)],
        [str(SECONDS)],
        [SECONDS * 1000],
        [SECONDS * 10**6],
        [SECONDS * 10**9],
        ["2026-11-27 05:30"],
        ["2026-11-27T05:30:00Z"],
        pa.array([FRIDAY.replace(tzinfo=None)], pa.timestamp("s")),
        pa.array([FRIDAY.replace(tzinfo=None)], pa.timestamp("ns")),
        pa.array([FRIDAY], pa.timestamp("us", "UTC")),
        pa.array(["2026-11-27 05:30"]).dictionary_encode(),
    ],
)
def test_one_moment_in_every_form(values: Any) -> None:  # noqa: ANN401 - lists and arrays
    """Timestamps, texts and Unix times in any unit are the same moment: 5:30 is hour 6, and a Friday is day 5."""
    array = values if isinstance(values, pa.Array) else pa.array(values)
    own, universal, known = moments(array)
    assert (own.tolist(), universal.tolist(), known.tolist()) == ([SECONDS], [SECONDS], [True])
    assert Hour().encode(array)[0].tolist() == [6]
    assert Weekday().encode(array)[0].tolist() == [5]
    assert Age(until=SECONDS + 36 * 3600.0).encode(array)[0].tolist() == [1.5]


@pytest.mark.parametrize(
    "array", [pa.array(["2026-11-27T06:30+01:00"]), pa.array([FRIDAY], pa.timestamp("us", "Europe/Oslo"))]
)
def test_hours_are_local_and_ages_are_not(array: pa.Array) -> None:
    """A moment with a time zone has the hour of that time zone, but its age does not depend on the zone."""
    assert Hour().encode(array)[0].tolist() == [7]
    assert Age(until=float(SECONDS)).encode(array)[0].tolist() == [0]


def test_texts_alone_and_beside_others() -> None:
    """A text has the same meaning beside texts without a time zone, with one, and beside numbers."""
    plain = ["2026-11-27", "2026-11-27 05:30", "2026-11-27T05:30:01", "2026-11-27 05:30:00.250000", "1969-12-31 23:59"]
    alone = moments(pa.array(plain))
    beside = moments(pa.array([*plain, "2026-11-27T05:30Z", str(SECONDS)]))
    assert [part.tolist() for part in alone] == [part[: len(plain)].tolist() for part in beside]
    assert alone[1].tolist()[1:4] == [SECONDS, SECONDS + 1, SECONDS + 0.25]
    assert beside[1].tolist()[-2:] == [SECONDS, SECONDS]


def test_dates_and_the_days_around_1970() -> None:
    """A date is its midnight; weekdays before 1970 are right."""
    array = pa.array([date(1970, 1, 1), date(1969, 12, 31), date(2000, 2, 29), None])
    found, fits = Weekday().encode(array)
    assert found.tolist() == [4, 3, 2, 0]
    assert fits.all()
    assert Hour().encode(array)[0].tolist() == [1, 1, 1, 0]


def test_what_is_no_moment() -> None:
    """Words fit neither; a missing value has hour 0, but does not fit as an age, as in other columns of numbers."""
    array = pa.array(["yesterday", None, "", "2026-13-01", "2026-11-27"])
    assert Hour().encode(array)[1].tolist() == [False, True, True, False, True]
    assert Age(until=0.0).encode(array)[1].tolist() == [False, False, False, False, True]


SPEC = """
archspec: 1
name: times
inputs:
  hour: {kind: sparse, vocab: 25, dim: 2}
  weekday: {kind: sparse, vocab: 8, dim: 2}
  age: {kind: dense, dim: 1}
tasks: {click: {}}
towers: {click: {units: [2]}}
"""


@pytest.fixture(scope="module")
def graph() -> Graph:
    """The graph of a spec that reads one column in three ways."""
    return load_graph(SPEC, None, plugins.load([]))


def prepared(graph: Graph, folder: Path, shown: Any, name: str = "rows.parquet", **choices: str) -> Prepared:  # noqa: ANN401
    """Rows with the moments when items were published and shown; the same rows are used for training and validation."""
    published = ["2026-11-20", "2026-11-27"] * 2
    table = pa.table({"shown": shown, "published": published, "click": [0, 1, 0, 1]})
    path = folder / name
    (csv.write_csv if name.endswith(".csv") else parquet.write_table)(table, path)
    encodings = {"hour": "hour", "weekday": "weekday", "age": "age:shown", **choices}
    columns = {"hour": "shown", "weekday": "shown", "age": "published"}
    source = Source((str(path),), (str(path),), choices=encodings, columns=columns)
    return prepare(graph, source, folder / "run")


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_one_column_becomes_three(graph: Graph, tmp_path: Path, name: str) -> None:
    """Hour, weekday and age come from one column of timestamps, also for new rows."""
    shown = pa.array([SECONDS + (hour * 60 - 330) * 60 for hour in (0, 6, 12, 23)], pa.timestamp("s"))
    found = prepared(graph, tmp_path, shown, name)
    batch = next(iter(OrderedBatches(Rows(tmp_path / "run" / TRAIN), 9)))
    assert batch["hour"].tolist() == [1, 7, 13, 24]
    assert batch["weekday"].tolist() == [5] * 4
    assert batch["age"].tolist() == [7, 0.25, 7.5, pytest.approx(23 / 24)]
    again = Encoder.from_text(found.encoder.text(), found.encoder.requirements).of_inputs()
    (scored,) = table_batches(str(tmp_path / name), again)
    assert all(scored[column].tolist() == batch[column].tolist() for column in ("hour", "weekday", "age"))
    assert {report.column: report.encoding for report in found.columns}["age"] == "days until `shown`"
    assert {report.column: report.holds for report in found.columns}["hour"] == "dates and times"


@pytest.mark.parametrize(("choice", "first"), [("age", 7.0), ("age:2026-12-01", 11.0)])
def test_age_until_a_fixed_moment(graph: Graph, tmp_path: Path, choice: str, first: float) -> None:
    """Without a second column, age is counted in days to the latest moment in training rows or to a given date."""
    prepared(graph, tmp_path, ["2026-11-27"] * 4, age=choice)
    batch = next(iter(OrderedBatches(Rows(tmp_path / "run" / TRAIN), 9)))
    assert batch["age"].tolist() == [first, first - 7] * 2


def test_what_does_not_fit_is_reported_by_row(graph: Graph, tmp_path: Path) -> None:
    """A word among timestamps is an error with its row and the accepted forms, and nothing is written."""
    with pytest.raises(SpecError) as caught:
        prepared(graph, tmp_path, ["2026-11-27 01:00", "soon", "2026-11-27", "2026-11-27"])
    messages = [item.message for item in caught.value.diagnostics]
    assert any("column `hour`, row 2: `soon` is not a date or time" in message for message in messages)
    assert {item.code for item in caught.value.diagnostics} == {"AS704"}
    assert not (tmp_path / "run" / TRAIN).exists()


def test_timestamps_for_a_reader_of_ids(graph: Graph, tmp_path: Path) -> None:
    """A column of timestamps without an encoding is an error; the encodings that the help names work."""
    shown = pa.array([FRIDAY] * 4, pa.timestamp("s", "UTC"))
    table = pa.table({"hour": shown, "weekday": [1] * 4, "age": [1] * 4, "click": [0, 1] * 2})
    parquet.write_table(table, tmp_path / "a.parquet")
    files = (str(tmp_path / "a.parquet"),)
    with pytest.raises(SpecError, match="AS703") as caught:
        prepare(graph, Source(files, files), tmp_path / "run")
    assert "`--encode hour=hour` or `--encode hour=weekday`" in caught.value.diagnostics[0].help


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"hour": "weekday", "weekday": "hour"}, "column `weekday` cannot be encoded as `hour`: input `weekday` has 8"),
        ({"age": "hour"}, "column `age` cannot be encoded as `hour`"),
        ({"age": "age:"}, "column `age` cannot be encoded as `age:`"),
        ({"age": "age:seen"}, "has no column `seen`, which input `age` reads"),
    ],
)
def test_encodings_that_cannot_be(graph: Graph, tmp_path: Path, choices: dict[str, str], said: str) -> None:
    """Too few ids, another use, and an age until nothing or an unknown column each cause one diagnostic."""
    with pytest.raises(SpecError) as caught:
        prepared(graph, tmp_path, ["2026-11-27"] * 4, **choices)
    (diagnostic,) = caught.value.diagnostics
    assert said in diagnostic.message
    assert diagnostic.help
    assert caught.value.status == 2
