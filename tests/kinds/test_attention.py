"""Target attention, transformer, AutoInt and FM: each is compared with a handwritten module, alone and side by side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - PyTorch's own idiom

import archspec
from archspec.compiler.compile import build
from archspec.compiler.count import count
from archspec.graph.load import graph_of
from archspec.testing import check_kind
from tests.compiler.models import BOTH, ONE_TASK, assert_agree, gradients, model_of, total

if TYPE_CHECKING:
    from collections.abc import Callable

Weights = dict[str, Tensor]
LENGTH, DIM = 4, 6

LISTS = """
  item: {kind: sparse, vocab: 9, dim: 6}
  p: {kind: sequence, vocab: 9, dim: 6, length: 4, pool: none}
  q: {kind: sequence, vocab: 9, dim: 6, length: 4, pool: none}
  r: {kind: sequence, vocab: 9, dim: 6, length: 4, pool: none}
"""


def text_of(settings: str, *, rows: bool = True) -> str:
    """Three blocks of a kind over three lists, side by side; blocks that output tokens are followed by a pool."""
    names = "pqr"
    blocks = [f"of_{n}: {{from: {n}, {settings}}}" for n in names]
    blocks += [] if rows else [f"pooled_{n}: {{kind: pool, how: sum, from: of_{n}}}" for n in names]
    sources = ", ".join(f"of_{n}" if rows else f"pooled_{n}" for n in names)
    return f"{ONE_TASK}inputs:{LISTS}blocks: {{{', '.join(blocks)}}}\ntowers: {{y: {{from: [{sources}]}}}}\n"


def batch_of(seed: int = 0) -> dict[str, Tensor]:
    """Lists with no event, with one, with gaps, and full ones."""
    generator = torch.Generator().manual_seed(seed)
    lists = torch.tensor(
        [[-1, -1, -1, -1], [5, -1, -1, -1], [-1, -1, -1, 0], [3, -1, 4, -1], [1, 2, 0, 2], [8, 7, 6, 5]]
    )
    orders = {name: lists[torch.randperm(6, generator=generator)] for name in "pqr"}
    return {"item": torch.randint(9, (6,), generator=generator), **orders}


def layer(w: Weights, name: str, x: Tensor) -> Tensor:
    """A linear layer by name."""
    return F.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))


def din(w: Weights, item: Tensor, events: Tensor, mask: Tensor, *, form: str = "") -> Tensor:
    """Row by row and event by event, with all four parts side by side."""
    query = item[:, None].expand_as(events)
    h = torch.cat([query, events, query - events, query * events], -1)
    for index in (0, 1):
        h = layer(w, f"layers.{index}", h)
        if form == "dice":
            own = {key: w[f"activations.{index}.{key}"] for key in ("weight", "running_mean", "running_var")}
            p = ((h - own["running_mean"]) / (own["running_var"] + 1e-8).sqrt()).sigmoid()
            h = p * h + (1 - p) * own["weight"] * h
        else:
            h = h.sigmoid()
    scores = layer(w, "head", h)[..., 0]
    rows = []
    for score, event, there in zip(scores, events, mask, strict=True):
        own_score = score[there].softmax(0) if form == "softmax" else score[there]
        rows.append((own_score[:, None] * event[there]).sum(0))
    return torch.stack(rows)


def encoder(w: Weights, _: Tensor, x: Tensor, mask: Tensor, *, pool: str = "") -> Tensor:
    """Encoder layers with explicit loops over heads."""
    h = x + w["positions.weight"]
    for index in range(2):
        own = {key.removeprefix(f"layers.{index}."): value for key, value in w.items()}
        query, key, value = (layer(own, name, h) for name in ("query", "key", "value"))
        seen = torch.where(mask.any(1, keepdim=True), mask, ~mask)[:, None, :]
        heads = []
        for part in (slice(0, 3), slice(3, 6)):
            logits = query[..., part] @ key[..., part].mT / math.sqrt(3)
            shares = torch.where(seen, logits, float("-inf")).softmax(-1)
            heads.append(shares @ value[..., part])
        s = F.layer_norm(h + layer(own, "out", torch.cat(heads, -1)), (6,), own["norms.0.weight"], own["norms.0.bias"])
        inner = layer(own, "down", layer(own, "up", s).relu())
        h = F.layer_norm(s + inner, (6,), own["norms.1.weight"], own["norms.1.bias"])
    summed = (h * mask[..., None]).sum(1)
    if pool == "last":
        places = [max((i for i, there in enumerate(row) if there), default=0) for row in mask.tolist()]
        return torch.stack([h[i, place] * mask[i].any() for i, place in enumerate(places)])
    return summed / mask.sum(1, keepdim=True).clamp_min(1) if pool == "mean" else summed


KINDS: dict[str, tuple[str, Callable[..., Tensor], dict[str, object]]] = {
    "none": ("kind: target_attention, query: item, units: [5, 3]", din, {}),
    "softmax": ("kind: target_attention, query: item, units: [5, 3], normalize: softmax", din, {"form": "softmax"}),
    "dice": ("kind: target_attention, query: item, units: [5, 3], activation: dice", din, {"form": "dice"}),
    "tokens": ("kind: transformer, layers: 2, hidden: 7", encoder, {}),
    "mean": ("kind: transformer, layers: 2, hidden: 7, pool: mean", encoder, {"pool": "mean"}),
    "last": ("kind: transformer, layers: 2, hidden: 7, pool: last", encoder, {"pool": "last"}),
}  # fmt: skip
NAMES = pytest.mark.parametrize("name", KINDS)


@BOTH
@NAMES
def test_they_equal_modules_written_by_hand(name: str, *, optimize: bool) -> None:
    """Outputs and gradients of all weights match, for empty lists, one event, gaps and full lists, and are finite."""
    settings, by_hand, options = KINDS[name]
    model, batch = model_of(text_of(settings, rows=name != "tokens"), optimize=optimize).eval(), batch_of()
    weights = {key: view.clone().requires_grad_() for key, view in model.named_weights()}
    item = weights["inputs.item.weight" if "query" in settings else "inputs.p.weight"][batch["item"]]
    streams = []
    for n in "pqr":
        mask = batch[n] >= 0
        events = torch.where(mask[..., None], weights[f"inputs.{n}.weight"][batch[n].clamp_min(0)], 0.0)
        own = {k.removeprefix(f"blocks.of_{n}."): w for k, w in weights.items() if k.startswith(f"blocks.of_{n}.")}
        streams.append(by_hand(own, item, events, mask, **options))
    right = {"y": layer(weights, "towers.y.head", torch.cat(streams, 1))[:, 0]}
    outputs, tolerance = model(batch), 1e-10 if optimize else 1e-12
    assert_agree(outputs, right, tolerance)
    found = gradients(model, total(outputs))
    torch.autograd.backward(total(right))
    wanted = {key: torch.zeros_like(w) if w.grad is None else w.grad for key, w in weights.items() if key in found}
    assert_agree(found, wanted, tolerance)
    assert all(value.isfinite().all() for value in found.values())


@NAMES
def test_several_run_side_by_side(name: str) -> None:
    """Three blocks of the same shape compile to one stacked operation per product, attention and pool."""
    ops = build(graph_of(archspec.load(text_of(KINDS[name][0], rows=name != "tokens")))).lowered.forward.ops
    heavy = [op for op in ops if op.node.section == "blocks" and op.kind in HEAVY]
    assert {op.output.shape[0] for op in heavy} == {3}
    assert {op.kind for op in heavy} >= ({"linear_pair", "attend"} if "query" in KINDS[name][0] else {"attention"})
    assert not [op for op in ops if op.kind == "concat" and op.output.width == 4 * DIM]


def test_large_activations_overwrite_the_product() -> None:
    """The networks' sigmoids overwrite the memory of their products, which no gradient needs."""
    text = text_of("kind: target_attention, query: item, units: [5, 3]")
    source = build(graph_of(archspec.load(text)), optimize=False).source
    assert source.count("torch.sigmoid_(") >= 2
    assert "torch.sigmoid(h" not in source


