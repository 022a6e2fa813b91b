"""Exported models: the files load without archspec and give the model's outputs for any number of rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

import archspec
from archspec import FusionKind, fusion
from archspec.diagnostics import SpecError
from archspec.plugins import built_in
from archspec.serving import export as exporting
from archspec.serving import formats, load
from tests.runs.clicks import OUTPUTS, SPEC, rows, trained

if TYPE_CHECKING:
    from archspec.program import Part, Scope, Value
    from archspec.runs.trained import Trained
    from archspec.serving.export import Exported

BARE = """
archspec: 1
name: bare
inputs: {user: {kind: sparse, vocab: 9, dim: 2}, tags: {kind: sequence, table: user}, x: {kind: dense, dim: 1}}
tasks: {click: {}}
towers: {click: {from: inputs}}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A trained run."""
    return trained(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def onnx(run: Trained, tmp_path_factory: pytest.TempPathFactory) -> tuple[Exported, Path]:
    """The run as ONNX, with its gates."""
    folder = tmp_path_factory.mktemp("onnx")
    return archspec.export(run, "onnx", folder / "model", gates=True), folder / "model"


def test_a_run_becomes_onnx_with_its_encoding(run: Trained, onnx: tuple[Exported, Path]) -> None:
    """Inputs and outputs are named, rows are free, and the metadata contain the spec, its digest and its experts."""
    from onnx import load

    exported, folder = onnx
    assert [path.name for path in exported.files] == ["encoding.json", "model.onnx", "score.py"]
    assert sorted(path.name for path in folder.iterdir()) == [path.name for path in exported.files]
    assert exported.difference < 1e-6
    model = load(folder / "model.onnx")
    assert [value.name for value in model.graph.input] == ["user", "seen", "x"]
    assert [value.name for value in model.graph.output] == [*OUTPUTS, *run.graph.seen]
    assert all(value.type.tensor_type.shape.dim[0].dim_param for value in model.graph.input)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert archspec.load(metadata["archspec.spec"]).digest == metadata["archspec.digest"] == run.graph.spec.digest
    experts = [expert.node for expert in run.graph.seen["level1.gates.buy"]]
    assert metadata["archspec.experts.level1.gates.buy"].split(",") == experts


def test_the_program_beside_it_gives_the_scores_of_the_run(
    run: Trained, onnx: tuple[Exported, Path], tmp_path: Path
) -> None:
    """`score.py` in a separate process without archspec matches `predict` within 1e-5, also for unknown values."""
    data = rows(40, 7, ("ann", "bob", "new"))
    data["user"][3] = None
    request = [{name: data[name][row] for name in ("user", "seen", "x")} for row in range(40)]
    (tmp_path / "rows.json").write_text(json.dumps(request))
    words = [sys.executable, "-P", str(onnx[1] / "score.py"), str(onnx[1]), str(tmp_path / "rows.json")]
    done = subprocess.run(words, cwd=tmp_path, env={"PYTHONPATH": ""}, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    expected = run.predict(pa.table({name: data[name] for name in ("user", "seen", "x")}), gates=True)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-5)


@pytest.mark.parametrize("words", [[], ["folder"], ["folder", "rows.json", "more"]])
def test_the_scorer_prints_its_usage(words: list[str]) -> None:
    """With other than two arguments, `score.py` prints one line of usage, not a traceback, and exits with status 2."""
    scorer = Path(exporting.__file__).with_name("score.py")
    done = subprocess.run([sys.executable, str(scorer), *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "usage: python score.py FOLDER rows.json\n"


@pytest.mark.parametrize("gates", [False, True])
def test_a_spec_becomes_an_exported_program(tmp_path: Path, gates: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """For a spec, weights are drawn by the seed; torch loads the file with its metadata, for any number of rows."""
    exported = archspec.export(SPEC, "torch-export", tmp_path, gates=gates, seed=3)
    assert [path.name for path in exported.files] == ["model.pt2"]
    extra = {"archspec.json": ""}
    program = torch.export.load(tmp_path / "model.pt2", extra_files=extra)
    assert json.loads(extra["archspec.json"])["archspec.digest"] == archspec.load(SPEC).digest
    model = archspec.compile(SPEC, seed=3).eval()
    batch = {"user": torch.arange(11), "seen": torch.full((11, 3), -1), "x": torch.randn(11)}
    expected = model.predict(batch) | (model.gate_weights(batch) if gates else {})
    found = program.module()(batch)
    assert found.keys() == expected.keys()
    assert all(torch.allclose(found[name], expected[name], rtol=0, atol=1e-6) for name in expected)


def test_a_run_is_exported_for_one_task(run: Trained, tmp_path: Path) -> None:
    """The file has the outputs that the task needs, with the run's weights; the run itself is unchanged."""
    archspec.export(run, "torch-export", tmp_path, tasks=["stars"])
    program = torch.export.load(tmp_path / "model.pt2")
    batch = {name: values[:5] for name, values in run.encode(rows(5, 2)).items()}
    found = program.module()(batch)
    assert list(found) == ["stars"]
    assert torch.allclose(found["stars"], run.model.predict(batch)["stars"], rtol=0, atol=1e-6)
    assert len(program.state_dict) < len(run.model.state_dict())


