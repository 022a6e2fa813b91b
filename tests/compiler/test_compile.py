"""From a spec to a module: deterministic, usable with torch.compile and torch.export, equal with and without passes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import archspec
from archspec.compiler.compile import build
from archspec.graph.load import graph_of
from tests.compiler.models import (
    BOTH,
    HEAD,
    NAMES,
    assert_agree,
    batch_of,
    model_of,
    run,
    spec_file,
    spec_of,
    total,
    weight_gradients,
)
from tests.plain import REFERENCES

ROOT = Path(__file__).parents[2]

PLAIN = ("cross_stitch", "esmm", "poso")
"""Specs whose plain module is compiled by `torch.compile` here, instead of the optimized one."""

PRINT_SOURCES = """
import sys
from archspec.compiler.compile import build
from archspec.graph.load import graph_of
from tests.compiler.models import spec_of
for name in sys.argv[1:]:
    for optimize in (False, True):
        sys.stdout.write(build(graph_of(spec_of(name)), optimize=optimize).source)
"""

ONLY_TORCH = """
import importlib.util, sys

class NoArchspec:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in {"archspec", "pydantic", "yaml", "networkx", "tests"}:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, NoArchspec)
spec = importlib.util.spec_from_file_location("built", sys.argv[1])
built = importlib.util.module_from_spec(spec)
spec.loader.exec_module(built)
import torch
model = getattr(built, sys.argv[2])(seed=1)
batch = torch.load(sys.argv[3], weights_only=True)
torch.save({**model.eval()(batch), **{f"p.{k}": v for k, v in model.predict(batch).items()}}, sys.argv[4])
"""


def source_of(name: str, *, optimize: bool) -> str:
    """The emitted file of a spec."""
    return build(graph_of(spec_of(name)), optimize=optimize).source


def python(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in a new interpreter in the root of the repository."""
    where = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, cwd=ROOT, env=where, capture_output=True, text=True, timeout=120, check=False)


def test_a_spec_gives_the_same_bytes_in_every_process() -> None:
    """Every emitted file is the same, byte for byte, in any process and with any hash seed."""
    here = "".join(source_of(name, optimize=optimize) for name in NAMES for optimize in (False, True))
    again = "".join(source_of(name, optimize=optimize) for name in NAMES for optimize in (False, True))
    assert again == here
    there = python(PRINT_SOURCES, *NAMES, PYTHONHASHSEED="12345")
    assert there.returncode == 0, there.stderr
    assert there.stdout == here


@BOTH
@pytest.mark.parametrize("name", ["ple", "meituan_search", "cross_stitch", "snr_trans"])
def test_an_emitted_file_needs_only_torch(*, name: str, optimize: bool, tmp_path: Path) -> None:
    """In a process that cannot import archspec, the file gives the same outputs as the compiled model."""
    (tmp_path / "built.py").write_text(source_of(name, optimize=optimize), encoding="utf-8")
    batch = batch_of(spec_of(name), 5, dtype=torch.float32)
    torch.save(batch, tmp_path / "batch.pt")
    cls = type(archspec.compile(spec_of(name), optimize=optimize, seed=1))
    result = python(ONLY_TORCH, *(str(tmp_path / part) for part in ("built.py",)), cls.__name__,
                    str(tmp_path / "batch.pt"), str(tmp_path / "out.pt"))  # fmt: skip
    assert result.returncode == 0, result.stderr
    model = cls(seed=1).eval()
    wanted = {**model(batch), **{f"p.{key}": value for key, value in model.predict(batch).items()}}
    assert_agree(
        torch.load(tmp_path / "out.pt", weights_only=True), {key: v.detach() for key, v in wanted.items()}, 1e-6
    )


def test_plain_and_optimized_models_live_side_by_side() -> None:
    """Plain and optimized modules of one spec coexist in a process, and tracebacks show the lines of the right one."""
    models = {optimize: model_of(spec_file("ple"), optimize=optimize) for optimize in (False, True)}
    batch = batch_of(spec_file("ple"), 5)
    for optimize in (False, True):
        model = models[optimize]
        model.check_inputs = False
        with pytest.raises(TypeError) as error:
            model({**batch, "stats": None})
        frames = traceback.extract_tb(error.tb)
        lines = source_of("ple", optimize=optimize).splitlines()
        shown = [frame for frame in frames if frame.name == "forward" and "archspec" in frame.filename]
        assert shown
        assert all(frame.line == lines[(frame.lineno or 0) - 1].strip() for frame in shown)


def eager(name: str, *, optimize: bool) -> tuple[nn.Module, dict[str, Tensor]]:
    """A model in evaluation mode, without random operations, and a batch."""
    model = model_of(spec_of(name), optimize=optimize).eval()
    return model, batch_of(spec_of(name), 6)


CAPTURED = frozenset(
    ("apg", "dcmt", "din_ple", "esm2", "hamur", "hmoe", "m2m", "mlora", "rankmixer", "sarnet", "smes", "wukong")
)
"""Specs whose graph is captured but not traced with gradients, which would take seconds for each."""


