"""Scores of a run: every row, in order, in every format, from files and from memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import csv, feather, parquet

from archspec.data.memory import tables_of
from archspec.diagnostics import SpecError
from archspec.runs.scoring import ScoreOptions, Scores, write_scores
from archspec.runs.trained import load_run
from tests.runs.clicks import OUTPUTS, rows, trained

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from archspec.runs.trained import Trained

LABELS = {"click", "buy", "stars"}
DATA = {name: values for name, values in rows(50, 1).items() if name not in LABELS}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A trained run."""
    return trained(tmp_path_factory.mktemp("run"))


def written(run: Trained, output: Path, data: Any, **options: Any) -> Scores:  # noqa: ANN401 - files or memory; of ScoreOptions
    """Scores that were written to a file."""
    scores = Scores(run, tables_of(data), ScoreOptions(**{"keep": {}, **options}))
    write_scores(scores, str(output))
    return scores


def test_scores_are_those_of_the_model(run: Trained) -> None:
    """Every output of `predict` has one score per row, equal to the model's on the encoded rows."""
    found = run.predict(DATA)
    expected = run.model.predict(run.encode(DATA))
    assert tuple(found) == tuple(expected) == OUTPUTS
    assert found["stars"].shape == (50, 3)
    for name in OUTPUTS:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=0)


def test_a_run_for_one_task_has_only_what_it_needs(run: Trained, tmp_path: Path) -> None:
    """The reduced model has fewer weights but the same scores; only the requested outputs are written."""
    small = load_run(run.folder, tasks=["rank"])
    assert len(dict(small.model.named_weights())) < len(dict(run.model.named_weights()))
    expected, found = run.predict(DATA), small.predict(DATA)
    assert set(found) == {"click", "buy", "rank"}
    assert all(torch.allclose(found[name], expected[name], rtol=0, atol=1e-6) for name in found)
    written(small, tmp_path / "a.parquet", DATA, names=("rank",))
    assert parquet.read_table(tmp_path / "a.parquet").column_names == ["rank"]
    with pytest.raises(SpecError, match="AS812"):
        load_run(run.folder, tasks=["rnak"])


def test_the_size_of_a_forward_pass_changes_nothing(run: Trained) -> None:
    """Batches of 7 rows give the same scores as a single batch."""
    one, many = run.predict(DATA), run.predict(DATA, batch=7)
    assert all(torch.allclose(one[name], many[name], rtol=0, atol=1e-6) for name in OUTPUTS)


def test_rows_that_do_not_fit_keep_their_place(run: Trained, tmp_path: Path) -> None:
    """Their scores are null in a table and NaN in tensors; they are counted, and a warning shows the first one."""
    data = {**DATA, "x": [float("nan") if row in {3, 20} else x for row, x in enumerate(DATA["x"])]}
    scores = written(run, tmp_path / "scores.parquet", data, keep={"user": "user"})
    assert (scores.rows, scores.unscored) == (50, 2)
    (warning,) = scores.warnings()
    assert (warning.code, "row 4: no value; 1 more row like this" in warning.message) == ("AS704", True)
    table = parquet.read_table(tmp_path / "scores.parquet")
    assert table["user"].to_pylist() == DATA["user"]
    whole = run.predict(DATA)
    for name in OUTPUTS:
        values = table[name].to_pylist()
        assert [row for row, value in enumerate(values) if value is None] == [3, 20]
        tensor = run.predict(data)[name]
        assert tensor.isnan().reshape(50, -1).any(1).nonzero().flatten().tolist() == [3, 20]
        assert torch.allclose(tensor[4:20], whole[name][4:20], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "a.arrow", "a.csv", "a.csv.gz", "a.tsv"])
def test_formats_hold_the_same_scores(run: Trained, tmp_path: Path, name: str) -> None:
    """Every readable format can be written, with one row per input row, in the order of the files."""
    parts = [pa.table({key: values[start : start + 25] for key, values in DATA.items()}) for start in (0, 25)]
    for number, part in enumerate(parts):
        parquet.write_table(part, tmp_path / f"part{number}.parquet")
    written(run, tmp_path / name, str(tmp_path / "part*.parquet"), keep={"scene": "where"})
    read: Callable[[Path], pa.Table] = {
        "parquet": parquet.read_table, "feather": feather.read_table, "arrow": feather.read_table,
        "tsv": lambda path: csv.read_csv(path, parse_options=csv.ParseOptions(delimiter="\t")),
    }.get(name.rpartition(".")[2], csv.read_csv)  # fmt: skip
    table = read(tmp_path / name)
    assert table.column_names == ["where", *OUTPUTS]
    assert table["where"].to_pylist() == DATA["scene"]
    expected = run.predict(DATA)
    np.testing.assert_allclose(table["click"].to_numpy(), expected["click"], rtol=1e-6)
    stars = table["stars"].to_pylist()
    lists = [[float(word) for word in one.strip("[]").split(",")] if isinstance(one, str) else one for one in stars]
    np.testing.assert_allclose(lists, expected["stars"], rtol=1e-6)


def test_gates_are_columns_of_lists(run: Trained, tmp_path: Path) -> None:
    """With gates, each gate's weights are one list per row, and the file names each gate's experts."""
    written(run, tmp_path / "a.parquet", DATA, gates=True)
    table = parquet.read_table(tmp_path / "a.parquet")
    gate = "level1.gates.buy"
    expected = run.model.gate_weights(run.encode(DATA))
    assert table.column_names == [*OUTPUTS, *expected]
    np.testing.assert_allclose(table[gate].to_pylist(), expected[gate], rtol=1e-6)
    experts = [expert.node for expert in run.graph.seen[gate]]
    assert table.schema.metadata[gate.encode()].decode().split(",") == experts


