"""A recipe in a file: what it may contain, how mistakes are reported, and that a run repeats its own."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import pytest

from archspec.diagnostics import SpecError
from archspec.graph.load import load_graph
from archspec.plugins import load
from archspec.runs.checks import check_recipe
from archspec.runs.files import RECIPE
from archspec.runs.recipe import Recipe
from archspec.runs.recipe_file import read_recipe, write_recipe

if TYPE_CHECKING:
    from pathlib import Path

CHANGED: dict[str, Any] = {
    "epochs": 3, "batch": 7, "learning_rate": 1e-30, "weight_decay": 1, "table_optimizer": "adam", "patience": 0,
    "monitor": "validation/a b: c/auc", "seed": 2**64 - 1, "threads": 2, "start": "runs/12",
    "moved": {"a": "no", "1": "b"}, "schedule": "cosine", "clip": 0.5, "precision": "32", "accumulate": 2,
    "ema": 0.999, "by": "scene", "together": "request", "freeze": ("inputs.user", "towers.b"), "log": "csv",
    "plateau_patience": 3, "plateau_factor": 0.1,
}  # fmt: skip


def written(folder: Path, text: str) -> Path:
    """A recipe file with this text."""
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("recipe", [Recipe(), Recipe(**CHANGED)])
def test_a_written_recipe_reads_back_as_the_same_one(tmp_path: Path, recipe: Recipe) -> None:
    """The file of a run contains every field, and reading it gives exactly the recipe that wrote it."""
    write_recipe(recipe, tmp_path)
    found = read_recipe(tmp_path / RECIPE)
    assert set(found.values) == {field.name for field in fields(Recipe)} == set(found.places)
    assert Recipe(**found.values) == recipe
    assert asdict(Recipe(**found.values)) == asdict(recipe)


def test_a_file_may_be_short(tmp_path: Path) -> None:
    """All keys are optional, an empty file is a recipe, and a choice that looks like a number needs no quotes."""
    assert read_recipe(written(tmp_path, "precision: 32\nlearning_rate: 1e-2\nclip:\n")).values == {
        "precision": "32", "learning_rate": 0.01, "clip": None,
    }  # fmt: skip
    assert read_recipe(written(tmp_path, "monitor: [a/auc, b/auc]\n")).values == {"monitor": "a/auc,b/auc"}
    for text in ("", "# nothing yet\n"):
        assert read_recipe(written(tmp_path, text)).values == {}


@pytest.mark.parametrize(
    ("line", "code", "column", "words"),
    [
        ("learning-rate: 0.1", "AS108", 1, "did you mean `learning_rate`?"),
        ("epoch: 3", "AS108", 1, "did you mean `epochs`?"),
        ("from: runs/a", "AS108", 1, "did you mean `start`?"),
        ("lr: 0.1", "AS108", 1, "did you mean `learning_rate`?"),
        ("data: day.csv", "AS108", 1, "keys here: accumulate"),
        ("epochs: 0", "AS109", 9, "`epochs` of the recipe must be at least 1, not `0`"),
        ("epochs: null", "AS109", 9, "must be a whole number, not `null`"),
        ("epochs: ten", "AS109", 9, 'must be a whole number, not `"ten"`'),
        ("epochs: 1.5", "AS109", 9, "must be a whole number, not `1.5`"),
        ("epochs: true", "AS109", 9, "must be a whole number, not `true`"),
        ("clip: .inf", "AS109", 7, "must be a finite number"),
        ("clip: .nan", "AS109", 7, "must be a finite number"),
        ("seed: 18446744073709551616", "AS109", 7, "must be less than 18,446,744,073,709,551,616"),
        ("threads: [1]", "AS109", 10, "must be a whole number"),
        ("schedule: cosin", "AS109", 11, "did you mean `cosine`?"),
        ("precision: 16", "AS109", 12, "`precision` of the recipe cannot be"),
        ("table_optimizer: sgd", "AS109", 18, "choices: adam, rowwise_adagrad, sparse_adam"),
        ("moved: ctr=click", "AS109", 8, "must be a mapping"),
        ("moved: {ctr: 3}", "AS109", 14, "write it in quotes"),
        ("batch: 5", "AS033", 1, "batch"),
    ],
)  # fmt: skip
def test_mistakes_are_reported_at_their_places(tmp_path: Path, line: str, code: str, column: int, words: str) -> None:
    """A misspelt key or value, a wrong type or range and a duplicate key have line, column, and a way out."""
    with pytest.raises(SpecError) as caught:
        read_recipe(written(tmp_path, f"# ours\nbatch: 4\n{line}\n"))
    (item,) = caught.value.diagnostics
    assert item.span is not None
    assert (item.code, item.span.line, item.span.column) == (code, 3, column)
    assert words in f"{item.message} {item.help}"
    assert caught.value.status == 1


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    """One reading reports every line that is wrong."""
    with pytest.raises(SpecError) as caught:
        read_recipe(written(tmp_path, "epochs: 0\nbach: 5\nclip: -1\n"))
    assert [item.span.line for item in caught.value.diagnostics if item.span] == [1, 2, 3]


def test_what_does_not_fit_the_spec_has_a_place_too(tmp_path: Path) -> None:
    """A metric that is not measured, and a setting that the spec excludes, point to their lines of the file."""
    table = "{kind: sparse, vocab: 9, dim: 2, sparse_grad: "
    text = f"archspec: 1\nname: t\ninputs: {{u: {table}true}}, v: {table}false}}}}\ntasks: {{a: {{}}}}\n"
    graph = load_graph(text + "towers: {a: {from: inputs}}\n", None, load([]))
    found = read_recipe(written(tmp_path, "monitor: validation/a/auk\nepochs: 1\n"))
    with pytest.raises(SpecError) as caught:
        check_recipe(graph, Recipe(**found.values), None, found.places)
    (item,) = caught.value.diagnostics
    assert (item.code, item.span) == ("AS707", found.places["monitor"])
    found = read_recipe(written(tmp_path, "epochs: 1\ntable_optimizer: sparse_adam\ndevices: 2\n"))
    with pytest.raises(SpecError) as caught:
        check_recipe(graph, Recipe(**found.values), None, found.places)
    assert {item.span.line for item in caught.value.diagnostics if item.span} == {2, 3}
    assert {item.code for item in caught.value.diagnostics} == {"AS731"}