@pytest.mark.parametrize("name", NAMES)
def test_torch_compile_takes_the_whole_graph(name: str) -> None:
    """With fullgraph and a dynamic batch, one graph serves two batch sizes, forward and backward; outputs are equal."""
    torch._dynamo.reset()
    # The plain module is several times slower to compile, and has no operation that the optimized ones do not have.
    model = model_of(spec_of(name), optimize=name not in PLAIN).eval()
    compiled = torch.compile(model, fullgraph=True, backend="eager" if name in CAPTURED else "aot_eager", dynamic=True)
    for rows in (6, 9):
        batch = batch_of(spec_of(name), rows)
        outputs, gradients, _ = run(model, batch)
        model.zero_grad()
        found = compiled(batch)
        assert_agree({key: value.detach() for key, value in found.items()}, outputs, 1e-10)
        torch.autograd.backward(total(found))
        norms = {key: weight.grad for key, weight in model.named_parameters() if weight.grad is not None}
        assert norms
        assert all(gradient.to_dense().isfinite().all() for gradient in norms.values())
        assert any(gradient.any() for gradient in gradients.values())


@pytest.mark.parametrize("optimize", [True, False])
def test_batch_norm_in_training_is_one_graph_for_all_batches(*, optimize: bool) -> None:
    """One graph serves all batches in training mode, where the number of rows decides which statistics norms use."""
    torch._dynamo.reset()
    spec = archspec.load(
        "archspec: 1\nname: m\ninputs: {x: {kind: dense, dim: 4}}\ntasks: {a: {}}\n"
        "levels: [{experts: {s: {count: 2, units: [3], norm: batch}}, gates: {a: {sees: s}}}]\ntowers: {a: {}}\n"
    )
    model, twin = (archspec.compile(spec, optimize=optimize, seed=0).double().train() for _ in range(2))
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend="eager")
    for rows in (6, 9, 1):
        batch = {"x": torch.randn(rows, 4, dtype=torch.float64)}
        assert torch.allclose(compiled(batch)["a"], twin(batch)["a"])
    assert_agree(dict(model.named_buffers()), dict(twin.named_buffers()), 1e-12)


@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a compiler")
@pytest.mark.parametrize("name", ["moe", "esmm", "cgc"])
def test_inductor_compiles_forward_and_backward(name: str) -> None:
    """With Inductor, outputs and gradients in float32 stay within 1e-5."""
    torch._dynamo.reset()
    model = model_of(spec_of(name), optimize=True, dtype=torch.float32).train()
    batch = batch_of(spec_of(name), 6, dtype=torch.float32)
    outputs, gradients, _ = run(model, batch)
    found = torch.compile(model, fullgraph=True, dynamic=True)(batch)
    assert_agree({key: value.detach() for key, value in found.items()}, outputs, 1e-5)
    torch.autograd.backward(total(found))
    assert_agree(weight_gradients(model), gradients, 1e-5)


@pytest.mark.parametrize("name", ["ple", "meituan_search", "mmoe"])
def test_torch_compile_takes_training_too(name: str) -> None:
    """In training mode the graph is captured as a whole too, and its gradients equal those of the module."""
    torch._dynamo.reset()
    model = model_of(spec_file(name), optimize=True).train()
    batch = batch_of(spec_file(name), 6)
    torch.autograd.backward(total(model(batch)))
    right = {key: weight.grad.clone() for key, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    torch.autograd.backward(total(torch.compile(model, fullgraph=True, backend="aot_eager", dynamic=True)(batch)))
    assert_agree(
        {key: weight.grad for key, weight in model.named_parameters() if weight.grad is not None}, right, 1e-10
    )


@BOTH
@pytest.mark.parametrize("name", ["shared_bottom", "ple", "meituan_search"])
def test_torch_export_with_a_dynamic_batch(*, name: str, optimize: bool) -> None:
    """An exported program runs with batch sizes other than the one it was traced with."""
    model, batch = eager(name, optimize=optimize)
    size = torch.export.Dim("batch", min=2, max=4096)
    program = torch.export.export(model, (batch,), dynamic_shapes=({key: {0: size} for key in batch},))
    other = batch_of(spec_of(name), 11)
    found = program.module()(other)
    assert_agree(found, model(other), 1e-10)


@BOTH
def test_batches_of_any_size_follow_one_another(*, optimize: bool) -> None:
    """Batches of 1, 0, 7 and 1 rows in turn give the same outputs as each batch alone."""
    model = model_of(spec_file("meituan_search"), optimize=optimize).eval()
    batch = batch_of(spec_file("meituan_search"), 7)
    together = model(batch)
    for rows in (1, 0, 7, 1):
        part = model({key: value[:rows] for key, value in batch.items()})
        assert_agree(part, {key: value[:rows] for key, value in together.items()}, 1e-10)


def test_every_reference_compiles_from_text() -> None:
    """The canonical text of a spec compiles to the same program as its file."""
    for name in REFERENCES:
        spec = spec_of(name)
        if spec.requires:
            continue
        again = build(graph_of(archspec.load(spec.text())), optimize=False).source
        assert again == source_of(name, optimize=False)


def test_compile_takes_a_path_a_text_and_a_spec() -> None:
    """`compile` accepts everything that `load` accepts."""
    path = spec_file("mmoe")
    batch = batch_of(path, 3, dtype=torch.float32)
    wanted = archspec.compile(path, seed=0)(batch)
    for source in (str(path), path.read_text(encoding="utf-8"), archspec.load(path)):
        assert_agree(archspec.compile(source, seed=0)(batch), wanted, 0.0)


def test_a_wrong_spec_compiles_to_a_diagnostic() -> None:
    """`compile` raises the same error as `load`."""
    with pytest.raises(archspec.SpecError, match="AS"):
        archspec.compile(HEAD + "tasks: {y: {kind: binary}}\n")
