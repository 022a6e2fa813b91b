"""Runs that continue other runs: values keep their ids, weights their names, and a resumed run its starting weights."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

import archspec
from archspec import plugins
from archspec.data.encodings import Buckets, Vocabulary
from archspec.data.prepare import Source
from archspec.diagnostics import SpecError
from archspec.graph.load import load_graph
from archspec.runs.recipe import Recipe
from archspec.runs.trained import Trained, load_run
from archspec.runs.training import Progress, train
from tests.runs.clicks import SPEC, USERS, rows, trained

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

LOG = """
archspec: 1
name: log
inputs:
  user: {kind: sparse, vocab: 40, dim: 4}
  item: {kind: sparse, vocab: 40, dim: 4}
  seen: {kind: sequence, table: item, length: 4}
  tags: {kind: sequence, vocab: 20, dim: 2, length: 3}
  price: {kind: sparse, vocab: 6, dim: 2}
  x: {kind: dense, dim: 1}
tasks: {click: {}}
towers: {click: {from: inputs, units: [4]}}
"""


def day(number: int, count: int = 200) -> dict[str, list[Any]]:
    """A day of a growing log: first-day values are rarer on the second day, which also has new ones."""
    random = np.random.default_rng(number)
    users = [f"u{n}" for n in range(10 * number, 20 + 5 * number)]
    items = [10**12 + n for n in range(8 * number, 15 + 8 * number)]  # too large for ids
    tags = [f"t{n}" for n in range(2 * number, 6 + 2 * number)]
    x = random.normal(size=count)
    return {
        "user": random.choice(users, count).tolist(),
        "item": random.choice(items, count).tolist(),
        "seen": [random.choice(items, 3).tolist() for _ in range(count)],
        "tags": ["|".join(random.choice(tags, 2)) for _ in range(count)],
        "price": (random.exponential(size=count) * (1 + number)).tolist(),
        "x": (x * (1 + number) + number).tolist(),
        "click": (x > 0).astype(int).tolist(),
    }


def run(folder: Path, name: str, data: dict[str, list[Any]], text: str = LOG, **options: Any) -> Trained:  # noqa: ANN401 - of Source and Recipe
    """A run of one epoch in `folder/name`."""
    recipe: dict[str, Any] = {"epochs": 1, "batch": 50}
    recipe |= {key: options.pop(key) for key in ("start", "moved", "seed") if key in options}
    parquet.write_table(pa.table(data), folder / f"{name}.parquet")
    source = Source((str(folder / f"{name}.parquet"),), **options)
    train(load_graph(text, None, plugins.load([])), source, Recipe(**recipe), folder / name)
    return load_run(folder / name)


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Trained]:
    """A run on the first day, and one on the second that continues it."""
    folder = tmp_path_factory.mktemp("days")
    first = run(folder, "one", day(0), choices={"x": "standard"})
    return first, run(folder, "two", day(1), start=str(first.folder), seed=1)


def start(of: Trained) -> dict[str, Tensor]:
    """The initial weights of a run."""
    model = archspec.compile(of.graph.spec)
    archspec.load_weights(model, of.folder / "start.safetensors")
    return dict(model.named_weights())


@pytest.mark.parametrize("column", ["user", "item", "seen", "tags"])
def test_every_shared_value_keeps_its_id(days: tuple[Trained, Trained], column: str) -> None:
    """For users, items, lists and shared tables, values of both days keep their ids; new values get the next ids."""
    before, after = (trained_.encoder.encodings[column] for trained_ in days)
    assert isinstance(before, Vocabulary)
    assert isinstance(after, Vocabulary)
    assert after.values[: len(before.values)] == before.values
    assert len(after.values) > len(before.values)


def test_the_new_run_s_rows_are_those_of_the_values(days: tuple[Trained, Trained]) -> None:
    """The run starts from the old rows for shared values and random rows for new ones."""
    first, second = days
    old, new = dict(first.model.named_weights()), start(second)
    for table, column in (
        ("inputs.user.weight", "user"),
        ("inputs.item.weight", "item"),
        ("inputs.tags.weight", "tags"),
    ):
        known = first.encoder.encodings[column]
        assert isinstance(known, Vocabulary)
        count = len(known.values) + 1
        assert torch.equal(old[table][:count], new[table][:count])
        assert not torch.equal(old[table][count], new[table][count])
    assert torch.equal(old["towers.click.head.weight"], new["towers.click.head.weight"])


def test_before_the_first_step_scores_are_the_old_ones(days: tuple[Trained, Trained]) -> None:
    """For rows of the first day, the new run's initial weights give the old run's scores."""
    first, second = days
    data = {name: values for name, values in day(0).items() if name != "click"}
    expected = first.predict(data)["click"]
    model = archspec.compile(second.graph.spec).eval()
    archspec.load_weights(model, second.folder / "start.safetensors")
    torch.testing.assert_close(model.predict(second.encode(data))["click"], expected, rtol=0, atol=1e-6)


def test_buckets_and_means_are_kept_or_learned_again(days: tuple[Trained, Trained], tmp_path: Path) -> None:
    """They keep their meaning; `--encode` learns them again from new rows and reports that the table's rows are new."""
    first, second = days
    for column in ("price", "x"):
        assert second.encoder.encodings[column] == first.encoder.encodings[column]
    again = run(tmp_path, "again", day(1), start=str(first.folder), choices={"price": "buckets", "x": "standard"})
    assert isinstance(again.encoder.encodings["price"], Buckets)
    for column in ("price", "x"):
        assert again.encoder.encodings[column] != first.encoder.encodings[column]
    found = json.loads((again.folder / "start.json").read_text())
    (table,) = (one for one in found["weights"] if one["weight"] == "inputs.price.weight")
    assert (table["how"], table["why"]) == ("new", "its ids have a different meaning")