def test_lists_of_any_length_stay_free(tmp_path: Path) -> None:
    """A sequence without `length` is traced for any number of rows and items."""
    archspec.export(BARE, "torch-export", tmp_path, seed=0)
    program = torch.export.load(tmp_path / "model.pt2").module()
    model = archspec.compile(BARE, seed=0).eval()
    for count, length in ((1, 1), (4, 9)):
        batch = {"user": torch.arange(count), "tags": torch.randint(-1, 9, (count, length)), "x": torch.ones(count)}
        assert torch.allclose(program(batch)["click"], model.predict(batch)["click"], rtol=0, atol=1e-6)


def test_a_model_that_was_exported_is_not_changed(run: Trained, onnx: tuple[Exported, Path]) -> None:
    """The run's own model still checks its batches after the export."""
    assert onnx[0].files
    assert run.model.check_inputs


class Unknown(FusionKind):
    """A score for which ONNX has no operation: the sign of a determinant."""

    of: tuple[str, ...] = ("click",)

    def lower(self, at: Scope, parts: tuple[Part, ...]) -> Value:
        """`[B]`."""
        return at.apply("tests.serving.test_export:determinant", parts[0].logits, shape=("B",))


def test_onnx_has_the_operations_of_every_kind_of_task(tmp_path: Path) -> None:
    """The predictions of all built-in kinds of tasks, such as the products of `ordinal`, are written as ONNX."""
    settings = {"multiclass": "classes: 3", "ordinal": "classes: 4", "quantile": "q: 0.3"}
    kinds = built_in().names("task")
    tasks = "".join(f"  {kind}: {{kind: {kind}, {settings.get(kind, '')}}}\n" for kind in kinds)
    text = BARE.replace("tasks: {click: {}}\n", f"tasks:\n{tasks}").replace("{click: {from", "{$task: {from")
    assert "ordinal" in kinds
    assert archspec.export(text, "onnx", tmp_path / "model").difference < 1e-6


def determinant(logits: torch.Tensor) -> torch.Tensor:
    """`[B]`."""
    found: torch.Tensor = torch.linalg.slogdet(logits.view(-1, 1, 1) * torch.eye(2)).logabsdet
    return found


def test_an_operation_that_onnx_lacks_is_named(tmp_path: Path) -> None:
    """The error names the operation and the formats that support it; nothing is left behind, and those formats work."""
    text = BARE + "fusion: {odd: {kind: unknown_score}}\n"
    kind = fusion("unknown_score")(Unknown)
    with pytest.raises(SpecError, match="AS809") as raised:
        archspec.export(text, "onnx", tmp_path / "model", plugins=[kind])
    assert "`aten." in raised.value.diagnostics[0].message
    assert not (tmp_path / "model").exists()
    assert archspec.export(text, "torch-export", tmp_path / "model", plugins=[kind], seed=0).difference < 1e-6


def test_what_cannot_be_traced_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin that turns the number of rows into a Python number is refused, with torch's reason."""
    kind: Any = fusion("fixed_score")(type("Fixed", (Unknown,), {"__module__": __name__, "__qualname__": "Fixed"}))
    monkeypatch.setitem(globals(), "Fixed", kind)
    monkeypatch.setitem(globals(), "determinant", lambda logits: logits + torch.arange(len(logits)))
    with pytest.raises(SpecError, match=r"AS808.*rows"):
        archspec.export(BARE + "fusion: {odd: {kind: fixed_score}}\n", "torch-export", tmp_path, plugins=[kind])
    assert not list(tmp_path.iterdir())