HEAVY = {"linear", "linear_pair", "attend", "attention", "layer_norm", "pool_tokens", "positions", "activation"}


@pytest.mark.parametrize("name", ["softmax", "dice", "tokens"])
def test_they_hold_the_contract(name: str) -> None:
    """They support batches of 7, 1 and 0 rows, training, numerical gradients, and `torch.compile` in one graph."""
    settings = archspec.load(text_of(KINDS[name][0], rows=name != "tokens")).data()["blocks"]["of_p"]
    own = {key: value for key, value in settings.items() if key not in {"kind", "from"}}
    check_kind(settings["kind"], "expert", settings={**own, **({"query": "x"} if "query" in own else {})})


@NAMES
def test_counts_are_torchs(name: str) -> None:
    """The reported parameter counts equal those of the model."""
    text = text_of(KINDS[name][0], rows=name != "tokens")
    own = sum(parameter.numel() for parameter in model_of(text, optimize=True).parameters())
    assert count(graph_of(archspec.load(text))).total.parameters == own


def test_flops_of_attention() -> None:
    """FLOPs count a matrix and a product per row, twice the elements of the sum, products of T^2 D, and the softmax."""
    found = count(graph_of(archspec.load(text_of("kind: target_attention, query: item, units: [5]"))))
    pair = 2 * LENGTH * DIM * 5 + 4 * DIM * 5
    assert found.nodes["blocks.of_p"].flops == pair + LENGTH * 5 + 2 * LENGTH * 5 + 2 * LENGTH * DIM
    text = text_of("kind: transformer, hidden: 7, positions: false, pool: sum")
    layers = 2 * LENGTH * (4 * DIM * DIM + 2 * DIM * 7) + LENGTH * 7 + 2 * LENGTH * DIM + 2 * 5 * LENGTH * DIM
    attention = LENGTH * LENGTH * (4 * DIM + 3 * 2)
    assert count(graph_of(archspec.load(text))).nodes["blocks.of_p"].flops == layers + attention + LENGTH * DIM


