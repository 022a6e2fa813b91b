"""Kinds that work on tokens `[B, T, W]`: plain, optimized and hand-written agree, and equal ones are stacked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - PyTorch's own idiom

import archspec
from archspec.compiler.compile import build
from archspec.graph.load import graph_of
from tests.compiler.models import BOTH, HEAD, model_of, run

PLUGIN = Path(__file__).with_name("events_plugin.py")
TEXT = (
    HEAD
    + """
inputs:
  u: {kind: sparse, vocab: 9, dim: 4}
  v: {kind: sparse, vocab: 7, dim: 4}
  a: {kind: events, vocab: 9, dim: 4, length: 3, table: u, norm: NORM}
  b: {kind: events, vocab: 9, dim: 4, length: 3, norm: NORM}
  c: {kind: events, vocab: 9, dim: 4, length: 3, norm: NORM}
tasks: {one: {}, two: {}}
towers: {$task: {from: inputs, units: [3]}}
"""
)
norms = pytest.mark.parametrize("norm", ["none", "layer", "batch"])


def spec_with(norm: str) -> archspec.Spec:
    """Three event inputs with the given norm; the first one reads the table of a sparse input."""
    return archspec.load(TEXT.replace("NORM", norm), plugins=[PLUGIN])


def batch_of(rows: int) -> dict[str, Tensor]:
    """Ids for all inputs."""
    generator = torch.Generator().manual_seed(rows)
    single = {name: torch.randint(7, (rows,), generator=generator) for name in "uv"}
    return single | {name: torch.randint(9, (rows, 3), generator=generator) for name in "abc"}


def by_hand(weights: dict[str, Tensor], batch: dict[str, Tensor], norm: str) -> dict[str, Tensor]:
    """The whole model, hand-written in torch, in evaluation mode."""
    streams = [weights["inputs.u.weight"][batch["u"]], weights["inputs.v.weight"][batch["v"]]]
    for name in "abc":
        own = {key.removeprefix(f"inputs.{name}."): value for key, value in weights.items()}
        tokens = weights["inputs.u.weight" if name == "a" else f"inputs.{name}.weight"][batch[name]]
        h = tokens @ own["layer.weight"].T + own["layer.bias"]
        if norm == "layer":
            h = F.layer_norm(h, (4,), own["norm.weight"], own["norm.bias"])
        if norm == "batch":
            spread = (own["norm.running_var"] + 1e-5).sqrt()
            h = (h - own["norm.running_mean"]) / spread * own["norm.weight"] + own["norm.bias"]
        scores = (tokens @ own["score.weight"].T + own["score.bias"]).sigmoid()
        streams.append((h.relu() * scores).mean(dim=1))
    x = torch.cat(streams, dim=-1)
    outputs = {}
    for task in ("one", "two"):
        h = (x @ weights[f"towers.{task}.layers.0.weight"].T + weights[f"towers.{task}.layers.0.bias"]).relu()
        outputs[task] = (h @ weights[f"towers.{task}.head.weight"].T + weights[f"towers.{task}.head.bias"])[:, 0]
    return outputs


@BOTH
@norms
def test_they_compute_what_they_say(norm: str, *, optimize: bool) -> None:
    """Outputs equal those of a hand-written model with the same weights."""
    spec = spec_with(norm)
    model = model_of(spec, optimize=optimize).eval()
    batch = batch_of(6)
    wanted = by_hand(dict(model.named_weights()), batch, norm)
    torch.testing.assert_close(model(batch), wanted, rtol=0, atol=1e-12)


@norms
def test_optimized_equals_plain(norm: str) -> None:
    """Outputs and the gradients of every weight agree, also in training mode."""
    spec = spec_with(norm)
    batch = batch_of(6)
    plain, optimized = (run(model_of(spec, optimize=optimize).train(), batch) for optimize in (False, True))
    torch.testing.assert_close(optimized, plain, rtol=0, atol=1e-12)


def test_equal_ones_run_as_one_stack() -> None:
    """The layers of the three inputs become one batched product each, on a stack of tokens."""
    ops = build(graph_of(spec_with("layer"))).lowered.forward.ops
    stacks = [
        op.output.shape for op in ops if op.kind == "linear" and op.output.is_stack and op.node.startswith("inputs")
    ]
    assert stacks == [(3, "B", 3, 4), (3, "B", 3, 1)]


def test_a_table_that_tokens_read_stays_alone() -> None:
    """A table that single ids and lists of ids read is looked up separately by each, and a remark gives the reason."""
    built = build(graph_of(spec_with("none")))
    assert "inputs.u.embed: its table is also read for a sequence" in built.remarks
    assert sum(op.kind == "embed" for op in built.lowered.forward.ops) == 5


@BOTH
def test_one_graph_and_any_batch(*, optimize: bool) -> None:
    """`torch.compile(fullgraph=True)` and `torch.export` with a dynamic batch work."""
    spec = spec_with("layer")
    model = model_of(spec, optimize=optimize, dtype=torch.float32).eval()
    batch = batch_of(6)
    compiled = torch.compile(model, fullgraph=True, backend="eager", dynamic=True)
    torch.testing.assert_close(compiled(batch), model(batch))
    rows = torch.export.Dim("rows", min=2)
    exported = torch.export.export(model, (batch,), dynamic_shapes=({key: {0: rows} for key in batch},))
    other = batch_of(9)
    torch.testing.assert_close(exported.module()(other), model(other))
