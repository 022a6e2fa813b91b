"""`archspec train` and `archspec gates`."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import Result
from pyarrow import csv, parquet
from safetensors.torch import load_file

import archspec
from archspec.cli.data_options import source_of
from archspec.cli.recipe_options import recipe_of
from archspec.cli.train import train
from archspec.data.prepare import Source
from archspec.runs.recipe import Recipe
from archspec.runs.recipe_file import WrittenRecipe

Run = Callable[..., Result]

SPEC = """
archspec: 1
name: small
inputs:
  user: {kind: sparse, vocab: 20, dim: 4}
  x: {kind: dense, dim: 1}
tasks:
  click: {}
  watch: {kind: regression}
levels:
  - experts: {$task: {units: [4]}, shared: {count: 2, units: [4]}}
    gates: {$task: {sees: [$task, shared]}}
towers: {$task: {units: [4]}}
"""


def table(rows: int, seed: int) -> pa.Table:
    """Rows that fit the spec."""
    random = np.random.default_rng(seed)
    x = random.normal(size=rows)
    user = random.choice(["ann", "bob", "cyd"], rows)
    return pa.table({"user": user, "x": x, "click": (x > 0).astype(int), "watch": x * 2})


def test_every_setting_of_a_run_is_an_option_with_the_same_default() -> None:
    """Without options, `train` uses the defaults of `Source` and `Recipe`."""
    context = train.make_context("train", ["small.yaml", "--data", "day.csv"])
    assert source_of(context.params) == Source(("day.csv",))
    assert recipe_of(context, WrittenRecipe({}, {})) == Recipe()


@pytest.fixture
def trained(run: Run) -> Result:
    """A run in runs/small that was trained on two files and validated on a third."""
    Path("small.yaml").write_text(SPEC)
    for number in range(2):
        parquet.write_table(table(200, number), f"day{number}.parquet")
    csv.write_csv(table(100, 9), "new.csv")
    return run(
        "train", "small.yaml", "--data", "day0.parquet", "day1.parquet", "--validation", "new.csv", "--epochs", "3",
        "--batch", "50", "--learning-rate", "0.02", "--grouped-by", "user",
    )  # fmt: skip


def test_training_prints_what_each_task_reached(trained: Result) -> None:
    """Standard output has a row for each task; standard error shows rows, encodings and epochs."""
    assert trained.exit_code == 0
    lines = [line.split() for line in trained.stdout.strip().splitlines() if line.strip()]
    headers, (click,), (watch,) = ([line for line in lines if line[0] == first] for first in ("task", "click", "watch"))
    assert headers == [
        [
            "task",
            "loss",
            "auc",
            "log",
            "loss",
            "normalized",
            "entropy",
            "pcoc",
            "ece",
            "grouped",
            "auc",
            "ndcg@10",
            "recall@10",
        ],
        ["task", "loss", "rmse", "mae", "r2", "rank", "correlation"],
    ]
    assert float(watch[2]) > 0
    assert float(click[2]) > 0.8
    assert "400 rows to train on, 100 to validate on" in trained.stderr
    (user,) = (" ".join(line.split()) for line in trained.stderr.splitlines() if line.startswith("user"))
    assert user == "user texts vocabulary of 3 values not all are numbers"
    assert max(map(len, trained.stderr.splitlines())) <= 100
    assert "epoch 3: " in trained.stderr
    assert Path("runs/small/curves.svg").read_text().startswith("<?xml")


def test_json(run: Run, trained: Result) -> None:
    """With --json standard output is JSON; with --resume a finished run prints it at once."""
    assert trained.exit_code == 0
    result = run(
        "train", "small.yaml", "--data", "day0.parquet", "day1.parquet", "--validation", "new.csv", "--epochs", "3",
        "--batch", "50", "--learning-rate", "0.02", "--grouped-by", "user", "--resume", "--json",
    )  # fmt: skip
    found = json.loads(result.stdout)
    assert found["rows"] == {"train": 400, "validation": 100, "skipped": 0}
    assert set(found["tasks"]["watch"]) == {"loss", "rmse", "mae", "r2", "rank_correlation"}
    assert found["folder"] == str(Path("runs/small"))


def test_gates_of_a_run(run: Run, trained: Result) -> None:
    """The mean weights of every gate are shown and sum to one; the figure is drawn, and the JSON has the numbers."""
    assert trained.exit_code == 0
    result = run("gates", "runs/small", "-o", "gates.svg", "--json")
    assert result.exit_code == 0
    gates = json.loads(result.stdout)["gates"]
    assert [gate["gate"] for gate in gates] == ["level1.gates.click", "level1.gates.watch"]
    assert all(math.isclose(sum(gate["means"]), 1, abs_tol=1e-5) and gate["rows"] == 100 for gate in gates)
    assert Path("gates.svg").read_text().startswith("<?xml")
    shown = run("gates", "runs/small", "--data", "day0.parquet", "day1.parquet")
    assert [line for line in shown.stdout.splitlines() if "gates." in line] == [
        f"{gate['gate']}: {gate['kind']} over {len(gate['experts'])}, 1/n = {1 / len(gate['experts']):.4f}"
        for gate in gates
    ]
    documented = (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8")
    assert all(f"`gates[].{key}`" in documented for gate in gates for key in gate)


def test_gates_that_look_wrong_are_told(run: Run, trained: Result) -> None:
    """An expert that no gate uses causes a warning on standard error."""
    assert trained.exit_code == 0
    one = table(50, 0)
    parquet.write_table(one.set_column(1, "x", pa.array(np.full(50, 1e4))), "far.parquet")
    result = run("gates", "runs/small", "--data", "far.parquet")
    assert "warning: no gate uses" in result.stderr or "has collapsed" in result.stderr


@pytest.mark.parametrize("command", ["gates", "importance"])
def test_files_without_rows(run: Run, trained: Result, command: str) -> None:
    """There is nothing to average over: one error, no traceback."""
    assert trained.exit_code == 0
    parquet.write_table(table(50, 0).slice(0, 0), "nothing.parquet")
    result = run(command, "runs/small", "--data", "nothing.parquet")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error[AS701]: the data has no rows")


def test_a_model_without_gates(run: Run) -> None:
    """For Shared-Bottom, which has no gates, the command prints a sentence that says so."""
    bottom = SPEC.partition("levels:")[0] + "towers: {$task: {units: [4]}}\n"
    Path("bottom.yaml").write_text(bottom)
    parquet.write_table(table(60, 0), "a.parquet")
    assert run("train", "bottom.yaml", "--data", "a.parquet", "--epochs", "1", "-o", "run").exit_code == 0
    result = run("gates", "run")
    assert result.exit_code == 2
    assert "`small` has no gates" in result.stderr


def test_an_interrupt_says_how_to_go_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning ends the process after Ctrl-C; the command says how to continue the run, and exits with status 130."""
    Path("small.yaml").write_text(SPEC)

    def interrupted(*_arguments: object, **_options: object) -> None:
        raise SystemExit(1)

    parquet.write_table(table(60, 0), "a.parquet")
    monkeypatch.setattr("lightning.pytorch.Trainer.fit", interrupted)
    result = run("train", "small.yaml", "--data", "a.parquet")
    assert result.exit_code == 130
    assert f"to continue the run in {Path('runs/small')}, add --resume" in result.stderr


