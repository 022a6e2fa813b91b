"""Labels: their notations, which of them are missing, and whether the help of each message works."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import csv, parquet

from archspec import plugins
from archspec.data.batches import OrderedBatches, table_batches
from archspec.data.prepare import TRAIN, Prepared, Source, prepare
from archspec.data.requirements import column_requirements, leaks
from archspec.data.rows import Rows
from archspec.diagnostics import SpecError
from archspec.graph.load import load_graph

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

SPEC = """
archspec: 1
name: t
inputs: {{x: {{kind: dense, dim: 1}}}}
tasks: {{{tasks}}}
towers: {{$task: {{from: x}}}}
"""
BINARY = "a: {kind: binary}, b: {kind: binary, label: a}"
RATING = "a: {kind: multiclass, classes: 5}"
NAN = float("nan")


def prepared(folder: Path, column: list[Any], tasks: str, *words: str, **columns: Any) -> Prepared:  # noqa: ANN401 - values of all types
    """Rows with one column of labels, prepared as by `archspec train` with these options; all rows are for training."""
    table = pa.table({"x": np.arange(len(column), dtype=np.float64), "a": column, **columns})
    path = folder / "rows.parquet"
    parquet.write_table(table, path)
    options = list(zip(words[::2], words[1::2], strict=True))
    overrides = [value for name, value in options if name == "--set"]
    choices = dict(value.split("=", 1) for name, value in options if name == "--encode")
    graph = load_graph(SPEC.format(tasks=tasks), overrides, plugins.load([]))
    bad = dict(options).get("--bad", "stop")
    source = Source((str(path),), (str(path),), choices=choices, bad=bad)  # type: ignore[arg-type] # stop or skip
    return prepare(graph, source, folder / "run")


def trained_on(folder: Path) -> dict[str, Tensor]:
    """The rows to train on."""
    return next(iter(OrderedBatches(Rows(folder / "run" / TRAIN), 1000)))


def ways(text: str) -> list[tuple[str, ...]]:
    """The options in backticks in a help, each as words of a command line."""
    found = [tuple(quoted.split()) for quoted in re.findall(r"`(--[^`]+)`", text)]
    return [words for words in found if "..." not in words[-1]]


LABELS: dict[str, tuple[list[Any], str]] = {
    "-1": ([0, 1, -1] * 4, BINARY),
    "empty": ([0, 1, None] * 4, BINARY),
    "empty and -1": ([0, 1, None, -1] * 4, BINARY),
    "NaN": ([0.0, 1.0, NAN] * 4, BINARY),
    "texts": (["0", "1", "-1", None] * 4, BINARY),
    "empty numbers": ([0.5, None, 3.0] * 4, "a: {kind: regression}"),
    "no class": ([0, 1, 2, 3, 4, -1] * 4, RATING),
    "classes from 1": ([1, 2, 3, 4, 5] * 4, RATING),
    "classes from 1 as floats": ([1.0, 2.0, 3.0, 4.0, 5.0] * 4, RATING),
    "classes from 2": ([2, 3, 4, 5] * 4, RATING),
    "names of classes": (["bad", "good"] * 4, "a: {kind: multiclass, classes: 2}"),
    "yes and no": (["no", "yes"] * 4, "a: {kind: binary}"),
    "1 and 2": ([1, 2] * 4, "a: {kind: binary}"),
    "soft": ([0.15, 0.9] * 4, "a: {kind: binary}"),
}


@pytest.mark.parametrize("case", LABELS)
def test_every_hint_works(tmp_path: Path, case: str) -> None:
    """For each option that a help proposes, the next run with that option succeeds."""
    column, tasks = LABELS[case]
    with pytest.raises(SpecError, match="AS704") as caught:
        prepared(tmp_path, column, tasks)
    proposed = {words for item in caught.value.diagnostics for words in ways(item.help)}
    assert ("--bad", "skip") in proposed
    assert len(proposed) > 1
    for words in proposed:
        found = prepared(tmp_path, column, tasks, *words) if words[0] != "--bad" else None
        if found is not None:
            assert (found.train, found.skipped) == (len(column), 0)
            assert not found.warnings or case == "classes from 2"


def test_masked_labels_leave_one_task_alone(tmp_path: Path) -> None:
    """Rows without a label are kept for the other task, and are masked in the form that `missing_labels` reads."""
    tasks = "a: {kind: binary, missing_labels: mask}, c: {kind: multiclass, classes: 3, missing_labels: mask}"
    found = prepared(tmp_path, [0, 1, -1, None], tasks, c=[None, 2, -1, 1])
    batch = trained_on(tmp_path)
    assert batch["a"].isnan().tolist() == [False, False, True, True]
    assert batch["c"].tolist() == [-1, 2, -1, 1]
    assert found.labels == (
        "label `a`: 0 in 1, 1 in 1; 2 rows have none", "label `c`: 1 in 1, 2 in 1; 2 rows have none"
    )  # fmt: skip


def test_one_task_with_a_mask_is_not_enough(tmp_path: Path) -> None:
    """If two tasks read a label, both must mask it, and the help names both."""
    with pytest.raises(SpecError) as caught:
        prepared(tmp_path, [0, 1, None], BINARY, "--set", "tasks.a.missing_labels=mask")
    assert "--set tasks.a.missing_labels=mask --set tasks.b.missing_labels=mask" in caught.value.diagnostics[0].help
    assert "`when: COLUMN`" in caught.value.diagnostics[0].help


def test_a_mask_hides_no_other_label(tmp_path: Path) -> None:
    """A label of 2 or infinity is an error even if missing labels are masked."""
    with pytest.raises(SpecError, match="row 3: `2` is neither 0 nor 1"):
        prepared(tmp_path, [0, None, 2], "a: {kind: binary, missing_labels: mask}")
    with pytest.raises(SpecError, match="row 3: `inf` is not a finite number"):
        prepared(tmp_path, [-1.0, None, float("inf")], "a: {kind: regression, missing_labels: mask}")


@pytest.mark.parametrize(
    ("column", "kind", "expected"),
    [
        ([1, 2, 3, 4, 5], "classes", [0, 1, 2, 3, 4]),
        ([2, 5, 3, 3, 2], "classes", [1, 4, 2, 2, 1]),
        ([10, 12, 14, 11, 13], "classes", [0, 2, 4, 1, 3]),
        ([10, 30, 20, 10, 10], "classes", [0, 2, 1, 0, 0]),
        (["low", "mid", "high", "mid", "low"], "classes:low, mid,high,top,none", [0, 1, 2, 1, 0]),
        (["b", "a", "c", "a", "a"], "classes", [1, 0, 2, 0, 0]),
        ([1.5, 2.5, 10.5, 1.5, 1.5], "classes", [0, 1, 2, 0, 0]),
    ],
)
def test_classes_by_what_is_written(tmp_path: Path, column: list[Any], kind: str, expected: list[int]) -> None:
    """Classes are the whole numbers if they fit, otherwise the values in ascending order, or in the declared order."""
    prepared(tmp_path, column, RATING, "--encode", f"a={kind}")
    assert trained_on(tmp_path)["a"].tolist() == expected


def test_classes_of_a_sample_space(tmp_path: Path) -> None:
    """Labels outside the sample space are not classes, and are not counted."""
    tasks = "a: {kind: binary, when: on}"
    found = prepared(tmp_path, ["yes", "no", "n/a", None], tasks, "--encode", "a=classes", on=[1, 1, 0, 0])
    assert trained_on(tmp_path)["a"].tolist()[:2] == [1, 0]
    assert found.labels == ("label `a`: `no` in 1, `yes` in 1",)


def test_more_values_than_classes(tmp_path: Path) -> None:
    """A binary label with three values is an error; no classes are guessed."""
    with pytest.raises(SpecError, match="has 3 values, `maybe`, `no`, `yes`; task `a` has 2 classes"):
        prepared(tmp_path, ["yes", "no", "maybe"], "a: {kind: binary}", "--encode", "a=classes")


@pytest.mark.parametrize("kind", ["classes:no", "classes:no,no", "classes:no,", "soft:1", "vocabulary"])
def test_wrong_encodings_of_labels(tmp_path: Path, kind: str) -> None:
    """A list of classes must have one value per class, and a label has no vocabulary."""
    with pytest.raises(SpecError, match="AS705"):
        prepared(tmp_path, ["yes", "no"], "a: {kind: binary}", "--encode", f"a={kind}")


def test_a_class_that_training_does_not_hold(tmp_path: Path) -> None:
    """A value that is not among the classes is an error that shows how to list them."""
    csv.write_csv(pa.table({"x": [1], "a": ["good"]}), tmp_path / "train.csv")
    csv.write_csv(pa.table({"x": [1], "a": ["bad"]}), tmp_path / "new.csv")
    graph = load_graph(SPEC.format(tasks="a: {}"), None, plugins.load([]))
    source = Source((str(tmp_path / "train.csv"),), (str(tmp_path / "new.csv"),), choices={"a": "classes"})
    with pytest.raises(SpecError, match="`bad` is not one of good") as caught:
        prepare(graph, source, tmp_path / "run")
    assert "`--encode a=classes:A,B,...`" in caught.value.diagnostics[0].help
    prepare(graph, Source(source.files, source.validation, choices={"a": "classes:bad,good"}), tmp_path / "run")


def test_soft_labels_are_told(tmp_path: Path) -> None:
    """Labels between 0 and 1 are accepted on request, and the description says how AUC treats them."""
    found = prepared(tmp_path, [0.15, 1.0, 0.6], "a: {kind: binary}", "--encode", "a=soft")
    assert trained_on(tmp_path)["a"].tolist() == pytest.approx([0.15, 1.0, 0.6])
    assert found.encoder.encodings["a"].text().startswith("soft labels from 0 to 1 (AUC counts those above one half")
    assert found.labels == ("label `a`: 0.15 to 1 in 3 rows",)


@pytest.mark.parametrize(
    ("column", "words", "told"),
    [
        ([1] * 4, (), "the label `a` is 1 in all 4 rows to train on: `a` and `b` cannot be learned"),
        ([1, 1, -1], ("--bad", "skip"), "the label `a` is 1 in all 2 rows to train on"),
        ([None] * 3, ("--set", "tasks.a.missing_labels=mask", "--set", "tasks.b.missing_labels=mask"), "no row"),
    ],
)
def test_labels_of_one_value(tmp_path: Path, column: list[Any], words: tuple[str, ...], told: str) -> None:
    """If a label has one value or none in the rows to train on, for any reason, there is a warning before training."""
    warnings = prepared(tmp_path, column, BINARY, *words).warnings
    assert [told in item.message for item in warnings if item.code == "AS724"] == [True]


def test_skipped_rows_are_told_by_label(tmp_path: Path) -> None:
    """After `--bad skip`, the counts of each label cover only the remaining rows."""
    found = prepared(tmp_path, [0, 1, -1, 1], "a: {}, c: {}", "--bad", "skip", c=[1, 0, 1, None])
    assert (found.train, found.validation, found.skipped) == (2, 2, 4)
    assert found.labels == ("label `a`: 0 in 1, 1 in 1", "label `c`: 0 in 1, 1 in 1")


def test_no_class_0_looks_like_classes_from_1(tmp_path: Path) -> None:
    """Classes 1..4 of five are legal with a warning about counting from 0, also if `--bad skip` drops class 5."""
    for column in ([1, 2, 3, 4], [1, 2, 3, 4, 5]):
        (warning,) = [w for w in prepared(tmp_path, column, RATING, "--bad", "skip").warnings if w.code == "AS724"]
        assert "has no row of 0, the first of 5 classes" in warning.message
        words = ways(warning.help)[0]
        assert not [w for w in prepared(tmp_path, column, RATING, *words).warnings if w.code != "AS724"]
        assert trained_on(tmp_path)["a"].tolist() == [value - 1 for value in column]


def test_flags_other_than_0_and_1(tmp_path: Path) -> None:
    """If a count in a `when` column leaves rows out, a warning shows the first one."""
    found = prepared(tmp_path, [0, 1, 0, 1], "a: {when: n}", n=[1, 2, 1, 1])
    (warning,) = found.warnings
    told = "column `n`, row 2: `2` is not 1, so that the row is outside the sample space of task `a`"
    assert told in warning.message
    assert found.labels == ("label `a`: 0 in 2, 1 in 1",)


# -- one column, several readers ---------------------------------------------------------------------------------------


READS = """
archspec: 1
name: t
inputs: {{x: {x}, u: {u}}}
tasks: {{a: {task}}}
towers: {{a: {{from: inputs}}}}
"""
DENSE, SPARSE, LIST = (f"{{kind: {kind}, dim: 1}}" for kind in ("dense", "sparse, vocab: 9", "sequence, vocab: 9"))


@pytest.mark.parametrize(
    ("u", "task", "values", "told"),
    [
        (DENSE, "{label: u}", [1.0, 7.0], "row 2: `7.0` is neither 0 nor 1"),
        (SPARSE, "{label: u}", [1, 7], "row 2: `7` is neither 0 nor 1"),
        (SPARSE, "{kind: multiclass, classes: 3, label: u}", [1, 3], "row 2: `3` is not a class in 0..2"),
        (SPARSE, "{kind: multiclass, classes: 20, label: u}", [1, 12], "row 2: `12` is not an id in 0..8"),
        (DENSE, "{label: x, weight_column: u}", [1.0, -2.0], "row 2: `-2.0` is not a number of at least 0"),
        (DENSE, "{label: u, missing_labels: mask}", [1.0, None], "row 2: no value"),
    ],
)
def test_a_column_of_an_input_and_a_task_fits_both(
    tmp_path: Path, u: str, task: str, values: list[Any], told: str
) -> None:
    """A label or weight that is also an input must be legal for both uses in every row."""
    graph = load_graph(READS.format(x=DENSE, u=u, task=task), None, plugins.load([]))
    parquet.write_table(pa.table({"x": [0.0, 1.0], "u": values}), tmp_path / "a.parquet")
    with pytest.raises(SpecError, match="AS704") as caught:
        prepare(graph, Source((str(tmp_path / "a.parquet"),)), tmp_path / "run")
    assert told in caught.value.diagnostics[0].message


def test_a_label_among_the_inputs_is_a_warning(tmp_path: Path) -> None:
    """A label that is also an input causes a warning; a `when` column that is also an input does not."""
    parquet.write_table(pa.table({"x": [0.0, 1.0], "u": [0.0, 1.0]}), tmp_path / "a.parquet")
    for task, codes in (("{label: u}", ["AS726"]), ("{label: x, when: u}", ["AS726"]), ("{label: v, when: u}", [])):
        text = READS.format(x="{kind: dense, dim: 1, column: x}", u=DENSE, task=task)
        graph = load_graph(text, None, plugins.load([]))
        assert [item.code for item in leaks(column_requirements(graph))] == codes


@pytest.mark.parametrize(("u", "choices"), [(SPARSE, ("ids",)), (DENSE, ())])
@pytest.mark.parametrize("task", ["{when: u}", "{label: u}", "{label: x, weight_column: u}"])
def test_an_input_that_a_task_reads_stays_as_it_is(u: str, choices: tuple[str, ...], task: str) -> None:
    """A vocabulary would renumber labels, and `standard` would shift them, so both are rejected for such an input."""
    graph = load_graph(READS.format(x=DENSE, u=u, task=task), None, plugins.load([]))
    assert column_requirements(graph)["u"].choices == choices


@pytest.mark.parametrize("task", ["{when: u}", "{label: u}", "{label: x, weight_column: u}"])
def test_a_list_is_nothing_that_a_task_reads(task: str) -> None:
    """A list as a column of a task, even of length 1, is rejected when the spec is checked."""
    for u in (LIST, LIST.replace("}", ", length: 1}")):
        with pytest.raises(SpecError, match="AS721") as caught:
            load_graph(READS.format(x=DENSE, u=u, task=task), None, plugins.load([]))
        assert caught.value.diagnostics[0].span is not None


def test_scoring_needs_no_columns_of_tasks(tmp_path: Path) -> None:
    """Rows to be scored need no labels, `when` or weight columns."""
    found = prepared(tmp_path, [0, 1], "a: {when: on, weight_column: v}", on=[1, 1], v=[1.0, 2.0])
    parquet.write_table(pa.table({"x": [1.0]}), tmp_path / "new.parquet")
    (batch,) = table_batches(tmp_path / "new.parquet", found.encoder.of_inputs())
    assert torch.equal(batch["x"], torch.ones(1))
