"""Inputs: their column in a batch, and their stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import archspec
from archspec.compiler.compile import build
from archspec.compiler.count import count
from archspec.graph.load import graph_of
from archspec.testing import check_kind
from tests.compiler.models import (
    BOTH,
    ONE_TASK,
    assert_agree,
    batch_of,
    gradients,
    model_of,
    run,
    total,
    weight_gradients,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def logits(weights: dict[str, Tensor], stream: Tensor) -> dict[str, Tensor]:
    """The logits of the tower's head for a stream."""
    return {"y": functional.linear(stream, weights["towers.y.head.weight"], weights["towers.y.head.bias"]).squeeze(-1)}


def check(inputs: str, batch: dict[str, Tensor], wanted: object, *, optimize: bool, source: str = "inputs") -> None:
    """The tower's logits and the gradients of the tables match the stream that `wanted` computes from the weights."""
    assert callable(wanted)
    model = model_of(ONE_TASK + f"inputs: {inputs}\ntowers: {{y: {{from: {source}}}}}\n", optimize=optimize)
    weights = {name: view.clone().requires_grad_() for name, view in model.named_weights()}
    outputs, right = model(batch), logits(weights, wanted(weights))
    assert_agree(outputs, right, 1e-12)
    torch.autograd.backward(total(right))
    found = gradients(model, total(outputs))
    assert_agree(found, {name: torch.zeros_like(w) if w.grad is None else w.grad for name, w in weights.items()}, 1e-12)


@BOTH
@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_one_number_per_row_may_be_a_vector_or_a_column(*, shape: tuple[int, ...], optimize: bool) -> None:
    """A dense input of width 1 accepts `[B]` and `[B, 1]`."""
    x = torch.randn(shape, dtype=torch.float64)
    check("{x: {kind: dense, dim: 1}}", {"x": x}, lambda _: x.view(4, 1), optimize=optimize)


@BOTH
def test_inputs_stand_side_by_side_as_written(*, optimize: bool) -> None:
    """`inputs` is the concatenation of all inputs with a width, in the order of the file."""
    batch = {"b": torch.randn(4, 2, dtype=torch.float64), "a": torch.tensor([2, 0, 2, 1])}
    check("{b: {kind: dense, dim: 2}, a: {kind: sparse, vocab: 3, dim: 4}, d: {kind: domain, values: [p, q]}}",
          batch | {"d": torch.tensor([0, 1, 1, 0])},
          lambda w: torch.cat([batch["b"], w["inputs.a.weight"][batch["a"]]], dim=1), optimize=optimize)  # fmt: skip


@BOTH
def test_a_shared_table_is_one_weight(*, optimize: bool) -> None:
    """`table` looks up another input's rows; both train them."""
    ids, others = torch.tensor([0, 1, 2, 2]), torch.tensor([[2, 1], [0, -1], [-1, -1], [1, 1]])
    check("{a: {kind: sparse, vocab: 3, dim: 2}, h: {kind: sequence, table: a, pool: sum, length: 2}}",
          {"a": ids, "h": others}, lambda w: torch.cat([w["inputs.a.weight"][ids],
          functional.pad(w["inputs.a.weight"], (0, 0, 0, 1))[others].sum(1)], dim=1), optimize=optimize)  # fmt: skip


@BOTH
def test_a_table_serves_others_though_nobody_reads_its_own_input(*, optimize: bool) -> None:
    """The owner's column may be missing from the batch if only the input that shares its table is read."""
    ids = torch.tensor([1, 0, 1])
    check("{a: {kind: sparse, vocab: 2, dim: 3}, c: {kind: sparse, table: a}}", {"c": ids},
          lambda w: w["inputs.a.weight"][ids], optimize=optimize, source="c")  # fmt: skip


@BOTH
def test_one_column_may_feed_several_tables(*, optimize: bool) -> None:
    """`column` names the column of the batch, as for STEM's table per task."""
    ids = torch.tensor([1, 0, 1])
    table = "{kind: sparse, vocab: 2, dim: 3, column: user id}"
    check(f"{{a: {table}, c: {table}}}",
          {"user id": ids}, lambda w: torch.cat([w["inputs.a.weight"][ids], w["inputs.c.weight"][ids]], dim=1),
          optimize=optimize)  # fmt: skip


