"""`archspec predict` and `archspec evaluate`, the commands that are used after `archspec train`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import Result
from pyarrow import csv, parquet

from tests.runs.clicks import OUTPUTS, SPEC, rows, trained

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a run."""
    return str(trained(tmp_path_factory.mktemp("run")).folder)


@pytest.fixture
def new(tmp_path: Path) -> None:
    """`new0.parquet` and `new1.parquet`, 30 rows each, in the folder where the commands run."""
    for number in range(2):
        parquet.write_table(pa.table(rows(30, number)), tmp_path / f"new{number}.parquet")


@pytest.mark.usefixtures("new")
def test_scores_of_files(run: Run, folder: str) -> None:
    """Several files give one table with the kept columns first; the number of rows is printed on standard error."""
    words = ("predict", folder, "--data", "new0.parquet", "new1.parquet", "--keep", "user,click=label", "--gates")
    done = run(*words, "-o", "scores.feather")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "scores.feather: 60 rows\n")
    with pa.memory_map("scores.feather") as source:
        table = pa.ipc.open_file(source).read_all()
    assert table.column_names[:6] == ["user", "label", *OUTPUTS]
    assert table.column_names[6:] == [f"level1.gates.{task}" for task in ("click", "buy", "stars")]
    assert table["label"].to_pylist() == rows(30, 0)["click"] + rows(30, 1)["click"]


@pytest.mark.usefixtures("new")
def test_scores_on_standard_output(run: Run, folder: str) -> None:
    """`-o -` prints CSV; rows with invalid values are counted on standard error and have empty fields."""
    table = parquet.read_table("new0.parquet")
    parquet.write_table(table.set_column(2, "x", pa.array([None, *table["x"].to_pylist()[1:]])), "holes.parquet")
    done = run("predict", folder, "--data", "holes.parquet", "-o", "-")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert (len(lines), lines[0], lines[1]) == (31, '"click","buy","stars","rank"', ",,,")
    read = csv.read_csv(pa.BufferReader(done.stdout.encode()))
    assert read["click"].null_count == 1
    assert "warning[AS704]" in done.stderr
    assert "the scores of these rows are null" in done.stderr
    assert done.stderr.endswith("30 rows, 1 without scores\n")


@pytest.mark.usefixtures("new")
def test_a_refused_file_prints_no_header(run: Run, folder: str) -> None:
    """A file without the columns of the model is refused before anything reaches standard output."""
    parquet.write_table(parquet.read_table("new0.parquet").select(["user"]), "narrow.parquet")
    done = run("predict", folder, "--data", "narrow.parquet", "-o", "-")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "AS702" in done.stderr


@pytest.mark.usefixtures("new")
def test_one_task(run: Run, folder: str) -> None:
    """`--tasks` builds and scores only the named outputs; for an unknown name the nearest one is suggested."""
    done = run("predict", folder, "--data", "new0.parquet", "-o", "-", "--tasks", "rank")
    assert (done.exit_code, done.stdout.splitlines()[0]) == (0, '"rank"')
    assert "-: " not in done.stderr
    spec = str(Path(folder, "spec.yaml"))
    assert run("build", spec, "--tasks", "click", "-o", "click.py").exit_code == 0
    assert run("build", spec, "-o", "all.py").exit_code == 0
    text = Path("click.py").read_text(encoding="utf-8")
    assert "towers.buy" not in text
    assert "towers.click" in text
    assert len(text) < len(Path("all.py").read_text(encoding="utf-8"))
    wrong = run("build", spec, "--tasks", "clik", "-o", "no.py")
    assert (wrong.exit_code, "did you mean `click`?" in wrong.stderr, Path("no.py").exists()) == (2, True, False)


@pytest.mark.usefixtures("new")
def test_metrics_of_files(run: Run, folder: str) -> None:
    """The table has a row for each task and for each group; the JSON contains the same numbers."""
    done = run("evaluate", folder, "--data", "new*.parquet", "--by", "scene")
    assert done.exit_code == 0
    header, _, *shown = (line.split() for line in done.stdout.strip().splitlines())
    assert header[:4] == ["task", "scene", "rows", "loss"]
    assert [line[:2] if line[0] in OUTPUTS else line[:1] for line in shown[:3]] == [
        ["click", "all"],
        ["home"],
        ["search"],
    ]
    assert done.stderr == "60 rows\n"
    found = json.loads(run("evaluate", folder, "--data", "new*.parquet", "--by", "scene", "--json").stdout)
    assert (found["rows"], found["skipped"], found["by"]) == (60, 0, "scene")
    assert [group["value"] for group in found["groups"]] == ["home", "search"]
    assert f"{found['tasks']['click']['auc']:.5f}" in shown[0]
    assert set(found["tasks"]["stars"]) == {"loss", "log_loss", "accuracy"}
    assert "by" not in json.loads(run("evaluate", folder, "--data", "new0.parquet", "--json").stdout)


