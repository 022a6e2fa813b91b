"""From files to encoded rows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import csv, parquet

import archspec
from archspec.data import batches
from archspec.data.batches import OrderedBatches, ShuffledBatches, table_batches
from archspec.data.encoder import Encoder
from archspec.data.encodings import Buckets, Vocabulary
from archspec.data.prepare import ENCODING, TRAIN, VALIDATION, Source, prepare
from archspec.data.requirements import column_requirements
from archspec.data.rows import Rows
from archspec.diagnostics import SpecError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from archspec.graph.graph import Graph

Columns = dict[str, list[Any]]


def written(folder: Path, rows: Columns, name: str = "rows.parquet") -> str:
    """Writes rows to a file; in CSV, lists are texts."""
    path = folder / name
    if name.endswith(".csv"):
        texts = {
            column: [" ".join(map(str, value)) if isinstance(value, list) else value for value in values]
            for column, values in rows.items()
        }
        csv.write_csv(pa.table(texts), path)
    else:
        parquet.write_table(pa.table(rows), path, row_group_size=7)
    return str(path)


def all_rows(folder: Path) -> dict[str, Tensor]:
    """Every prepared row, training rows first."""
    parts = [batch for name in (TRAIN, VALIDATION) for batch in OrderedBatches(Rows(folder / name), 1000)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_prepared_rows_are_what_the_model_reads(graph: Graph, rows: Columns, tmp_path: Path, name: str) -> None:
    """Parquet and CSV become the same batches, which model and loss accept with all checks enabled."""
    prepared = prepare(graph, Source((written(tmp_path, rows, name),), share=0.25), tmp_path)
    batch = all_rows(tmp_path)
    assert prepared.train + prepared.validation == len(batch["user"]) == 40
    assert sorted(batch["price"].tolist()) == rows["price"]
    order = batch["price"].long()
    assert batch["user"].tolist() == [rows["user"][i] for i in order]
    assert batch["scene"].tolist() == [i % 2 for i in order.tolist()]
    assert batch["place"].tolist() == [rows["place"][i] for i in order]
    assert batch["rating"].dtype == torch.int64
    cities = prepared.encoder.encodings["city"]
    assert isinstance(cities, Vocabulary)
    assert isinstance(prepared.encoder.encodings["age"], Buckets)
    numbers = {value: number for number, value in enumerate(cities.values, 1)}
    assert batch["city"].tolist() == [numbers.get(rows["city"][i], 0) for i in order]
    last = [[numbers[city] for city in rows["visited"][i]][-3:] for i in order]
    assert batch["visited"].tolist() == [ids + [-1] * (3 - len(ids)) for ids in last]
    model = archspec.compile(graph.spec, seed=0)
    loss, parts = archspec.MultiTaskLoss(model)(model(batch), batch)
    assert torch.isfinite(loss)
    assert parts["buy"] > 0


def test_the_split_does_not_depend_on_the_chunks(graph: Graph, rows: Columns, tmp_path: Path) -> None:
    """The held-out rows depend only on their positions: they are the same for one file and for two."""
    halves = [{name: values[part] for name, values in rows.items()} for part in (slice(0, 13), slice(13, 40))]
    one = (written(tmp_path, rows),)
    two = tuple(written(tmp_path, half, f"{number}.parquet") for number, half in enumerate(halves))
    held = []
    for number, files in enumerate((one, two)):
        prepare(graph, Source(files, share=0.3), tmp_path / f"run{number}")
        held.append(OrderedBatches(Rows(tmp_path / f"run{number}" / VALIDATION), 99))
    first, second = (next(iter(batches))["price"].tolist() for batches in held)
    assert first == second
    assert 4 <= len(first) <= 20


def test_vocabularies_come_from_training_rows(graph: Graph, rows: Columns, tmp_path: Path) -> None:
    """A value that occurs only in validation rows has id 0, and the share of such values is reported."""
    other = {**rows, "city": ["Nowhere"] * 20 + ["Oslo"] * 20, "visited": [[]] * 40}
    files = written(tmp_path, rows), written(tmp_path, other, "other.parquet")
    prepared = prepare(graph, Source(files[:1], files[1:]), tmp_path)
    assert (prepared.train, prepared.validation) == (40, 40)
    assert {report.column: report.unknown for report in prepared.columns}["city"] == 0.5
    batch = next(iter(OrderedBatches(Rows(tmp_path / VALIDATION), 40)))
    assert batch["city"][:20].eq(0).all()
    assert batch["city"][20:].gt(0).all()


BAD: dict[str, tuple[str, object, str]] = {
    "id too high": ("user", 10, "`10` is not an id in 0..9"),
    "negative id": ("user", -1, "`-1` is not an id in 0..9"),
    "no id": ("user", None, "no value"),
    "unknown domain": ("scene", "bar", "`bar` is not one of home, shop (or their index)"),
    "NaN": ("price", float("nan"), "no value"),
    "infinite": ("price", float("inf"), "`inf` is not a finite number"),
    "short list": ("place", [1.0], "`[1.0]` is not a list of 2 finite numbers"),
    "NaN in a list": ("place", [1.0, float("nan")], "`[1.0, nan]` is not a list of 2 finite numbers"),
    "label": ("click", 2, "`2` is neither 0 nor 1"),
    "class": ("rating", 3, "`3` is not a class in 0..2"),
    "no label": ("watch", None, "no value"),
    "weight": ("value", -1.0, "`-1.0` is not a number of at least 0"),
    "label in the sample space": ("buy", None, "no value"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_values_stop_or_are_skipped(graph: Graph, rows: Columns, tmp_path: Path, case: str) -> None:
    """A bad value is reported with file, column and row, and nothing is written; skipping drops only its row."""
    column, value, words = BAD[case]
    rows[column][7] = value
    file = written(tmp_path, rows)
    with pytest.raises(SpecError, match="AS704") as caught:
        prepare(graph, Source((file,)), tmp_path / "run")
    assert [item.message for item in caught.value.diagnostics] == [f"`{file}`, column `{column}`, row 8: {words}"]
    assert not (tmp_path / "run" / ENCODING).exists()
    prepared = prepare(graph, Source((file,), bad="skip"), tmp_path / "run")
    assert prepared.skipped == 1
    assert prepared.train + prepared.validation == 39
    assert 7.0 not in all_rows(tmp_path / "run")["price"]
    assert [item.severity for item in prepared.warnings] == ["warning"]


def test_labels_outside_the_sample_space_may_be_anything(graph: Graph, rows: Columns, tmp_path: Path) -> None:
    """For rows without a click, the label `buy` and its weight may have any value."""
    rows["buy"][4], rows["value"][6] = 77.0, None
    assert prepare(graph, Source((written(tmp_path, rows),)), tmp_path).skipped == 0


def test_many_bad_values_are_told_in_a_line(graph: Graph, rows: Columns, tmp_path: Path) -> None:
    """If several values fail for one reason, the first is shown and the others are counted."""
    rows["user"][3:6] = [10, 11, 12]
    with pytest.raises(SpecError) as caught:
        prepare(graph, Source((written(tmp_path, rows),)), tmp_path)
    (message,) = (item.message for item in caught.value.diagnostics)
    assert message.endswith("row 4: `10` is not an id in 0..9; 2 more rows like this")


def test_columns_of_a_wrong_type(graph: Graph, rows: Columns, tmp_path: Path) -> None:
    """A list where one id is read, or one number where several are, is one error for the whole column."""
    rows["user"], rows["place"] = [[1]] * 40, [1.0] * 40
    with pytest.raises(SpecError) as caught:
        prepare(graph, Source((written(tmp_path, rows),)), tmp_path)
    messages = [item.message.partition(" has the type ")[2] for item in caught.value.diagnostics]
    assert messages == [
        "double, but input `place` reads 2 numbers per row",
        "list<element: int64>, but input `user` reads one value per row",
    ]


@pytest.mark.parametrize(
    "values", [[{"a": 1}] * 40, [datetime(2026, 1, 1, tzinfo=UTC)] * 40, [b"x"] * 40], ids=["struct", "time", "bytes"]
)
def test_columns_of_types_that_nothing_reads(graph: Graph, rows: Columns, tmp_path: Path, values: list[object]) -> None:
    """Structs, times and bytes are rejected before their values are read."""
    rows["city"] = values
    with pytest.raises(SpecError, match="AS703"):
        prepare(graph, Source((written(tmp_path, rows),)), tmp_path)


def test_nothing_left(graph: Graph, rows: Columns, tmp_path: Path) -> None:
    """If every row is skipped, the error says so and gives the reasons."""
    rows["click"] = [5] * 40
    with pytest.raises(SpecError, match="there are no rows to train on") as caught:
        prepare(graph, Source((written(tmp_path, rows),), bad="skip"), tmp_path)
    assert {item.code for item in caught.value.diagnostics} == {"AS701", "AS704"}


def test_encodings_outlive_the_process(graph: Graph, rows: Columns, tmp_path: Path) -> None:
    """The written encodings read back, and encode new rows without labels as they encoded the old ones."""
    prepared = prepare(graph, Source((written(tmp_path, rows),)), tmp_path)
    text = (tmp_path / ENCODING).read_text(encoding="utf-8")
    encoder = Encoder.from_text(text, column_requirements(graph))
    assert encoder == prepared.encoder
    for label in ("click", "buy", "value", "watch", "rating"):
        del rows[label]
    (batch,) = table_batches([written(tmp_path, rows, "new.parquet")], encoder.of_inputs())
    assert batch["price"].tolist() == rows["price"]
    assert set(batch) == {"user", "city", "age", "visited", "scene", "price", "place"}


def test_batches_know_their_rows(graph: Graph, rows: Columns, tmp_path: Path) -> None:
    """With `bad="skip"` a batch has its row numbers as an attribute, not as a column."""
    encoder = prepare(graph, Source((written(tmp_path, rows),)), tmp_path).encoder.of_inputs()
    rows["user"][3] = rows["user"][9] = 77
    (batch,) = table_batches(written(tmp_path, rows, "new.csv"), encoder, bad="skip")
    assert batch.file == str(tmp_path / "new.csv")
    assert batch.rows.tolist() == [row for row in range(40) if row not in {3, 9}]
    assert set(batch) == set(encoder.requirements)
    assert batch["price"].tolist() == [float(row) for row in batch.rows]


def test_the_hint_for_an_unseen_id_when_scoring(graph: Graph, rows: Columns, tmp_path: Path) -> None:
    """The help proposes what is possible when scoring, and an encoding for the next run; both work."""
    prepared = prepare(graph, Source((written(tmp_path, rows),)), tmp_path)
    new = written(tmp_path, rows | {"user": [500] * 20 + [3] * 20}, "new.parquet")
    with pytest.raises(SpecError, match=r"`500` is not an id in 0\.\.9") as caught:
        list(table_batches(new, prepared.encoder.of_inputs()))
    (item,) = caught.value.diagnostics
    assert item.help.startswith('`bad="skip"` (for a command: `--bad skip`) leaves such rows out')
    assert "`--encode user=vocabulary`" in item.help
    (batch,) = table_batches(new, prepared.encoder.of_inputs(), bad="skip")
    assert batch.rows.tolist() == list(range(20, 40))
    source = Source((written(tmp_path, rows),), choices={"user": "vocabulary"})
    again = prepare(graph, source, tmp_path / "again").encoder
    (batch,) = table_batches(new, again.of_inputs())
    assert len(batch.rows) == 40


def test_a_missing_number_when_scoring(graph: Graph, rows: Columns, tmp_path: Path) -> None:
    """The help proposes `standard` for a missing number, but not for an infinite one, which would fail again."""
    encoder = prepare(graph, Source((written(tmp_path, rows),)), tmp_path).encoder.of_inputs()
    for value, named in ((None, True), (float("inf"), False)):
        new = written(tmp_path, rows | {"price": [1.0, value] * 20}, "new.parquet")
        with pytest.raises(SpecError) as caught:
            list(table_batches(new, encoder))
        assert ("--encode price=standard" in caught.value.diagnostics[0].help) == named


def test_rows_are_counted_through_a_file(graph: Graph, rows: Columns, tmp_path: Path, monkeypatch: Any) -> None:  # noqa: ANN401 - pytest's
    """Row numbers continue from batch to batch and start again with each file."""
    monkeypatch.setattr("archspec.data.tables._ROWS", 16)
    encoder = prepare(graph, Source((written(tmp_path, rows),)), tmp_path).encoder.of_inputs()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    files = [written(tmp_path / name, rows) for name in ("a", "b")]
    batches = list(table_batches(tmp_path / "*" / "rows.parquet", encoder))
    assert [(batch.file, int(batch.rows[0])) for batch in batches] == [(f, n) for f in files for n in (0, 16, 32)]


@pytest.mark.parametrize("values", [[0.5, 7.0, -2.25], [3, 1, 0], ["2.5", "1", "0"], [True, False, True]])
def test_the_column_of_a_loss_is_as_it_is(priced: Graph, tmp_path: Path, values: list[Any]) -> None:
    """A loss that names a column gets its numbers unchanged."""
    file = written(tmp_path, {"x": [0.0] * 3, "a": [0, 1, 0], "p": values})
    prepare(priced, Source((file,), (file,)), tmp_path)
    batch = next(iter(OrderedBatches(Rows(tmp_path / TRAIN), 3)))
    assert batch["p"].tolist() == [float(value) for value in values]


def test_a_loss_needs_a_number_in_each_row(priced: Graph, tmp_path: Path) -> None:
    """A missing number or column is reported before training, with the loss that reads it."""
    without: Columns = {"x": [0.0] * 3, "a": [0, 1, 0]}
    with pytest.raises(SpecError, match="column `p`, row 2: no value"):
        prepare(priced, Source((written(tmp_path, without | {"p": [1, None, 2]}),)), tmp_path)
    with pytest.raises(SpecError, match="has no column `p`, which the loss `priced` of task `a` reads"):
        prepare(priced, Source((written(tmp_path, without),)), tmp_path)


# -- batches -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def many(graph: Graph, rows: Columns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rows:
    """403 rows in blocks of 50; the shuffle mixes three blocks at a time."""
    monkeypatch.setattr("archspec.data.rows.BLOCK", 50)
    monkeypatch.setattr("archspec.data.batches.WINDOW", 3)
    longer = {name: (values * 12)[:450] for name, values in rows.items()} | {"price": list(map(float, range(450)))}
    for name in ("click", "buy"):
        longer[name] = [0.0] * 450
    prepare(graph, Source((written(tmp_path, longer),)), tmp_path)
    return Rows(tmp_path / TRAIN)


def prices(batches: ShuffledBatches) -> list[list[float]]:
    """The price of every row in an epoch, by batch; the price is the number of the row."""
    return [batch["price"].tolist() for batch in batches]


def test_an_epoch_has_every_row_once(many: Rows) -> None:
    """Batches have one size and no row twice, and omit fewer rows than one batch; epochs differ."""
    batches = ShuffledBatches(many, 32, seed=0)
    first, second = prices(batches), prices(batches)
    assert len(first) == len(batches) == len(many) // 32
    for epoch in (first, second):
        assert all(len(batch) == 32 for batch in epoch)
        assert len(set(np.concatenate(epoch).tolist())) == len(batches) * 32
    assert first != second
    assert first == prices(ShuffledBatches(many, 32, seed=0))
    assert first != prices(ShuffledBatches(many, 32, seed=1))


def test_rows_are_well_mixed(many: Rows) -> None:
    """A batch contains rows of several blocks."""
    batch = prices(ShuffledBatches(many, 32, seed=0))[0]
    assert len({int(price) // 50 for price in batch}) >= 3


@pytest.mark.parametrize("size", [7, 32, 50, 149, 400, 1000])
def test_going_on_from_any_batch(many: Rows, size: int) -> None:
    """An iteration that is resumed gives the remaining batches, and then the next epoch."""
    whole = ShuffledBatches(many, size, seed=3)
    expected = [*prices(whole), *prices(whole)]
    for stop in range(0, len(whole) + 1, max(len(whole) // 5, 1)):
        begun = ShuffledBatches(many, size, seed=3)
        given = [batch["price"].tolist() for batch, _ in zip(begun, range(stop), strict=False)]
        resumed = ShuffledBatches(many, size, seed=3)
        resumed.load_state_dict({"epoch": 0, "position": stop})
        given = given[:stop] + prices(resumed)
        assert given == (expected[: len(whole)] if stop < len(whole) else expected)


@pytest.mark.parametrize(("size", "count"), [(7, 2), (32, 3), (149, 2), (1000, 2), (2, 3)])
def test_processes_share_every_batch(many: Rows, monkeypatch: pytest.MonkeyPatch, size: int, count: int) -> None:
    """Process `r` of `n` has every n-th row of each batch of one process, also after a resume; it reads no others."""
    whole = prices(ShuffledBatches(many, size, seed=5))
    read: list[int] = []
    take: Any = Rows.take

    def counted(self: Rows, rows: NDArray[np.int64], before: Columns | None) -> dict[str, NDArray[Any]]:
        read.append(len(rows))
        found: dict[str, NDArray[Any]] = take(self, rows, before)
        return found

    monkeypatch.setattr(Rows, "take", counted)
    for rank in range(count):
        monkeypatch.setattr(batches, "process", lambda rank=rank: (rank, count))
        expected = [batch[rank::count] for batch in whole]
        mine = ShuffledBatches(many, size, seed=5)
        assert prices(mine) == expected
        mine.load_state_dict({"epoch": 0, "position": len(whole) // 3})
        assert prices(mine) == expected[len(whole) // 3 :] or len(whole) == 1
    assert sum(read) <= 2 * sum(map(len, whole))


def test_rows_in_order(many: Rows) -> None:
    """Validation reads every row once, in the order of the files."""
    batches = OrderedBatches(many, 30)
    found = [batch["price"] for batch in batches]
    assert len(found) == len(batches)
    assert torch.cat(found).diff().gt(0).all()
    assert sum(map(len, found)) == len(many)