@BOTH
@pytest.mark.parametrize("pool", ["mean", "sum", "max"])
def test_pools_leave_padding_out(*, pool: str, optimize: bool) -> None:
    """-1 is padding at any position; an empty row gives zeros and no gradient."""
    ids = torch.tensor([[0, 3, 3], [2, -1, -1], [-1, -1, -1], [-1, 1, -1]])

    def pooled(weights: dict[str, Tensor]) -> Tensor:
        table, rows = weights["inputs.h.weight"], []
        for row in ids.tolist():
            found = table[[index for index in row if index >= 0]]
            reduced: dict[str, Callable[[int], Tensor]]
            reduced = {"mean": found.mean, "sum": found.sum, "max": found.amax}
            rows.append(reduced[pool](0) if len(found) else table.new_zeros(2))
        return torch.stack(rows)

    check(f"{{h: {{kind: sequence, vocab: 4, dim: 2, pool: {pool}}}}}", {"h": ids}, pooled, optimize=optimize)


@BOTH
@pytest.mark.parametrize("length", [0, 1, 9])
@pytest.mark.parametrize("pool", ["mean", "sum", "max", "last"])
def test_a_sequence_without_a_length_takes_any(*, pool: str, length: int, optimize: bool) -> None:
    """Without `length`, lists of any length are accepted; every pool treats lists of length 0 as empty."""
    text = ONE_TASK + f"inputs: {{h: {{kind: sequence, vocab: 4, dim: 2, pool: {pool}}}}}\ntowers: {{y: {{}}}}\n"
    model = model_of(text, optimize=optimize)
    output = model({"h": torch.zeros(3, length, dtype=torch.int64)})["y"]
    assert output.shape == (3,)
    assert output.isfinite().all()
    if not length:
        weights = dict(model.named_weights())
        assert output.equal(weights["towers.y.head.bias"].expand(3))


@BOTH
@pytest.mark.parametrize("more", ["", ", length: 2", ", length: 2, pool: none"])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"w": torch.ones(2, 3)}, r"input `h.*column `w` has "),
        ({"w": torch.tensor([[1.0, 2.0], [float("nan"), 1.0]])}, "input `h`: column `w` holds NaN .* in row 1"),
        ({"w": torch.tensor([[float("inf"), 2.0], [3.0, 1.0]])}, "input `h`: column `w` holds NaN .* in row 0"),
        ({"w": torch.ones(2)}, "input `h.weights`: column `w` has shape"),
        ({"w": torch.ones(2, 2, dtype=torch.int64)}, "column `w` holds torch.int64"),
    ],
)
def test_weights_that_do_not_fit(changes: dict[str, Tensor], said: str, more: str, *, optimize: bool) -> None:
    """A wrong width, NaN and infinity are reported with the input and the row; values beside padding do not count."""
    read = "h" if "none" not in more else "p"
    text = (
        ONE_TASK
        + f"""
inputs: {{h: {{kind: sequence, vocab: 4, dim: 2, weights: w{more}}}, a: {{kind: sparse, vocab: 3, dim: 2}}}}
towers: {{y: {{from: [a, {read}]}}}}
"""
        + ("blocks: {p: {kind: pool, from: h}}\n" if read == "p" else "")
    )
    model = model_of(text, optimize=optimize)
    batch = {"h": torch.tensor([[0, 3], [2, -1]]), "w": torch.ones(2, 2).double(), "a": torch.tensor([0, 1])}
    padded = torch.tensor([[1.0, 2.0], [3.0, float("nan")]])
    assert model(batch | {"w": padded.double()})["y"].isfinite().all()
    with pytest.raises(ValueError, match=said):
        model(batch | {name: w.double() if w.is_floating_point() else w for name, w in changes.items()})


@BOTH
def test_a_domain_with_a_width_is_an_embedding(*, optimize: bool) -> None:
    """With `dim` each value of a domain has a vector; without it a domain only switches."""
    ids = torch.tensor([1, 0, 1])
    check(
        "{d: {kind: domain, values: [p, q], dim: 3}}",
        {"d": ids},
        lambda w: w["inputs.d.weight"][ids],
        optimize=optimize,
    )