@pytest.mark.usefixtures("new")
def test_products_in_bfloat16(run: Run, folder: str) -> None:
    """`--precision bf16` prints the largest difference from fp32; scores and metrics are near those in fp32."""
    words = ("predict", folder, "--data", "new0.parquet", "-o", "-")
    exact, rounded = run(*words), run(*words, "--precision", "bf16")
    found = re.match(
        r"bf16: the largest difference of a logit from fp32 on random input is (\S+)\n30 rows\n", rounded.stderr
    )
    assert found
    assert 0 < float(found[1]) < 0.1
    scores = [csv.read_csv(pa.BufferReader(done.stdout.encode())) for done in (exact, rounded)]
    assert scores[0].column_names == scores[1].column_names
    differences = np.abs(np.subtract(*(table["click"].to_numpy() for table in scores)))
    assert 0 < differences.max() < 0.02
    measured = [
        run("evaluate", folder, "--data", "new*.parquet", "--json", "--precision", precision)
        for precision in ("fp32", "bf16")
    ]
    losses = [json.loads(done.stdout)["tasks"]["click"]["loss"] for done in measured]
    assert losses[0] == pytest.approx(losses[1], abs=0.02)


@pytest.mark.usefixtures("new")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict", "RUN", "--data", "new0.parquet"], "Missing option '-o'"),
        (["predict", "RUN", "--data", "new0.parquet", "-o", "scores.xlsx"], "AS802"),
        (["predict", "RUN", "--data", "new0.parquet", "-o", "a.csv", "--keep", "click"], "--keep click=label_click"),
        (["predict", "RUN", "--data", "new0.parquet", "-o", "a.csv", "--keep", "=a"], "is not a list of columns"),
        (["predict", "RUN", "--data", "new0.parquet", "-o", "no/a.csv"], "AS011"),
        (["predict", "RUN", "--data", "old.parquet", "-o", "a.csv"], "there is no file `old.parquet`"),
        (["predict", ".", "--data", "new0.parquet", "-o", "a.csv"], "is not the folder of a run"),
        (["evaluate", "RUN", "--data", "new0.parquet", "--by", "sceen"], "did you mean `scene`?"),
    ],
)
def test_mistakes_after_training(run: Run, folder: str, words: list[str], said: str) -> None:
    """Each mistake causes one message with status 2, and nothing is written."""
    before = sorted(Path().iterdir())
    done = run(*(folder if word == "RUN" else word for word in words))
    assert (done.exit_code, said in " ".join(done.stderr.split()), done.stdout) == (2, True, "")
    assert sorted(Path().iterdir()) == before


@pytest.mark.usefixtures("new")
def test_a_run_that_continues_another_says_what_moved(run: Run, folder: str) -> None:
    """`--from` prints the counts and every weight that is not simply kept; for a wrong name no folder is made."""
    text = SPEC.replace("count: 2", "count: 3").replace("buy", "order")
    Path("v2.yaml").write_text(text, encoding="utf-8")
    data = pa.table({"order" if name == "buy" else name: values for name, values in rows(80, 3).items()})
    parquet.write_table(data, "day2.parquet")
    words = ("train", "v2.yaml", "--data", "day2.parquet", "--epochs", "1", "--from", folder, "-o", "two")
    wrong = run(*words, "--moved", "byu=order")
    assert (wrong.exit_code, "did you mean `buy`?" in wrong.stderr, Path("two").exists()) == (2, True, False)
    done = run(*words, "--moved", "buy=order")
    assert done.exit_code == 0
    assert "weights: 17 kept, 6 moved, 3 grown, 2 new, 0 dropped" in done.stderr
    assert "moved   towers.order, was towers.buy: " in done.stderr
    assert "grown   level1.gates.click.head.weight, 3 of 4 rows: without `bias: true`" in done.stderr
    assert run("train", "v2.yaml", "--data", "day2.parquet", "--moved", "buy").exit_code == 2