def test_a_file_that_computes_something_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The written file is executed; if an output differs or is not a number, the old files are kept."""
    (tmp_path / "model.pt2").write_text("old")
    for wrong in (1e-3, float("nan")):
        own = load.loaded
        monkeypatch.setattr(
            exporting, "loaded",
            lambda *words, own=own, wrong=wrong: lambda batch: {k: v + wrong for k, v in own(*words)(batch).items()},
        )  # fmt: skip
        with pytest.raises(SpecError, match="AS810"):
            archspec.export(BARE, "torch-export", tmp_path)
        monkeypatch.undo()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("model.pt2", "old")]


def test_aot_inductor_gets_the_traced_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is compiled with the metadata and loaded again; `make serving` runs the real compiler."""
    seen: dict[str, Any] = {}

    class Inductor:
        """A substitute for torch._inductor, whose compiler takes a minute."""

        @staticmethod
        def aoti_compile_and_package(program: Any, *, package_path: str, inductor_configs: dict[str, Any]) -> None:  # noqa: ANN401 - torch's
            seen.update(inductor_configs)
            seen["operations"] = {str(node.target) for node in program.graph.nodes}
            torch.export.save(program, package_path)

        @staticmethod
        def aoti_load_package(path: str) -> Any:  # noqa: ANN401 - torch's
            module: Any = torch.export.load(path).module()

            def boxed_run(columns: list[torch.Tensor]) -> list[torch.Tensor]:
                return list(module(dict(zip(("user", "tags", "x"), columns, strict=True))).values())

            metadata = seen["aot_inductor.metadata"]
            return SimpleNamespace(loader=SimpleNamespace(boxed_run=boxed_run, get_metadata=lambda: metadata))

    monkeypatch.setattr(formats, "inductor", Inductor)
    monkeypatch.setattr(load, "inductor", Inductor)
    monkeypatch.setattr("shutil.which", lambda name: name)
    exported = archspec.export(BARE, "aoti", tmp_path / "a")
    assert [path.name for path in exported.files] == ["model_aoti.pt2"]
    assert seen["aot_inductor.metadata"]["archspec.digest"] == archspec.load(BARE).digest
    assert seen["freezing"], "the weights are stored as the products read them"
    assert not {"aten.linear.default", "aten.baddbmm.default"} & seen["operations"], "small products are not packed"
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(SpecError, match="AS811"):
        archspec.export(BARE, "aoti", tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5, 7), (5, 2, 7), (0, 7)])
def test_small_products_are_batched_ones_for_aot_inductor(shape: tuple[int, ...], bias: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A small product has the value of the linear layer for any shape of rows; a large one is left to be packed."""
    layer = torch.nn.Linear(7, 3, bias=bias, dtype=torch.float32)
    x = torch.randn(shape)
    torch.testing.assert_close(formats.unpacked(x, layer.weight, layer.bias), layer(x), rtol=0, atol=1e-6)
    assert formats.unpacked(x, torch.empty(7, 10**6), None) is NotImplemented
    assert formats.unpacked(x.double(), layer.weight.double(), None) is NotImplemented


def test_a_batched_product_is_separate_from_its_bias() -> None:
    """The two operations have the value of one; a product with factors is left as it is."""
    bias, x, weight = torch.randn(4, 1, 3), torch.randn(4, 5, 7), torch.randn(4, 7, 3)
    expected = torch.baddbmm(bias, x, weight)
    torch.testing.assert_close(formats.biased(bias, x, weight), expected, rtol=0, atol=1e-5)
    assert formats.biased(bias, x, weight, alpha=2) is NotImplemented


def test_a_missing_library_is_told_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra `serve`, the ONNX export says what to install; other formats need nothing."""
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(SpecError, match=r"AS709.*needs onnxscript") as raised:
        archspec.export(BARE, "onnx", tmp_path)
    assert "archspec-mtl[serve]" in raised.value.diagnostics[0].help


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A file in the place of the folder is one error."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SpecError, match="AS013"):
        archspec.export(BARE, "torch-export", tmp_path / "file")


def test_the_command_prints_the_files(run: Trained, tmp_path: Path) -> None:
    """`archspec export` of a run's folder prints paths on standard output and the difference on standard error."""
    from click.testing import CliRunner

    from archspec.cli.app import archspec as commands

    words = ["export", str(run.folder), "--to", "torch-export", "-o", str(tmp_path)]
    done = CliRunner().invoke(commands, words, catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stdout.split() == [str(tmp_path / "encoding.json"), str(tmp_path / "model.pt2")]
    assert done.stderr.startswith("largest difference to the model: ")
    parquet.write_table(pa.table(rows(5, 1)), tmp_path / "rows.parquet")
    assert CliRunner().invoke(commands, ["export", "no.yaml", "-o", str(tmp_path)]).exit_code == 2