@BOTH
def test_zero_logits_and_softmax_are_mean_pooling(*, optimize: bool) -> None:
    """With a zero head, all events that are present get the same weight."""
    model = model_of(text_of("kind: target_attention, query: item, normalize: softmax"), optimize=optimize)
    pooled = model_of(text_of("kind: pool"), optimize=optimize)
    batch = batch_of()
    weights = {k: torch.zeros_like(w) if ".head." in k and "block" in k else w for k, w in model.named_weights()}
    model.load_weights(weights)
    own = dict(pooled.named_weights())
    pooled.load_weights({key: value for key, value in weights.items() if key in own})
    others = {key: ids for key, ids in batch.items() if key != "item"}
    torch.testing.assert_close(model(batch), pooled(others), rtol=0, atol=1e-12)


def test_weights_of_zero_are_defined() -> None:
    """Events with a weight of 0, and logits so large that an exponential overflows: finite outputs and gradients."""
    text = text_of("kind: target_attention, query: item, normalize: softmax").replace(
        "pool: none}", "pool: none, weights: shares}"
    )
    model, batch = model_of(text, optimize=True, dtype=torch.float32), batch_of()
    model.load_weights({k: 1e4 * w if ".head." in k and "block" in k else w for k, w in model.named_weights()})
    outputs = model({**batch, "shares": torch.zeros(6, LENGTH)})
    found = gradients(model, total(outputs))
    assert outputs["y"].isfinite().all()
    assert all(value.isfinite().all() for value in found.values())


def fields_text(settings: str) -> str:
    """A block over three fields of one width, two of them computed."""
    return (
        ONE_TASK
        + f"""
inputs:
  a: {{kind: dense, dim: 4}}
  b: {{kind: dense, dim: 4}}
  c: {{kind: dense, dim: 2}}
blocks:
  wide: {{from: c, units: [4]}}
  made: {{from: [a, b, {{sum: [wide, a]}}], {settings}}}
towers: {{y: {{from: made}}}}
"""
    )


def autoint(w: Weights, fields: list[Tensor]) -> Tensor:
    """Two layers, two heads of two numbers, a head at a time."""
    h = torch.stack(fields, 1)
    for index in range(2):
        own = {key.removeprefix(f"layers.{index}."): value for key, value in w.items()}
        query, key, value = (layer(own, name, h) for name in ("query", "key", "value"))
        heads = [
            (query[..., part] @ key[..., part].mT).softmax(-1) @ value[..., part] for part in (slice(0, 2), slice(2, 4))
        ]
        h = (torch.cat(heads, -1) + layer(own, "residual", h)).relu()
    return h.flatten(1)


def pairs(_: Weights, fields: list[Tensor]) -> Tensor:
    """All three products."""
    return fields[0] * fields[1] + fields[0] * fields[2] + fields[1] * fields[2]