def test_a_pattern_names_files(run: Run) -> None:
    """Files may be given as a quoted pattern; a pattern without a match is wrong usage."""
    Path("small.yaml").write_text(SPEC)
    for number in range(3):
        parquet.write_table(table(40, number), f"day{number}.parquet")
    result = run("train", "small.yaml", "--data", "day*.parquet", "--epochs", "1", "-o", "here")
    assert result.exit_code == 0
    assert json.loads(Path("here/run.json").read_text())["asked"]["files"] == [f"day{n}.parquet" for n in range(3)]
    assert run("train", "small.yaml", "--data", "night*.parquet").exit_code == 2


def test_a_folder_of_parts_is_read(run: Run) -> None:
    """`--data` takes a folder of Parquet parts; an empty folder is reported in one sentence."""
    Path("small.yaml").write_text(SPEC)
    Path("d.parquet").mkdir()
    words = ("train", "small.yaml", "--data", "d.parquet", "--epochs", "1", "-o", "here")
    empty = run(*words)
    assert (empty.exit_code, "the folder `d.parquet` contains no data files" in empty.stderr) == (2, True)
    for number in range(2):
        parquet.write_table(table(40, number), f"d.parquet/part-0000{number}.parquet")
    Path("d.parquet/_SUCCESS").touch()
    assert run(*words, "--json").exit_code == 0
    rows = json.loads(Path("here/results.json").read_text())
    assert rows["train"] + rows["validation"] == 80