@BOTH
def test_a_domain_whose_embedding_nobody_reads_has_none(*, optimize: bool) -> None:
    """A domain with `dim` that only switches creates no table, because no gradient would reach it."""
    text = ONE_TASK + "inputs: {x: {kind: dense, dim: 2}, d: {kind: domain, values: [p, q], dim: 3}}\n"
    text += "towers: {y: {switch: d, cases: {$domain: {from: x}}}}\n"
    assert [name for name, _ in model_of(text, optimize=optimize).named_weights() if name.startswith("inputs.")] == []


IDS = torch.tensor([[0, 3, 3], [2, -1, -1], [-1, -1, -1], [-1, 1, -1], [1, 2, 3]])
"""Full lists, an empty one, padding before and behind."""


@BOTH
def test_the_last_id_is_the_last_that_is_no_padding(*, optimize: bool) -> None:
    """`pool: last` takes the last id that is not padding; a row of padding alone gives zeros."""

    def last(weights: dict[str, Tensor]) -> Tensor:
        table = functional.pad(weights["inputs.h.weight"], (0, 0, 0, 1))
        return table[[3, 2, -1, 1, 3]]

    check("{h: {kind: sequence, vocab: 4, dim: 2, pool: last}}", {"h": IDS}, last, optimize=optimize)


@BOTH
@pytest.mark.parametrize("length", ["", ", length: 3"])
@pytest.mark.parametrize("pool", ["mean", "sum"])
def test_weights_weigh_the_rows(*, pool: str, length: str, optimize: bool) -> None:
    """Weighted sum or mean; the mean divides by the sum of the weights of real ids and is zero if that sum is zero."""
    numbers = torch.tensor([[1, 0.5, 2], [3, 7, 7], [1, 1, 1], [9, 0, 9], [2, -3, 1]], dtype=torch.float64)

    def pooled(weights: dict[str, Tensor]) -> Tensor:
        table, rows = weights["inputs.h.weight"], []
        for ids, factors in zip(IDS.tolist(), numbers, strict=True):
            terms = [f * table[i] for i, f in zip(ids, factors, strict=True) if i >= 0]
            total = sum((f for i, f in zip(ids, factors, strict=True) if i >= 0), torch.zeros(()))
            row = sum(terms, torch.zeros(2, dtype=torch.float64))
            rows.append(row if pool == "sum" else row / total if total != 0 else torch.zeros_like(row))
        return torch.stack(rows)

    check(f"{{h: {{kind: sequence, vocab: 4, dim: 2, pool: {pool}, weights: n{length}}}}}", {"h": IDS, "n": numbers},
          pooled, optimize=optimize)  # fmt: skip


@BOTH
def test_weights_have_gradients_without_nan(*, optimize: bool) -> None:
    """Gradients of weights and tables are finite if weights sum to zero, are zero, or are NaN beside padding."""
    text = ONE_TASK + "inputs: {h: {kind: sequence, vocab: 4, dim: 2, weights: n}}\ntowers: {y: {}}\n"
    numbers = torch.tensor(
        [[1, -0.5, -0.5], [0, torch.nan, torch.nan], [torch.nan] * 3, [torch.nan, 1, torch.nan], [0, 0, 0]],
        dtype=torch.float64, requires_grad=True,
    )  # fmt: skip
    model = model_of(text, optimize=optimize)
    outputs = model({"h": IDS, "n": numbers})
    assert outputs["y"].isfinite().all()
    assert all(gradient.isfinite().all() for gradient in gradients(model, total(outputs)).values())
    assert numbers.grad is not None
    assert numbers.grad.isfinite().all()
    assert not numbers.grad[2].any()


@BOTH
def test_weights_of_one_are_no_weights(*, optimize: bool) -> None:
    """With weight 1 for every id, a weighted mean equals the mean, bit for bit."""
    text = ONE_TASK + "inputs: {h: {kind: sequence, vocab: 4, dim: 2%s}}\ntowers: {y: {}}\n"
    weighted, plain = (model_of(text % more, optimize=optimize) for more in (", weights: n", ""))
    found = weighted({"h": IDS, "n": torch.ones(5, 3, dtype=torch.float64)})
    assert_agree(found, plain({"h": IDS}), 0.0)


