"""Files of a run: a missing, truncated, edited or swapped one gives one sentence with its name and a remedy."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save

from archspec.cli.gates import gates as gates_command
from archspec.data.prepare import COLUMNS, ENCODING, TRAIN, VALIDATION, Source
from archspec.diagnostics import SpecError
from archspec.graph.load import load_graph
from archspec.plugins import load as load_plugins
from archspec.runs.files import CURVES, HISTORY, LAST, RESULTS, RUN, SPEC, STATE, WEIGHTS
from archspec.runs.recipe import Recipe
from archspec.runs.trained import load_run
from archspec.runs.training import Progress, train

if TYPE_CHECKING:
    from archspec.graph.graph import Graph

TEXT = """
archspec: 1
name: g
inputs: {user: {kind: sparse, vocab: 100, dim: 4}}
tasks: {click: {kind: binary}, like: {kind: binary, label: click}}
levels: [{experts: {e: {count: 2, units: [4]}}, gates: {$task: {sees: e}}}]
towers: {$task: {}}
"""
"""A small model with gates."""
RECIPE = Recipe(epochs=2, batch=50, interval=2)
MORE = replace(RECIPE, epochs=3)
STEPS = 5
"""Of an epoch."""
READ = (RUN, SPEC, ENCODING, WEIGHTS)
"""What `load_run` reads."""
RESUMED = (RUN, SPEC, ENCODING, HISTORY, LAST, WEIGHTS, TRAIN, VALIDATION)
"""What going on with a run reads."""


@pytest.fixture
def run(unbroken: Path, tmp_path: Path) -> Path:
    """A copy of the run."""
    return shutil.copytree(unbroken, tmp_path / "x")


def damage(path: Path, how: str) -> None:
    """Damages a file as disks, people and copying do."""
    content = path.read_bytes()
    path.unlink()
    if how == "a folder":
        path.mkdir()
    elif how != "gone":
        path.write_bytes({"half": content[: len(content) // 2], "empty": b"", "{}": b"{}", "[]": b"[]"}[how])


def refused(told: pytest.ExceptionInfo[SpecError], path: Path) -> None:
    """One error that names the file and a remedy."""
    (item,) = told.value.diagnostics
    assert str(path) in item.message
    assert item.help
    assert told.value.status == 2


DAMAGES = ("half", "empty", "{}", "[]", "gone", "a folder")


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", READ)
def test_a_run_with_a_damaged_file_is_not_opened(run: Path, name: str, how: str) -> None:
    """Every file that the model needs is checked; none is replaced by a guess."""
    damage(run / name, how)
    with pytest.raises(SpecError) as told:
        load_run(run)
    refused(told, run / name)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{}", "is not a complete safetensors file: "),
        (save({"a": torch.ones(1)}), "has none of the "),
        (save({"towers.click.head.bias": torch.ones(1)}), "is not as the run wrote it: weights do not fit "),
    ],
)
def test_wrong_weights_are_a_sentence(run: Path, content: bytes, said: str) -> None:
    """The name of the file, once, is the subject of a sentence that says what is wrong with it."""
    (run / WEIGHTS).write_bytes(content)
    with pytest.raises(SpecError, match="AS733") as told:
        load_run(run)
    assert told.value.diagnostics[0].message.startswith(f"`{run / WEIGHTS}` {said}")


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", RESUMED)
def test_a_run_with_a_damaged_file_does_not_go_on(graph: Graph, source: Source, run: Path, name: str, how: str) -> None:
    """Every file that resuming needs is checked; of two alternatives, one is enough."""
    damage(run / name, how)
    if how == "gone" and name in {HISTORY, LAST}:
        assert train(graph, source, MORE, run, resume=True).history["validation/loss"][-1][0] == 3 * STEPS
        return
    with pytest.raises(SpecError) as told:
        train(graph, source, MORE, run, resume=True)
    refused(told, run / name)


@pytest.mark.parametrize("name", [LAST, HISTORY, WEIGHTS])
def test_the_hint_works(graph: Graph, source: Source, unbroken: Path, run: Path, name: str) -> None:
    """After deleting what the message says to delete, the run ends as if nothing had been lost."""
    damage(run / name, "half")
    with pytest.raises(SpecError, match="AS733") as told:
        train(graph, source, MORE, run, resume=True)
    advice = told.value.diagnostics[0].help
    assert "delete" in advice
    for other in {LAST, HISTORY} if name == WEIGHTS else {name}:
        (run / other).unlink()
    found = train(graph, source, MORE, run, resume=True)
    whole = train(graph, source, MORE, unbroken.parent / f"three epochs, not without {name}")
    assert found == whole


@pytest.mark.parametrize("how", DAMAGES)
def test_a_run_that_is_over_needs_its_weights(graph: Graph, source: Source, run: Path, how: str) -> None:
    """A finished run whose weights are missing is refused."""
    damage(run / WEIGHTS, how)
    with pytest.raises(SpecError) as told:
        train(graph, source, RECIPE, run, resume=True)
    refused(told, run / WEIGHTS)


@pytest.mark.parametrize("name", [VALIDATION, TRAIN])
def test_rows_that_were_edited_are_not_used(graph: Graph, source: Source, run: Path, name: str) -> None:
    """One flipped byte in the encoded rows is detected; a finished run works without `rows/`."""
    content = bytearray((run / name).read_bytes())
    content[len(content) // 2] ^= 1
    (run / name).write_bytes(content)
    with pytest.raises(SpecError) as told:
        train(graph, source, MORE, run, resume=True)
    refused(told, run / name)
    if name == VALIDATION:
        with pytest.raises(SpecError, match="AS733"):
            load_run(run).validation()
    shutil.rmtree(run / "rows")
    assert train(graph, source, RECIPE, run, resume=True).best["epoch"] == 2
    with pytest.raises(SpecError, match="AS708"):
        load_run(run).validation()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("asked", []), ("asked", {}), ("train", "270"), ("asked.batch", "50"), ("asked.grouped_by", 3),
        ("asked.files", "a.csv"), ("asked.learning_rate", None), ("sha256", [1]), ("format", "one"),
    ],
)  # fmt: skip
def test_a_value_of_a_wrong_type_is_told_with_its_place(run: Path, place: str, value: object) -> None:
    """`run.json` is validated by its types, and the message contains the place of the value."""
    content = json.loads((run / RUN).read_text())
    *outer, last = place.split(".")
    (content[outer[0]] if outer else content)[last] = value
    (run / RUN).write_text(json.dumps(content))
    with pytest.raises(SpecError, match="AS733") as told:
        load_run(run)
    refused(told, run / RUN)
    if not (place == "asked" and not value):
        assert last in told.value.diagnostics[0].message


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("asked", [], "is damaged: `asked` must be a mapping, not `[]`"),
        ("asked", {}, "is damaged: it has no `asked.spec`"),
        ("asked.spec", None, "is damaged: `asked.spec` must be text, not `null`"),
        ("train", "270", 'is damaged: `train` must be a whole number, not `"270"`'),
        ("asked.batch", 0, "is damaged: `asked.batch` must be at least 1, not `0`"),
        ("asked.learning_rate", None, "is damaged: `asked.learning_rate` must be a number, not `null`"),
        ("asked.bad", "go", 'is damaged: `asked.bad` must be `stop` or `skip`, not `"go"`'),
    ],
)
def test_a_wrong_value_is_a_sentence(run: Path, place: str, value: object, said: str) -> None:
    """The message says which key is wrong, what its value must be, and what it is."""
    content = json.loads((run / RUN).read_text())
    *outer, last = place.split(".")
    (content[outer[0]] if outer else content)[last] = value
    (run / RUN).write_text(json.dumps(content))
    with pytest.raises(SpecError, match="AS733") as told:
        load_run(run)
    assert told.value.diagnostics[0].message == f"`{run / RUN}` {said}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ('{"train": 1,', "is cut short: its JSON ends too early"),
        ('{"train" 1}', "is damaged: it is not valid JSON (line 1, column 10)"),
        ("{}", "is damaged: it has no `asked`"),
        ("[]", "is damaged: its content must be a mapping, not `[]`"),
    ],
)
def test_a_file_that_is_not_json_is_a_sentence(run: Path, text: str, said: str) -> None:
    """An empty file, one that ends early and one with a typing error are told apart."""
    (run / RUN).write_text(text)
    with pytest.raises(SpecError, match="AS733") as told:
        load_run(run)
    assert told.value.diagnostics[0].message == f"`{run / RUN}` {said}"


def test_a_checkpoint_with_a_tensor_as_a_count_is_a_sentence(graph: Graph, source: Source, run: Path) -> None:
    """A value that only a checkpoint can contain is named by its type."""
    found = torch.load(run / LAST, weights_only=False)
    found["callbacks"][STATE]["waited"] = torch.ones(2)
    torch.save(found, run / LAST)
    with pytest.raises(SpecError, match="AS733") as told:
        train(graph, source, MORE, run, resume=True)
    said = "is damaged: `waited` must be a whole number, not a value of type `Tensor`"
    assert told.value.diagnostics[0].message == f"`{run / LAST}` {said}"


def test_an_edited_spec_is_refused(run: Path) -> None:
    """Weights belong to the spec they were trained with, even if they would fit another by their shapes."""
    (run / SPEC).write_text((run / SPEC).read_text().replace("[4]", "[5]"))
    with pytest.raises(SpecError, match="was edited or cut"):
        load_run(run)


def test_weights_of_another_model_are_refused(graph: Graph, source: Source, run: Path, tmp_path: Path) -> None:
    """An intact weights file of another network is refused."""
    other = load_graph(TEXT.replace("units: [4]", "units: [5]"), None, load_plugins([]))
    train(other, source, RECIPE, tmp_path / "other")
    shutil.copy(tmp_path / "other" / WEIGHTS, run / WEIGHTS)
    with pytest.raises(SpecError) as told:
        load_run(run)
    refused(told, run / WEIGHTS)
    shutil.copy(tmp_path / "other" / LAST, run / LAST)
    with pytest.raises(SpecError) as told:
        train(graph, source, MORE, run, resume=True)
    refused(told, run / LAST)


@pytest.mark.parametrize("name", [RESULTS, CURVES, COLUMNS])
def test_a_folder_where_a_result_goes_is_told_before_training(
    graph: Graph, source: Source, run: Path, name: str
) -> None:
    """Files that are only written are checked in advance, too; damaged ones are rewritten."""
    (run / name).unlink(missing_ok=True)
    (run / name).mkdir()
    with pytest.raises(SpecError, match="AS735"):
        train(graph, source, MORE, run, resume=True)
    (run / name).rmdir()
    (run / RESULTS).write_text("{")
    train(graph, source, RECIPE, run, resume=True)
    assert json.loads((run / RESULTS).read_text())["best"]["epoch"] == 2


def test_a_run_of_an_older_archspec_is_opened(graph: Graph, source: Source, run: Path) -> None:
    """A run without hashes and without newer settings is read and can be resumed."""
    content = json.loads((run / RUN).read_text())
    for name in ("format", "archspec", "sha256", "data"):
        del content[name]
    del content["asked"]["threads"]
    (run / RUN).write_text(json.dumps(content))
    assert load_run(run).graph.spec.digest == graph.spec.digest
    assert train(graph, source, MORE, run, resume=True).history["validation/loss"][-1][0] == 3 * STEPS
    (run / SPEC).write_text("archspec: 1\nname: [")
    with pytest.raises(SpecError) as told:
        load_run(run)
    refused(told, run / SPEC)


def test_a_run_of_a_newer_archspec_is_refused(run: Path) -> None:
    """An unknown format is refused."""
    content = json.loads((run / RUN).read_text())
    (run / RUN).write_text(json.dumps(content | {"format": 2, "archspec": "9.0"}))
    with pytest.raises(SpecError, match="AS734") as told:
        load_run(run)
    assert "archspec 9.0" in str(told.value)


def test_weights_without_their_run_are_not_overwritten(graph: Graph, source: Source, run: Path) -> None:
    """If `run.json` is missing, neither a new nor a resumed run overwrites the other files."""
    (run / RUN).unlink()
    before = (run / WEIGHTS).read_bytes()
    for resume in (False, True):
        with pytest.raises(SpecError):
            train(graph, source, RECIPE, run, resume=resume)
    assert (run / WEIGHTS).read_bytes() == before


def test_a_run_may_be_moved(graph: Graph, source: Source, run: Path, tmp_path: Path) -> None:
    """Folder and data may be moved, also behind a link; resuming with a different file is refused."""
    moved = run.rename(tmp_path / "a b ü")
    (tmp_path / "link").symlink_to(moved)
    for place in (tmp_path / "data", tmp_path / "other"):
        place.mkdir()
        shutil.copy(source.files[0], place)
    same = replace(source, files=(str(tmp_path / "data" / "a.csv"),))
    assert train(graph, same, MORE, tmp_path / "link", resume=True).best["epoch"] == 3
    assert load_run(tmp_path / "link").encoder.encodings
    (tmp_path / "other" / "a.csv").write_text("user,click\n1,1\n")
    with pytest.raises(SpecError, match="AS706"):
        train(graph, replace(source, files=(str(tmp_path / "other" / "a.csv"),)), MORE, moved, resume=True)


def test_changed_data_is_a_warning(graph: Graph, source: Source, tmp_path: Path) -> None:
    """The run continues with the rows that it encoded; a warning says if its files have changed since."""
    path = Path(shutil.copy(source.files[0], tmp_path / "b.csv"))
    own = replace(source, files=(str(path),))
    train(graph, own, RECIPE, tmp_path / "run")
    told: list[str] = []
    progress = Progress(warn=lambda items: told.extend(item.code for item in items))
    train(graph, own, RECIPE, tmp_path / "run", resume=True, progress=progress)
    assert told == []
    path.write_text(path.read_text() + "1,1\n")
    train(graph, own, RECIPE, tmp_path / "run", resume=True, progress=progress)
    assert told == ["AS737"]
    path.unlink()
    assert train(graph, own, MORE, tmp_path / "run", resume=True).history["validation/loss"][-1][0] == 3 * STEPS


def test_gates_reads_only(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`archspec gates` writes nothing into the run's folder, and works while another process trains there."""
    from click.testing import CliRunner

    from archspec.runs.lock import claimed

    monkeypatch.chdir(run.parent)
    with claimed(run):
        before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
        result = CliRunner().invoke(gates_command, ["x"], catch_exceptions=False)
        assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    assert result.exit_code == 0