def test_options_for_columns() -> None:
    """Per-column options are read: names of separators, `=` as a separator, and one number for all vocabularies."""
    words = "--separator a=tab --separator b=blank --separator c== --separator d=; --min-count 5 --min-count a=2"
    words += " --column b=c --encode b=age:c --padding a=0 --missing b=NA,-"
    values = train.make_context("train", ["small.yaml", "--data", "day.csv", *words.split()]).params
    assert source_of(values) == Source(
        ("day.csv",), separators={"a": "\t", "b": " ", "c": "=", "d": ";"}, min_counts={"*": 5, "a": 2},
        columns={"b": "c"}, choices={"b": "age:c"}, padding={"a": "0"},
        missing={"b": ("NA", "-")},
    )  # fmt: skip


def test_encodings_in_a_file(run: Run) -> None:
    """Encodings from a file are used and kept in the run; an option overrides them; a mistake has its line number."""
    Path("small.yaml").write_text(SPEC)
    parquet.write_table(table(100, 0), "day.parquet")
    Path("encodings.yaml").write_text("user: {encode: hash, min_count: 2}\nx: standard\n")
    words = ("train", "small.yaml", "--data", "day.parquet", "--epochs", "1", "--encodings", "encodings.yaml")
    told = run(*words, "--encode", "user=vocabulary")
    assert told.exit_code == 0
    kept = json.loads(Path("runs/small/run.json").read_text())["asked"]
    assert (kept["choices"], kept["min_counts"]) == ({"user": "vocabulary", "x": "standard"}, {"user": 2})
    assert run(*words, "--encode", "user=vocabulary", "--resume").exit_code == 0
    Path("encodings.yaml").write_text("user: hash\nx: standart\n")
    told = run(*words, "-o", "other")
    assert told.exit_code == 1
    assert "encodings.yaml:2:4" in told.stderr
    assert "did you mean `standard`?" in told.stderr
    assert not Path("other").exists()


@pytest.mark.parametrize(
    ("option", "word", "such"),
    [
        ("--separator", "tags=", "such as `tags=;`"),
        ("--separator", ";", "such as `tags=;`"),
        ("--min-count", "0", "neither a number of at least 1 nor COLUMN=N"),
        ("--min-count", "city=many", "such as `city=5`"),
        ("--min-count", "=5", "such as `city=5`"),
        ("--column", "price", "such as `price_level=price`"),
    ],
)
def test_options_in_another_form(run: Run, option: str, word: str, such: str) -> None:
    """An option of the wrong form is wrong usage: status 2, with an example."""
    told = run("train", "small.yaml", "--data", "day.csv", option, word)
    assert told.exit_code == 2
    assert such in " ".join(told.stderr.split())


def test_padding_of_lists(run: Run) -> None:
    """`train` has an option `--padding`; a value of the wrong form is wrong usage."""
    Path("list.yaml").write_text(SPEC.replace("user: {kind: sparse", "user: {kind: sequence"))
    user = [[4, 5, 0, 0], [7, 0, 0, 0], [1, 2, 3, 4], [9, 8, 0, 0]] * 10
    parquet.write_table(table(40, 0).set_column(0, "user", pa.array(user)), "a.parquet")
    words = ("train", "list.yaml", "--data", "a.parquet", "--epochs", "1")
    told = run(*words, "-o", "one")
    assert told.exit_code == 0
    assert "if it is padding, add `--padding user=0`" in told.stderr
    assert "AS725" not in run(*words, "-o", "two", "--padding", "user=0").stderr
    wrong = run(*words, "-o", "three", "--padding", "user")
    assert (wrong.exit_code, "does not have the form COLUMN=ITEM" in wrong.stderr) == (2, True)


def test_mistakes_in_data(run: Run) -> None:
    """Bad values and missing columns are reported in sentences with status 2, and no folder is left behind."""
    Path("small.yaml").write_text(SPEC)
    rows = table(40, 0)
    parquet.write_table(rows.set_column(2, "click", pa.array([3] * 40)), "bad.parquet")
    parquet.write_table(rows.drop_columns(["watch"]), "less.parquet")
    bad, less = (run("train", "small.yaml", "--data", name) for name in ("bad.parquet", "less.parquet"))
    assert (bad.exit_code, less.exit_code) == (2, 2)
    assert "`bad.parquet`, column `click`, row 1: `3` is neither 0 nor 1; 39 more rows like this" in bad.stderr
    assert "`less.parquet` has no column `watch`, which task `watch` reads" in less.stderr
    assert not Path("runs/small").exists()