def test_weights_beside_ids_of_another_length_are_refused() -> None:
    """The message has both lengths, whether the input has a `length` or not."""
    said = "input `h`: column `n` has 2 weights a row, column `h` 3 ids"
    for length in (", length: 3", ""):
        text = (
            ONE_TASK + f"inputs: {{h: {{kind: sequence, vocab: 4, dim: 2, weights: n{length}}}}}\ntowers: {{y: {{}}}}\n"
        )
        model = model_of(text, optimize=True)
        with pytest.raises(ValueError, match=said):
            model({"h": IDS, "n": torch.ones(5, 2, dtype=torch.float64)})


def test_weighted_lists_of_one_table_are_pooled_at_once() -> None:
    """Two weighted histories on one frozen table are pooled as one stack of ids and one of weights."""
    text = (
        ONE_TASK
        + """
inputs:
  item: {kind: sparse, vocab: 4, dim: 2, trainable: false}
  h: {kind: sequence, table: item, length: 3, weights: n}
  k: {kind: sequence, table: item, length: 3, weights: m}
towers: {y: {}}
"""
    )
    program = build(graph_of(archspec.load(text))).lowered.forward
    assert [len(op.inputs) for op in program.ops if op.kind == "pool"] == [2]
    batch = {"item": IDS[:, 0].clamp_min(0), "h": IDS, "k": IDS.flip(0)}
    batch |= {key: torch.rand(5, 3, dtype=torch.float64) for key in ("n", "m")}
    plain, fast = (run(model_of(text, optimize=optimize), batch) for optimize in (False, True))
    for one, other in zip(plain, fast, strict=True):
        assert_agree(other, one, 1e-10)


FROZEN = (
    ONE_TASK
    + """
inputs:
  a: {kind: sparse, vocab: 3, dim: 2, trainable: false}
  b: {kind: sparse, vocab: 3, dim: 2}
  c: {kind: sparse, vocab: 4, dim: 2, trainable: false}
  h: {kind: sequence, vocab: 4, dim: 2, trainable: false}
  k: {kind: sequence, table: h}
towers: {y: {}}
"""
)


@BOTH
def test_frozen_tables_get_no_gradient_and_are_in_checkpoints(*, optimize: bool) -> None:
    """With `trainable: false` values are used and saved but belong to no parameter group; lookups still fuse."""
    model, trained = (model_of(text, optimize=optimize) for text in (FROZEN, FROZEN.replace(", trainable: false", "")))
    batch = {"a": torch.tensor([0, 1, 2, 2]), "b": torch.tensor([0, 1, 2, 2]), "c": torch.tensor([3, 1, 3, 2]),
             "h": IDS[:4], "k": IDS[1:]}  # fmt: skip
    trained.load_weights(dict(model.named_weights()))
    assert_agree(model(batch), trained(batch), 1e-12)
    found, full = gradients(model, total(model(batch))), gradients(trained, total(trained(batch)))
    frozen = {"inputs.a.weight", "inputs.c.weight", "inputs.h.weight"}
    assert not any(found[name].any() for name in frozen)
    assert_agree({name: g for name, g in found.items() if name not in frozen}, {
        name: g for name, g in full.items() if name not in frozen
    }, 1e-12)  # fmt: skip
    grouped = {name for group in archspec.parameter_groups(model) for name in group["weights"]}
    assert grouped == set(full) - frozen
    assert sum(value.numel() for value in model.state_dict().values()) == sum(v.numel() for v in full.values())
    assert sum(p.numel() for p in model.parameters()) == count(graph_of(archspec.load(FROZEN))).total.parameters
    if optimize:
        assert sorted(op.kind for op in build(graph_of(archspec.load(FROZEN))).lowered.forward.ops if op.weights) == [
            "embed", "linear", "lookup_tables", "pool", "pool"
        ]  # fmt: skip


