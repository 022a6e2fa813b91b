"""Inference on many rows runs in tiles: nothing changes but the memory that it takes."""

from __future__ import annotations

import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import torch

import archspec
from archspec.compiler.compile import build
from archspec.compiler.tiles import rows_per_tile
from archspec.graph.load import graph_of
from benchmarks import fresh
from benchmarks.contenders import SIZES, spec_text
from tests.compiler.models import (
    BOTH,
    HEAD,
    NAMES,
    ONE_TASK,
    assert_agree,
    assert_equal,
    batch_of,
    gradients,
    model_of,
    spec_of,
    tiles_of,
    total,
)
from tests.compiler.opaque_kinds import OpaqueExpert
from tests.nn.test_module import EVERYTHING

if TYPE_CHECKING:
    from archspec.nn.module import Compiled

MIB = 2**20
WEIGHTED = (
    HEAD
    + "inputs: {h: {kind: sequence, vocab: 4, dim: 2, weights: w}, u: {kind: sparse, vocab: 3, dim: 2}}\n"
    + "tasks: {y: {kind: binary}}\ntowers: {y: {}}\n"
)


def passes(model: Compiled, batch: dict[str, torch.Tensor]) -> int:
    """How many forward passes one call of a model takes."""
    cls: Any = type(model)
    with mock.patch.object(cls, "is_large", autospec=True, side_effect=cls.is_large) as counted:
        model(batch)
    tiles: int = counted.call_count - 1
    return max(tiles, 1)


@pytest.mark.parametrize("name", NAMES)
def test_tiles_change_no_output(name: str) -> None:
    """Logits, scores and gate weights of every spec are equal in tiles of 3 rows, for 0, 1, 3, 7 and 9 rows."""
    model = model_of(spec_of(name), optimize=True).eval()
    for rows in (0, 1, 3, 7, 9):
        batch = batch_of(spec_of(name), rows)
        with torch.no_grad():
            logits, scores, weights = model(batch), model.predict(batch), model.gate_weights(batch)
            with tiles_of(model, 3):
                assert passes(model, batch) == max(-(-rows // 3), 1)
                assert_equal(model(batch), logits)
                assert_equal(model.predict(batch), scores)
                assert_equal(model.gate_weights(batch), weights)


@BOTH
def test_training_and_gradients_see_the_whole_batch(*, optimize: bool) -> None:
    """With batch norm and dropout, in training mode, or with gradients in evaluation mode, nothing is tiled."""
    model, batch = model_of(EVERYTHING, optimize=optimize).eval(), batch_of(EVERYTHING, 7)
    right = gradients(model, total(model(batch)))
    with tiles_of(model, 2):
        assert_agree(gradients(model, total(model(batch))), right, 0.0)
        assert passes(model, batch) == passes(model.train(), batch) == 1
        with torch.no_grad():
            assert passes(model.train(), batch) == 1
            assert passes(model.eval(), batch) == 4


@BOTH
def test_errors_name_the_row_of_the_batch(*, optimize: bool) -> None:
    """A bad id, or a bad weight beside one, is reported with its row in the batch rather than in its tile."""
    model, batch = model_of(EVERYTHING, optimize=optimize).eval(), batch_of(EVERYTHING, 7)
    batch["user"][5] = 7
    with torch.no_grad(), tiles_of(model, 2), pytest.raises(ValueError, match="id 7 in row 5 of column `user`"):
        model(batch)
    with torch.no_grad(), tiles_of(model, 2), pytest.raises(KeyError, match="input `x` needs the column `x`"):
        model({key: column for key, column in batch.items() if key != "x"})
    wrong: Any = [1]
    with torch.no_grad(), tiles_of(model, 2), pytest.raises(TypeError, match="a batch is a dict of tensors"):
        model(wrong)
    model, batch = model_of(WEIGHTED, optimize=optimize).eval(), batch_of(WEIGHTED, 7)
    batch["h"][5, 0], batch["w"][5, 0] = 1, torch.nan
    with torch.no_grad(), tiles_of(model, 2), pytest.raises(ValueError, match="beside an id, in row 5"):
        model(batch)


def test_a_subclass_gets_the_whole_batch_once() -> None:
    """What a subclass adds to `forward`, and what a hook adds to the call, is not repeated for each tile."""
    cls: Any = type(model_of(EVERYTHING, optimize=True))

    class Centred(cls):  # type: ignore[misc] # made at run time
        def forward(self, *arguments: Any) -> dict[str, torch.Tensor]:  # noqa: ANN401 - whatever the model takes
            return {name: logits - logits.mean(0) for name, logits in super().forward(*arguments).items()}

    model, batch = Centred(seed=0).double().eval(), batch_of(EVERYTHING, 7)
    calls: list[object] = []
    model.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        whole = model(batch)
        with tiles_of(model, 2):
            assert_equal(model(batch), whole)
    assert len(calls) == 2


def test_traced_graphs_take_any_number_of_rows() -> None:
    """`torch.export` and `torch.compile` see the whole batch, so that their graphs are not cut."""
    model, batch, more = model_of(EVERYTHING, optimize=True).eval(), batch_of(EVERYTHING, 7), batch_of(EVERYTHING, 11)
    rows = {key: {0: torch.export.Dim.DYNAMIC} for key in batch}
    with torch.no_grad():
        right = model(more)
        with tiles_of(model, 2):
            exported = torch.export.export(model, (batch,), dynamic_shapes=(rows,)).module()
            assert_equal(exported(more), right)
            compiled: Any = torch.compile(model, fullgraph=True, dynamic=True, backend="eager")
            assert_equal(compiled(batch), model(batch))
            assert_equal(compiled(more), right)


def test_threads_share_a_model() -> None:
    """Four threads that call one model at once, each with its own batch, get what they get alone."""
    model = model_of(EVERYTHING, optimize=True).eval()
    batches = [batch_of(EVERYTHING, 40 + place, seed=place) for place in range(8)]
    alone = [model.predict(batch) for batch in batches]
    with tiles_of(model, 3), ThreadPoolExecutor(4) as threads:
        for found, right in zip(threads.map(model.predict, batches), alone, strict=True):
            assert_equal(found, right)


def test_a_module_of_a_plugin_gets_the_whole_batch() -> None:
    """Such a module may do anything with a batch, so its model has no tiles."""
    level = "levels: [{experts: {e: {kind: opaque_expert, units: 2}}, gates: {y: {sees: all}}}]\n"
    text = ONE_TASK + "inputs: {x: {kind: dense, dim: 2}}\n" + level + "towers: {y: {}}\n"
    model = archspec.compile(text, plugins=[OpaqueExpert])
    assert "TILE" not in vars(sys.modules[type(model).__module__])


@pytest.mark.parametrize(("place", "rows"), [(0, 2048), (1, 1024), (2, 1024)])
def test_the_widest_activation_decides(place: int, rows: int) -> None:
    """Tiles are as large as was measured to reuse their memory: activations of 768, 2,304 and 2,176 numbers a row."""
    assert rows_per_tile(build(graph_of(archspec.load(spec_text(SIZES[place])))).lowered.forward) == rows


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries manage memory in other ways")
@pytest.mark.parametrize("place", range(len(SIZES)))
def test_inference_faults_in_no_fresh_pages(place: int) -> None:
    """After a warm-up, a pass over 2,048 rows uses the memory of the last one rather than up to 80 MiB of new pages."""
    code = "from benchmarks.memory import faulted; print(faulted('archspec', %d, 2048, training=False))"
    assert fresh.run(code % place, timeout=300) < MIB