def test_blocks_that_are_frozen(run: Run) -> None:
    """`--freeze` takes several names; a wrong one is refused with a suggestion, before anything is written."""
    Path("small.yaml").write_text(SPEC)
    parquet.write_table(table(60, 0), "day.parquet")
    words = ("train", "small.yaml", "--data", "day.parquet", "--epochs", "1", "--batch", "20", "--weight-decay", "0.5")
    wrong = run(*words, "--freeze", "towers.click", "input.user")
    assert wrong.exit_code == 2
    assert "error[AS745]: `--freeze towers.click input.user`: `input.user` is not the name of a block" in wrong.stderr
    assert "did you mean `inputs.user`?" in wrong.stderr
    everything = run(*words, "--freeze", "inputs", "level1", "towers")
    assert (everything.exit_code, "leaves nothing to train" in everything.stderr) == (2, True)
    assert not Path("runs").exists()
    assert run(*words, "--freeze", "towers.click", "inputs.user").exit_code == 0
    start = dict(archspec.compile("small.yaml", seed=0).named_weights())
    kept = {name for name, value in load_file("runs/small/weights.safetensors").items() if value.equal(start[name])}
    assert kept == {name for name in start if name.startswith(("towers.click.", "inputs.user."))}


@pytest.mark.parametrize("words", [["--encode", "user"], ["--split", "1"], ["--epochs", "0"]])
def test_wrong_usage(run: Run, words: list[str]) -> None:
    """Options of the wrong form are wrong usage."""
    Path("small.yaml").write_text(SPEC)
    assert run("train", "small.yaml", "--data", "a.csv", *words).exit_code == 2


@pytest.mark.parametrize("name", ["a" * 300, "a\0b", "*" + "a" * 300])
@pytest.mark.parametrize(
    "words",
    [
        ["train", "tiny.yaml", "--data", "NAME.csv"],
        ["train", "tiny.yaml", "--data", "rows.csv", "-o", "NAME"],
        ["train", "tiny.yaml", "--data", "rows.csv", "-o", "rows.csv/NAME"],
        ["train", "NAME", "--data", "rows.csv"],
        ["gates", "NAME"],
        ["gates", "NAME/run"],
    ],
)
def test_names_that_no_file_can_have(run: Run, name: str, words: list[str]) -> None:
    """A name that is too long or contains a zero byte is one error, whether it is for a file or a folder."""
    Path("tiny.yaml").write_text("archspec: 1\nname: t\ninputs: {x: {kind: dense, dim: 1}}\ntasks: {click: {}}\n"
                                 "towers: {click: {from: x}}\n", encoding="utf-8")  # fmt: skip
    Path("rows.csv").write_text("x,click\n1,0\n", encoding="utf-8")
    before = sorted(Path().iterdir())
    result = run(*(word.replace("NAME", name) for word in words))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("error[AS") == 1
    assert sorted(Path().iterdir()) == before


def test_what_is_no_run(run: Run) -> None:
    """`gates` of a folder without a run explains what to pass."""
    result = run("gates", ".")
    assert result.exit_code == 2
    assert "is not the folder of a run" in result.stderr