def test_the_report_counts_what_moved(days: tuple[Trained, Trained]) -> None:
    """`start.json` lists every weight; columns.json says which run an encoding is from."""
    first, second = days
    found = json.loads((second.folder / "start.json").read_text())
    assert found["counts"] == {"kept": 5, "moved": 0, "grown": 3, "new": 0, "dropped": 0}
    columns = {one["column"]: one["why"] for one in json.loads((second.folder / "columns.json").read_text())}
    assert columns["user"] == f"as in {first.folder}"


def test_the_encoding_alone_can_be_used_again(days: tuple[Trained, Trained], tmp_path: Path) -> None:
    """With `encoding`, the old run's encoding is used without new values, and all weights are random."""
    first, _ = days
    found = run(tmp_path, "same", day(1), encoding=str(first.folder))
    for column in ("user", "item", "seen", "tags", "price", "x"):
        before, after = (each.encoder.encodings[column] for each in (first, found))
        assert before.model_dump(exclude={"others"}) == after.model_dump(exclude={"others"})
    assert not (found.folder / "start.safetensors").exists()


def test_a_killed_run_goes_on_from_the_same_start(days: tuple[Trained, Trained], tmp_path: Path) -> None:
    """A run resumed in its first epoch, even without the old run, ends with the weights of an uninterrupted one."""
    first, second = days
    old = tmp_path / "one"
    shutil.copytree(first.folder, old)
    parquet.write_table(pa.table(day(1)), tmp_path / "two.parquet")
    graph, source = load_graph(LOG, None, plugins.load([])), Source((str(tmp_path / "two.parquet"),))
    recipe = Recipe(epochs=1, batch=50, start=str(old), seed=1)

    def killed(_line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(graph, source, recipe, tmp_path / "two", progress=Progress(step=lambda _: killed("")))
    shutil.rmtree(old)
    train(graph, source, recipe, tmp_path / "two", resume=True)
    expected, found = dict(second.model.named_weights()), dict(load_run(tmp_path / "two").model.named_weights())
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_weights_of_another_vocabulary_are_refused(days: tuple[Trained, Trained], tmp_path: Path) -> None:
    """A run trained from scratch has other ids for its users: its weights do not load into this run anywhere."""
    first, _ = days
    other = run(tmp_path, "other", day(1))
    with pytest.raises(SpecError, match=r"AS806.*`inputs.user.weight` and 3 more mean other values") as raised:
        archspec.load_weights(first.model, other.folder / "weights.safetensors")
    assert "`archspec train SPEC --from RUN`" in raised.value.diagnostics[0].help
    shutil.copytree(first.folder, tmp_path / "mixed")
    shutil.copy(other.folder / "weights.safetensors", tmp_path / "mixed" / "weights.safetensors")
    with pytest.raises(SpecError, match="AS806"):
        load_run(tmp_path / "mixed")
    archspec.load_weights(first.model, first.folder / "weights.safetensors")


def test_a_renamed_input_and_task_keep_their_rows(tmp_path: Path) -> None:
    """`moved` renames inputs with their columns and vocabularies, and tasks with experts, gates and towers."""
    first = trained(tmp_path, missing={"user": ("nobody",)})
    text = SPEC.replace("user", "member").replace("buy", "order")
    data = {{"user": "member", "buy": "order"}.get(name, name): values for name, values in rows(300, 1).items()}
    second = run(tmp_path, "second", data, text, start=str(first.folder), moved={"user": "member", "buy": "order"})
    assert second.encoder.encodings["member"] == first.encoder.encodings["user"]
    assert second.encoder.none == {"member": ("nobody",)}
    counts = json.loads((second.folder / "start.json").read_text())["counts"]
    assert (counts["new"], counts["dropped"], counts["moved"] > 0) == (0, 0, True)
    with pytest.raises(SpecError, match="AS805"):
        run(tmp_path, "third", data, text, start=str(first.folder), moved={"usr": "member"})
    assert not (tmp_path / "third").exists()
    with pytest.raises(SpecError, match=r"AS731.*`--moved`"):
        run(tmp_path, "third", data, text, moved={"user": "member"})


def test_migrate_takes_runs_files_and_models(tmp_path: Path) -> None:
    """A folder, a loaded run, a weights file and a model give the same starting weights; the file contains its spec."""
    old = trained(tmp_path)
    new = SPEC.replace("count: 2", "count: 3").replace("vocab: 20", "vocab: 30")
    archspec.save_weights(old.model, tmp_path / "weights.safetensors")
    olds = (old.folder, str(old.folder), old, tmp_path / "weights.safetensors", old.model)
    found = [archspec.migrate(one, new, seed=0) for one in olds]
    expected = dict(found[0].model.named_weights())
    for migration in found[1:]:
        weights = dict(migration.model.named_weights())
        assert all(torch.equal(expected[name], weights[name]) for name in expected)
        assert migration.counts() == found[0].counts()
    assert found[0].counts()["grown"] == 4
    assert torch.equal(expected["inputs.user.weight"][:20], dict(old.model.named_weights())["inputs.user.weight"])


def test_a_domain_s_rows_move_by_name(tmp_path: Path) -> None:
    """A scene inserted before another one gets a random row; the others keep theirs."""
    text = SPEC.replace("  x: {kind", "  scene: {kind: domain, values: [home, search], dim: 2}\n  x: {kind")
    old = trained(tmp_path, text)
    found = archspec.migrate(old, text.replace("[home, search]", "[app, search, home]"))
    before, after = dict(old.model.named_weights()), dict(found.model.named_weights())
    assert torch.equal(after["inputs.scene.weight"][[2, 1]], before["inputs.scene.weight"])


def test_a_file_without_its_spec(tmp_path: Path) -> None:
    """Weights of an older archspec contain no spec: the remedy in the message works as written."""
    from safetensors.torch import save_file

    old = archspec.compile(SPEC, seed=0)
    save_file({name: value.contiguous() for name, value in old.named_weights()}, tmp_path / "old.safetensors")
    with pytest.raises(SpecError, match="AS807"):
        archspec.migrate(tmp_path / "old.safetensors", SPEC)
    model = archspec.compile(SPEC, seed=1)
    archspec.load_weights(model, tmp_path / "old.safetensors")
    assert archspec.migrate(model, SPEC).counts()["kept"] == len(dict(old.named_weights()))


def test_a_new_task_and_an_expert(tmp_path: Path) -> None:
    """Version 2 of a spec continues version 1: the new run scores both the old and the new task."""
    first = trained(tmp_path)
    text = SPEC.replace("  stars:", "  save: {}\n  stars:").replace("count: 2", "count: 3")
    data = rows(300, 1, (*USERS, "eve"))
    second = run(tmp_path, "second", {**data, "save": data["click"]}, text, start=str(first.folder))
    assert set(second.predict(data)) == {*first.outputs, "save"}
    known = second.encoder.encodings["user"]
    assert isinstance(known, Vocabulary)
    assert known.values[-1] == "eve"