def test_a_step_of_an_optimizer_leaves_a_frozen_table_alone() -> None:
    """Adam with weight decay over `parameters()`, the usual call, leaves the table unchanged bit for bit."""
    model = archspec.compile(FROZEN, seed=0)
    before = {name: view.clone() for name, view in model.named_weights()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    ids = torch.tensor([0, 1])
    torch.autograd.backward(total(model({"a": ids, "b": ids, "c": ids, "h": IDS[:2], "k": IDS[:2]})))
    optimizer.step()
    same = {name for name, view in model.named_weights() if view.equal(before[name])}
    assert same == {"inputs.a.weight", "inputs.c.weight", "inputs.h.weight"}


@pytest.mark.parametrize(
    ("inputs", "said", "repaired"),
    [
        ("a: {kind: sparse, vocab: 3, dim: 2, trainable: false, sparse_grad: true}", "not both",
         "a: {kind: sparse, vocab: 3, dim: 2, trainable: false}"),
        ("b: {kind: sparse, vocab: 3, dim: 2}, a: {kind: sequence, table: b, trainable: false}",
         "`trainable` belongs to the input whose table is shared", "a: {kind: sparse, vocab: 3, dim: 2}"),
        ("a: {kind: sequence, vocab: 3, dim: 2, pool: max, weights: n}", "`weights` have no effect with `pool: max`",
         "a: {kind: sequence, vocab: 3, dim: 2, pool: mean, weights: n}"),
        ("a: {kind: sequence, vocab: 3, dim: 2, pool: last, weights: n}", "`weights` have no effect with `pool: last`",
         "a: {kind: sequence, vocab: 3, dim: 2, pool: last}"),
        ("a: {kind: sequence, vocab: 3, dim: 2, weights: a}", "reads the column `a` as numbers",
         "a: {kind: sequence, vocab: 3, dim: 2, weights: b}"),
        ("a: {kind: sequence, vocab: 3, dim: 2, length: 4, weights: x}, x: {kind: dense, dim: 3}",
         r"reads the column `x` as numbers \[B, 3\]", "a: {kind: sequence, vocab: 3, dim: 2, weights: w}"),
    ],
)  # fmt: skip
def test_settings_that_contradict_each_other_are_refused(inputs: str, said: str, repaired: str) -> None:
    """Each contradiction raises one diagnostic, and following its help makes the spec valid."""
    text = ONE_TASK + "inputs: {%s}\ntowers: {y: {from: a}}\n"
    with pytest.raises(archspec.SpecError, match=said) as raised:
        archspec.load(text % inputs)
    assert len(raised.value.diagnostics) == 1
    assert archspec.load(text % repaired).tasks


def test_new_settings_leave_digests_alone() -> None:
    """`trainable: true`, the default, is not part of the canonical spec."""
    text = ONE_TASK + "inputs: {a: {kind: sparse, vocab: 3, dim: 2%s}}\ntowers: {y: {}}\n"
    assert archspec.load(text % ", trainable: true").digest == archspec.load(text % "").digest


@pytest.mark.parametrize(
    "settings", [{"pool": "last"}, {"weights": "n"}, {"weights": "n", "length": 2, "pool": "sum"}, {"trainable": False}]
)
def test_the_contract_holds_for_sequences(settings: dict[str, object]) -> None:
    """Empty batches work, `torch.compile` needs one graph, and all gradients are correct."""
    check_kind("sequence", settings={"vocab": 5, "dim": 2, **settings})


LOOKUPS = """
inputs:
  a: {{kind: sparse, vocab: 9, dim: 3{0}}}
  b: {{kind: sparse, table: a, column: a2}}
  c: {{kind: sparse, vocab: 7, dim: 3{0}}}
  mean: {{kind: sequence, table: c}}
  sum: {{kind: sequence, vocab: 5, dim: 2, pool: sum{0}}}
  max: {{kind: sequence, vocab: 6, dim: 2, pool: max{0}}}
  last: {{kind: sequence, table: a, pool: last}}
  weighed: {{kind: sequence, vocab: 8, dim: 3, weights: v{0}}}
  tokens: {{kind: sequence, vocab: 9, dim: 2, pool: none, length: 4{0}}}
  parts: {{kind: sequence, table: tokens, pool: none, length: 4, weights: w}}
blocks: {{pooled: {{kind: pool, from: tokens}}, further: {{kind: pool, from: parts}}}}
towers:
  y: {{from: [a, b, c, mean, sum, max, last, weighed, pooled, further]}}
"""
"""Every way to look up rows: own and shared tables, and all pools."""


@BOTH
def test_sparse_gradients_are_the_dense_ones(*, optimize: bool) -> None:
    """In float64, every way to look up rows has the same gradient, and no sparse table gets a dense one."""
    found = []
    for setting in ("", ", sparse_grad: true"):
        text = ONE_TASK + LOOKUPS.format(setting)
        model = model_of(text, optimize=optimize)
        torch.autograd.backward(total(model(batch_of(text, 16))))
        large = [parameter for name, parameter in model.named_parameters() if not name.startswith("towers")]
        assert any(parameter.grad is not None and parameter.grad.is_sparse for parameter in large) == bool(setting)
        found.append(weight_gradients(model))
    assert found[0].keys() == found[1].keys()
    assert sum(name.startswith("inputs") for name in found[0]) == 6
    for name, gradient in found[0].items():
        assert gradient.any(), name
        torch.testing.assert_close(found[1][name], gradient, rtol=0, atol=1e-10, msg=name)


@BOTH
@pytest.mark.parametrize("sparse", ["", ", sparse_grad: true"])
def test_l2_adds_the_squares_of_the_rows_that_are_looked_up(*, sparse: str, optimize: bool) -> None:
    """l2 / B * sum ||e||^2: each id counts, padding, pools and weights do not."""
    text = (
        ONE_TASK
        + f"""
inputs:
  a: {{kind: sparse, vocab: 5, dim: 3, l2: 0.5{sparse}}}
  b: {{kind: sequence, table: a, length: 4, pool: max, l2: 0.25}}
  c: {{kind: sequence, table: a, length: 4, weights: w, l2: 2.0}}
  d: {{kind: sequence, table: a, length: 4, pool: none, l2: 1.0}}
  other: {{kind: sparse, vocab: 5, dim: 3}}
blocks: {{pooled: {{kind: pool, from: d}}}}
towers: {{y: {{from: [a, b, c, blocks.pooled, other]}}}}
"""
    )
    model = model_of(text, optimize=optimize)
    ids = {"a": torch.tensor([0, 4, 4])}
    lists = {name: torch.tensor([[1, 1, 2, -1], [-1, -1, -1, -1], [3, -1, 0, 0]]) for name in ("b", "c", "d")}
    batch = {**ids, **lists, "other": torch.tensor([1, 2, 3]), "w": torch.full((3, 4), 7.0, dtype=torch.float64)}
    table = dict(model.named_weights())["inputs.a.weight"].clone().requires_grad_()
    found = (1, 1, 2, 3, 0, 0)
    right = {"inputs.a": 0.5 / 3 * table[ids["a"]].square().sum()}
    right |= {f"inputs.{name}": rate / 3 * table[list(found)].square().sum()
              for name, rate in {"b": 0.25, "c": 2.0, "d": 1.0}.items()}  # fmt: skip
    model.train()(batch)
    assert_agree(model.auxiliary_losses, right, 1e-12)
    (wanted,) = torch.autograd.grad(total(right), table)
    got = gradients(model, total(model.auxiliary_losses))["inputs.a.weight"]
    torch.testing.assert_close(got.to_dense() if got.is_sparse else got, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("inputs", [
    "{x: {kind: sparse, vocab: 5, dim: 3, trainable: false, l2: 0.1}}",
    "{x: {kind: sparse, vocab: 5, dim: 3, trainable: false}, b: {kind: sequence, table: x, l2: 0.1}}",
])  # fmt: skip
def test_l2_on_a_frozen_table_is_refused(inputs: str) -> None:
    """A table that is not trained cannot decay, also if another input owns it; the message points to `l2`."""
    with pytest.raises(archspec.SpecError, match="`l2` has no effect on a frozen table"):
        archspec.load(ONE_TASK + f"inputs: {inputs}\ntowers: {{y: {{from: inputs}}}}\n")