def test_a_missing_library_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the extra is not installed, the command says what to install."""
    Path("small.yaml").write_text(SPEC)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr("archspec.cli.extras.find_spec", lambda name: None if name == "pyarrow" else object())
    result = run("train", "small.yaml", "--data", "a.csv")
    assert result.exit_code == 2
    assert "needs pyarrow" in result.stderr
    assert "archspec-mtl[train]" in result.stderr


def test_a_run_repeats_its_recipe(run: Run, trained: Result) -> None:
    """RUN/recipe.yaml trains the same weights, bit for bit; an option overrides it, and a note says so."""
    assert trained.exit_code == 0
    data = ("train", "small.yaml", "--data", "day0.parquet", "day1.parquet", "--validation", "new.csv")
    options = (
        "--epochs", "2", "--batch", "30", "--learning-rate", "0.03", "--table-learning-rate", "0.1", "--schedule",
        "cosine", "--warmup", "3", "--clip", "0.5", "--precision", "bf16-mixed", "--accumulate", "2", "--seed", "5",
        "--weight-decay", "0.1", "--from", "runs/small", "--monitor", "validation/click/auc", "--patience", "0",
    )  # fmt: skip
    first = run(*data, *options, "-o", "first")
    assert first.exit_code == 0
    again = run(*data, "--recipe", "first/recipe.yaml", "-o", "again")
    assert (again.exit_code, "AS740" in again.stderr) == (0, False)
    assert Path("again/weights.safetensors").read_bytes() == Path("first/weights.safetensors").read_bytes()
    assert Path("again/recipe.yaml").read_bytes() == Path("first/recipe.yaml").read_bytes()
    assert run(*data, *options, "--recipe", "first/recipe.yaml", "-o", "again", "--resume").exit_code == 0
    other = run(*data, "--recipe", "first/recipe.yaml", "--seed", "6", "--epochs", "2", "-o", "other")
    assert other.exit_code == 0
    assert other.stderr.count("AS740") == 1
    assert "note[AS740]: `--seed` of the command line overrides `seed` of the recipe" in other.stderr
    assert "first/recipe.yaml:" in other.stderr
    assert "seed: 6\n" in Path("other/recipe.yaml").read_text()
    refused = run(*data, "--recipe", "first/recipe.yaml", "--batch", "31", "-o", "again", "--resume")
    assert "started with `--batch 30`, not with `--batch 31`" in refused.stderr


def test_a_mistake_in_a_recipe(run: Run) -> None:
    """A misspelt key, a wrong value and an unknown metric are shown with line and caret; nothing is written."""
    Path("small.yaml").write_text(SPEC)
    parquet.write_table(table(60, 0), "a.parquet")
    words = ("train", "small.yaml", "--data", "a.parquet", "--recipe", "r.yaml")
    Path("r.yaml").write_text("learning-rate: 1e-2\nepochs: 0\n")
    told = run(*words)
    assert told.exit_code == 1
    assert "r.yaml:1:1" in told.stderr
    assert "did you mean `learning_rate`?" in told.stderr
    assert "^" in told.stderr
    Path("r.yaml").write_text("epochs: 2\nmonitor: validation/click/acu\n")
    told = run(*words)
    assert (told.exit_code, "r.yaml:2:10" in told.stderr) == (2, True)
    assert run(*words[:-1], "no.yaml").exit_code == 2
    assert not Path("runs").exists()


def test_test_rows_are_measured_once_with_the_best_weights(run: Run, trained: Result) -> None:
    """`--test` equals `archspec evaluate`, is printed and saved, decides nothing, and works in resumed runs."""
    assert trained.exit_code == 0
    words = (
        "train", "small.yaml", "--data", "day0.parquet", "day1.parquet", "--validation", "new.csv", "--epochs", "3",
        "--batch", "50", "--learning-rate", "0.02", "--grouped-by", "user",
    )  # fmt: skip
    csv.write_csv(table(150, 4), "last.csv")
    before = Path("runs/small/weights.safetensors").read_bytes()
    told = run(*words, "--test", "last.csv", "new.csv", "-o", "tested")
    assert told.exit_code == 0
    assert "test, 250 rows:" in told.stdout
    assert Path("tested/weights.safetensors").read_bytes() == before
    expected = json.loads(run("evaluate", "tested", "--data", "last.csv", "new.csv", "--json").stdout)
    found = json.loads(Path("tested/results.json").read_text())["test"]
    assert found["rows"] == 250
    assert found["metrics"]["click/auc"] == expected["tasks"]["click"]["auc"]
    resumed = run(*words, "--test", "last.csv", "-o", "tested", "--resume", "--json")
    expected = json.loads(run("evaluate", "tested", "--data", "last.csv", "--json").stdout)
    del expected["skipped"]
    assert json.loads(resumed.stdout)["test"] == expected
    assert "test" not in json.loads(Path("runs/small/results.json").read_text())


def test_mistakes_in_test_rows_are_found_before_training(run: Run) -> None:
    """A missing column in a test file is reported before anything is written."""
    Path("small.yaml").write_text(SPEC)
    parquet.write_table(table(60, 0), "a.parquet")
    parquet.write_table(table(60, 1).drop_columns(["watch"]), "less.parquet")
    told = run("train", "small.yaml", "--data", "a.parquet", "--test", "less.parquet")
    assert (told.exit_code, "`less.parquet` has no column `watch`" in told.stderr) == (2, True)
    assert not Path("runs").exists()