def test_kept_columns_of_files_that_differ_become_texts(run: Trained, tmp_path: Path) -> None:
    """A column with numbers in one file and texts in another becomes texts; number types widen to the larger one."""
    for number, kind in enumerate((pa.int8(), pa.int64(), pa.string())):
        part = pa.table({**DATA, "day": pa.array([number] * 50, pa.int8()).cast(kind)})
        parquet.write_table(part, tmp_path / f"part{number}.parquet")
    files = [tmp_path / f"part{number}.parquet" for number in range(3)]
    written(run, tmp_path / "a.parquet", files[:2], keep={"day": "day"})
    assert parquet.read_table(tmp_path / "a.parquet")["day"].to_pylist() == [0] * 50 + [1] * 50
    written(run, tmp_path / "a.parquet", files, keep={"day": "day"})
    assert parquet.read_table(tmp_path / "a.parquet")["day"].to_pylist() == ["0"] * 50 + ["1"] * 50 + ["2"] * 50


def test_no_rows_give_a_table_without_rows(run: Trained, tmp_path: Path) -> None:
    """For an empty file the table has its columns and no scores; in memory the tensors keep their widths."""
    parquet.write_table(pa.table(DATA).slice(0, 0), tmp_path / "none.parquet")
    written(run, tmp_path / "a.parquet", tmp_path / "none.parquet", keep={"user": "user"}, gates=True)
    table = parquet.read_table(tmp_path / "a.parquet")
    assert (table.num_rows, table.column_names[:3]) == (0, ["user", "click", "buy"])
    assert run.predict(tmp_path / "none.parquet")["stars"].shape == (0, 3)


def test_a_failure_leaves_no_file(run: Trained, tmp_path: Path) -> None:
    """If a later file cannot be read, no scores of earlier ones are left behind."""
    parquet.write_table(pa.table(DATA), tmp_path / "a.parquet")
    csv.write_csv(pa.table({"user": ["ann"], "seen": ["ann"], "x": [1.0]}), tmp_path / "b.csv")
    with (tmp_path / "b.csv").open("ab") as file:
        file.write(b'"ann","\xff",2\n')
    with pytest.raises(SpecError, match="AS715"):
        written(run, tmp_path / "scores.csv", [tmp_path / "a.parquet", tmp_path / "b.csv"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.parquet", "b.csv"]


def test_what_cannot_be_written_is_told(run: Trained, tmp_path: Path) -> None:
    """A column that is not in the data, a name used for two columns, and an unknown format are errors."""
    data = {**DATA, "click": [0] * 50}
    with pytest.raises(SpecError, match=r"AS702.*`--keep` reads") as raised:
        written(run, tmp_path / "a.parquet", DATA, keep={"scen": "scen"})
    assert "did you mean `scene`?" in raised.value.diagnostics[0].help
    assert "label:" not in raised.value.diagnostics[0].help
    with pytest.raises(SpecError, match="AS803") as raised:
        written(run, tmp_path / "a.parquet", data, keep={"click": "click"})
    assert raised.value.diagnostics[0].help == "`--keep click=label_click` keeps it under another name"
    written(run, tmp_path / "a.parquet", data, keep={"click": "label_click"})
    with pytest.raises(SpecError, match="AS803"):
        written(run, tmp_path / "a.parquet", data, keep={"user": "who", "scene": "who"})
    with pytest.raises(SpecError, match="AS802"):
        written(run, tmp_path / "a.xlsx", DATA)
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_a_request_in_memory(run: Trained) -> None:
    """A dict of lists or arrays, an Arrow table and a record batch give the same scores."""
    table = pa.table(DATA)
    expected = run.encode(DATA)
    for data in (
        table,
        table.to_batches()[0],
        {**DATA, "x": np.asarray(DATA["x"])},
        {**DATA, "x": torch.tensor(DATA["x"])},
    ):
        found = run.encode(data)
        assert found.keys() == expected.keys()
        assert all(torch.allclose(found[name], expected[name]) for name in expected)
    assert expected.rows.tolist() == list(range(50))


def test_a_request_with_values_that_do_not_fit(run: Trained) -> None:
    """They raise an error, or are skipped while other rows keep their numbers."""
    data = {"user": ["ann", "new", "bob"], "seen": [["ann"], [], ["bob", "cyd"]], "x": [0.5, None, 1.0]}
    with pytest.raises(SpecError, match="`data in memory`, column `x`, row 2: no value"):
        run.encode(data)
    batch = run.encode(data, bad="skip")
    assert batch.rows.tolist() == [0, 2]
    assert len(batch["user"]) == 2
    nothing = run.encode({**data, "x": [None] * 3}, bad="skip")
    assert (nothing["user"].shape, nothing["seen"].shape) == ((0,), (0, 3))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"user": "ann", "seen": [[]], "x": [1.0]}, "column `user` in memory is a `str`"),
        ({"user": ["ann"], "seen": [[]], "x": 1.0}, "column `x` in memory is a `float`"),
        ({"user": ["ann", 3], "seen": [[]] * 2, "x": [1.0] * 2}, "column `user` in memory cannot be read"),
        ({"user": ["ann"], "seen": [[]], "x": [1.0, 2.0]}, "different numbers of rows: `user` 1, `seen` 1, `x` 2"),
        ({"user": [], "seen": [], "x": []}, "there are no rows to encode"),
        (3, "a `int` is not a table"),
    ],
)
def test_what_is_no_request(run: Trained, data: object, words: str) -> None:
    """Data in memory that is not a table is one error that names the column."""
    with pytest.raises(SpecError, match="AS801") as raised:
        run.encode(data)
    assert words in raised.value.diagnostics[0].message
