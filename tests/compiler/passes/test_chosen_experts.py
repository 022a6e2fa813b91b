"""Experts that few rows choose: the pass rewrites or refuses where it should, and results stay the same."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest
import torch

import archspec
from archspec.compiler.compile import instantiate
from archspec.compiler.passes.chosen_experts import chosen_experts
from archspec.program import verify
from tests.compiler.passes.programs import HEAD, after, plain

if TYPE_CHECKING:
    from archspec.nn.module import Compiled


def spec(experts: str = "{count: 8, units: [6, 4]}", gate: str = "kind: topk, k: 2", more: str = "") -> str:
    """Two tasks whose gates choose among experts."""
    return f"""{HEAD}
levels:
  - experts:
      pool: {experts}
{more}
    gates:
      $task: {{sees: all, {gate}}}
towers:
  $task: {{units: [3]}}
"""


def test_it_fires() -> None:
    """Both gates mix in one operation, and no layer of an expert remains outside it."""
    built, result = after(plain(spec()), chosen_experts)
    kinds = [op.kind for op in built.lowered.forward.ops]
    assert kinds.count("mix_chosen") == len(result.rewrites) == 1
    assert "mix" not in kinds
    assert not any(op.kind == "linear" and ".experts." in op.node for op in built.lowered.forward.ops)


SEPARATE = "its experts have different shapes, or are stored separately"
MORE = "its experts contain more than linear layers and activations"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (spec(gate="kind: topk, k: 3"), "6 of 8 experts are chosen, so running all of them is as fast"),
        (spec(more="      other: {from: x, count: 2, units: [6, 4]}"), "its experts read different inputs"),
        (spec(more="      other: {count: 2, units: [5, 4]}"), SEPARATE),
        (spec("{count: 8, units: [6, 4], dropout: 0.1}"), MORE),
        (spec("{count: 8, units: [6, 4], norm: batch}"), MORE),
        (spec("{count: 8, units: [6, 4], activation: leaky_relu, slope: 0.2}"), MORE),
        (spec().replace("$task: {units", "one: {from: level1.experts.pool}\n  two: {units"),
         "other operations read its experts, too"),
    ],
)  # fmt: skip
def test_it_refuses_and_says_why(text: str, reason: str) -> None:
    """If the pass gains nothing or cannot be applied, all experts are computed, and a remark gives the reason."""
    before = plain(text)
    built, result = after(before, chosen_experts)
    assert built.lowered.forward == before.lowered.forward
    assert result.remarks
    assert all(remark.endswith(reason) for remark in result.remarks)


def test_gates_that_wait_for_each_other_mix_one_by_one() -> None:
    """An expert between the two gates reads the first one's mix: there are two operations, and outputs are equal."""
    before = plain(f"""{HEAD}
levels:
  - experts:
      pool: {{count: 8, units: [6, 4]}}
      late: {{from: level1.gates.one, units: [4]}}
    gates:
      $task: {{sees: pool, kind: topk, k: 2}}
towers:
  $task: {{from: [$task, level1.experts.late]}}
""")
    built, result = after(before, chosen_experts)
    assert len(result.rewrites) == 2
    batch = {"x": torch.randn(9, 5), **{name: torch.randint(4, (9,)) for name in ("a", "b", "c")}}
    fast, slow = instantiate(built, seed=0)(batch), instantiate(before, seed=0)(batch)
    for name, logits in slow.items():
        torch.testing.assert_close(fast[name], logits, rtol=1e-5, atol=1e-6)


def test_a_gate_that_does_not_choose_is_left_alone() -> None:
    """Softmax gates weigh every expert, so the pass neither rewrites anything nor makes a remark."""
    _, result = after(plain(spec(gate="kind: softmax")), chosen_experts)
    assert (result.rewrites, result.remarks) == ((), ())