@BOTH
@pytest.mark.parametrize(
    ("settings", "by_hand"), [("kind: fields_attention, dim: 4", autoint), ("kind: fm", pairs)]
)  # fmt: skip
def test_kinds_of_fields(settings: str, by_hand: Callable[..., Tensor], *, optimize: bool) -> None:
    """Outputs and all gradients, including those of the inputs, equal a handwritten module; counts match torch's."""
    model = model_of(fields_text(settings), optimize=optimize)
    generator = torch.Generator().manual_seed(1)
    batch = {
        name: torch.randn(5, size, generator=generator, dtype=torch.float64).requires_grad_()
        for name, size in (("a", 4), ("b", 4), ("c", 2))
    }
    weights = {key: view.clone().requires_grad_() for key, view in model.named_weights()}
    own = {key.removeprefix("blocks.made."): w for key, w in weights.items()}
    fields = [batch["a"], batch["b"], layer(weights, "blocks.wide.layers.0", batch["c"]).relu() + batch["a"]]
    right = {"y": layer(weights, "towers.y.head", by_hand(own, fields))[:, 0]}
    outputs, tolerance = model(batch), 1e-10 if optimize else 1e-12
    assert_agree(outputs, right, tolerance)
    torch.autograd.backward(total(right))
    kept = {key: value.grad for key, value in batch.items()}
    for value in batch.values():
        value.grad = None
    found = gradients(model, total(outputs))
    assert_agree(found, {key: w.grad for key, w in weights.items() if w.grad is not None}, tolerance)
    torch.testing.assert_close({key: value.grad for key, value in batch.items()}, kept, rtol=0, atol=tolerance)
    parameters = count(graph_of(archspec.load(fields_text(settings)))).total.parameters
    assert parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("kind", "own"), [("fields_attention", {"dim": 6, "heads": 3, "scaled": True}), ("fm", {})])
def test_kinds_of_fields_hold_the_contract(kind: str, own: dict[str, object]) -> None:
    """They meet the same requirements as experts that gates mix."""
    check_kind(kind, "expert", settings=own)


@pytest.mark.parametrize(
    ("settings", "said", "repaired"),
    [
        ("kind: fm, from: [a, c]", "must have the same width, but have 4, 2", "kind: fm, from: [a, b]"),
        ("kind: fields_attention, dim: 5", "not a multiple of `heads: 2`", "kind: fields_attention, dim: 6"),
        ("kind: fields_attention, dim: 0", "dim", "kind: fields_attention, dim: 2"),
        ("kind: target_attention", "query", "kind: fm"),
    ],
)
def test_wrong_settings_are_refused(settings: str, said: str, repaired: str) -> None:
    """Each wrong setting raises one diagnostic, and following its help makes the spec valid."""
    text = fields_text("KIND").replace("from: [a, b, {sum: [wide, a]}], KIND", "KIND")
    with pytest.raises(archspec.SpecError, match=said) as caught:
        archspec.load(text.replace("KIND", settings if "from" in settings else f"from: [a, b], {settings}"))
    assert len([item for item in caught.value.diagnostics if item.severity == "error"]) == 1
    assert archspec.load(text.replace("KIND", repaired if "from" in repaired else f"from: [a, b], {repaired}")).tasks


def test_dcn_experts_are_one_stack() -> None:
    """In four DCN-V2 experts every product of a layer is one product on a stack of four."""
    text = (
        ONE_TASK
        + """
inputs: {a: {kind: dense, dim: 8}}
levels: [{experts: {e: {kind: cross, count: 4, layers: 2, rank: 3, units: [5]}}, gates: {y: {sees: all}}}]
towers: {y: {}}
"""
    )
    ops = build(graph_of(archspec.load(text))).lowered.forward.ops
    products = [op.output.shape for op in ops if op.kind == "linear" and op.node.section == "experts"]
    assert products == [("B", 16), (4, "B", 8), (4, "B", 3), (4, "B", 8), (4, "B", 5)]


@BOTH
@pytest.mark.parametrize("name", ["none", "last"])
def test_any_batch_runs_in_one_graph(name: str, *, optimize: bool) -> None:
    """`torch.compile(fullgraph=True)` and `torch.export` with a dynamic batch compute the same as the module."""
    model = model_of(text_of(KINDS[name][0]), optimize=optimize).eval()
    batch = {key: ids for key, ids in batch_of().items() if key != "item" or "query" in KINDS[name][0]}
    compiled = torch.compile(model, fullgraph=True, backend="eager", dynamic=True)
    rows = torch.export.Dim("rows", min=2)
    exported = torch.export.export(model, (batch,), dynamic_shapes=({key: {0: rows} for key in batch},)).module()
    for part in (batch, {key: ids[:4] for key, ids in batch.items()}):
        torch.testing.assert_close(compiled(part), model(part), rtol=0, atol=1e-12)
        torch.testing.assert_close(exported(part), model(part), rtol=0, atol=1e-12)