@pytest.mark.parametrize(
    ("rows", "units"), [(0, "[6, 4]"), (7, "[6, 4]"), (150, "[6, 4]"), (150, "[4], activation: gelu, bias: false")]
)
def test_outputs_and_gradients_are_equal(rows: int, units: str) -> None:
    """They agree to 1e-10 in float64, also for a batch without rows or with fewer rows than experts."""
    before = plain(spec(f"{{count: 8, units: {units}}}"))
    one = instantiate(before, seed=0).double()
    two = instantiate(after(before, chosen_experts)[0], seed=0).double()
    generator = torch.Generator().manual_seed(1)
    batch = {"x": torch.randn(rows, 5, generator=generator, dtype=torch.float64)}
    batch |= {name: torch.randint(4, (rows,), generator=generator) for name in ("a", "b", "c")}
    for model in (one, two):
        sum((logits.square().sum() for logits in model(batch).values()), torch.zeros(())).backward()
    with torch.no_grad():
        for name, logits in one(batch).items():
            torch.testing.assert_close(two(batch)[name], logits, rtol=1e-10, atol=1e-12)
    expected = gradients(one)
    for name, gradient in gradients(two).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-10, atol=1e-12, msg=name)


def gradients(model: Compiled) -> dict[str, torch.Tensor]:
    """Gradients by canonical name, read by putting each gradient in the place of its weight."""
    for parameter in model.parameters():
        assert parameter.grad is not None
        parameter.data = parameter.grad
    return {name: view.detach().clone() for name, view in model.named_weights()}


def test_an_expert_that_nobody_chose_has_zero_gradient() -> None:
    """The gradient is zero and not None, as with all experts computed, so optimizers and DDP see every parameter."""
    built, _ = after(plain(spec()), chosen_experts)
    model = instantiate(built, seed=0)
    weights = dict(model.named_weights())
    with torch.no_grad():
        for task in ("one", "two"):
            weights[f"level1.gates.{task}.head.weight"].zero_()
            weights[f"level1.gates.{task}.head.weight"][:2] = 1e-3
    batch = {"x": torch.ones(100, 5), "a": torch.zeros(100, dtype=torch.int64)}
    torch.cat(list(model(batch | {"b": batch["a"], "c": batch["a"]}).values())).sum().backward()  # type: ignore[no-untyped-call] # torch
    found = gradients(model)
    assert all(not found[f"level1.experts.pool.{i}.layers.0.weight"].any() for i in range(4, 8))


def test_one_graph_for_torch_compile() -> None:
    """Which rows choose an expert depends on data, so a compiled graph runs all experts, with the same outputs."""
    built, _ = after(plain(spec()), chosen_experts)
    model = instantiate(built, seed=0)
    batch = {"x": torch.randn(100, 5), **{name: torch.randint(4, (100,)) for name in ("a", "b", "c")}}
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    for name, logits in compiled(batch).items():
        torch.testing.assert_close(logits, model(batch)[name], rtol=1e-5, atol=1e-6)


def test_the_program_stays_legal_and_a_second_run_changes_nothing() -> None:
    """`verify` accepts the result, and a second run rewrites nothing."""
    built, _ = after(plain(spec()), chosen_experts)
    again = chosen_experts(verify(built.lowered.forward))
    assert (again.program, again.rewrites) == (built.lowered.forward, ())


def test_the_whole_compiler_keeps_it() -> None:
    """`archspec.compile` gives the same outputs with and without passes on a spec whose gates choose experts."""
    text = spec()
    plain_model, fast = (archspec.compile(text, optimize=optimize, seed=0) for optimize in (False, True))
    batch = {"x": torch.randn(100, 5), **{name: torch.randint(4, (100,)) for name in ("a", "b", "c")}}
    for name, logits in plain_model.eval()(batch).items():
        torch.testing.assert_close(fast.eval()(batch)[name], logits, rtol=1e-5, atol=1e-6)


def test_factors_of_chosen_experts_are_rounded() -> None:
    """`precision="bf16"` also rounds the products inside the fused operation, in eager mode and in a graph."""
    exact, rounded = (archspec.compile(spec(), seed=0, precision=precision) for precision in ("fp32", "bf16"))
    assert "bf16=True" in inspect.getsource(type(rounded))
    generator = torch.Generator().manual_seed(0)
    batch = {"x": torch.randn(64, 5, generator=generator)}
    batch |= {name: torch.randint(4, (64,), generator=generator) for name in "abc"}
    exact_logits, logits = exact(batch), rounded(batch)
    graph = torch.compile(rounded, fullgraph=True, backend="eager")
    for task, logit in logits.items():
        difference = (logit - exact_logits[task]).abs()
        assert difference.max() > 0
        assert difference.median() < 0.02  # single rows may differ more: rounding may change what a gate chooses
        assert (graph(batch)[task] - logit).abs().median() < 0.02
