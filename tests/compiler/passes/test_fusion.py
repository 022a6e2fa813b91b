"""Fusion: wide products, operations side by side, and gates mixed in one product."""

from __future__ import annotations

from collections import Counter

import pytest
from torch import nn

import archspec
from archspec.compiler.compile import build
from archspec.compiler.passes import EXACT_PASSES
from archspec.compiler.passes.example import example
from archspec.compiler.passes.side_by_side import side_by_side
from archspec.compiler.passes.wide_products import wide_products
from archspec.graph.load import graph_of
from archspec.program import verify
from tests.compiler.passes.programs import HEAD, PLE, after, assert_same, plain


def kinds(text: str) -> Counter[str]:
    """The number of operations per kind in a spec's optimized program, whose outputs equal those of the plain one."""
    before = plain(text)
    optimized, _ = after(before, *EXACT_PASSES)
    assert_same(before, optimized)
    return Counter(op.kind for op in optimized.lowered.forward.ops)


def test_first_layers_are_one_product_and_gates_another() -> None:
    """Seven experts and three gates read the inputs: experts become one product, activated at once, gates another."""
    optimized, result = after(plain(PLE), wide_products)
    assert result.rewrites[:2] == tuple(f"one product of {n} on level1.experts.one.0.concat" for n in (7, 3))
    experts, gates = (op for op in optimized.lowered.forward.ops if op.kind == "linear" and "level1" in op.node and
                      "wide" in op.output.name)  # fmt: skip
    assert experts.output.shape == ("B", 7 * 6)
    assert (gates.output.shape, len(gates.weights)) == (("B", 5 + 5 + 7), 1)


def test_a_fresh_product_is_activated_in_place() -> None:
    """The emitted file overwrites a product with its relu only if nothing else reads the product."""
    optimized, _ = after(plain(PLE), *EXACT_PASSES)
    assert "F.relu_(linear(" in optimized.source
    twice = after(plain(HEAD + "towers: {one: {from: x, units: [3]}, two: {from: [towers.one, x], units: [3]}}"))[0]
    assert "F.relu_(linear(x," in twice.source


def test_detached_experts_keep_their_zero_gradient() -> None:
    """Detached experts are stacked with the others, and their gradients are still zero."""
    found = kinds(PLE.replace("sees: [$task, shared]}", "sees: [$task, {detach: shared}]}"))
    assert found["linear"] <= 10


def test_a_level_of_ple_is_a_handful_of_operations() -> None:
    """Two levels of seven experts and three gates need nine products with the towers', and three mixes."""
    found = kinds(PLE)
    assert found["mix"] == 0
    assert (found["mix_seen"], found["mix_all"]) == (2, 1)
    assert found["linear"] == 9


def test_what_stands_side_by_side_is_not_put_together_again() -> None:
    """Neighbouring inputs from one lookup are not concatenated again: four inputs make three operands."""
    optimized, _ = after(plain(PLE), *EXACT_PASSES)
    (concat,) = (op for op in optimized.lowered.forward.ops if op.kind == "concat")
    assert [value.shape for value in concat.inputs] == [("B", 5), ("B", 6), ("B", 2)]


def test_two_pairs_of_neighbours_keep_their_places() -> None:
    """Two tables of different widths, two neighbouring columns of each, and an input between: three operands."""
    text = (
        HEAD.replace("tasks:", "  d: {kind: sparse, vocab: 5, dim: 2}\ntasks:")
        + "towers: {$task: {from: [a, b, x, c, d]}}\n"
    )
    before = plain(text)
    optimized, _ = after(before, *EXACT_PASSES)
    (concat,) = (op for op in optimized.lowered.forward.ops if op.kind == "concat")
    assert [value.shape for value in concat.inputs] == [("B", 6), ("B", 5), ("B", 4)]
    assert_same(before, optimized)


def test_what_runs_side_by_side_has_names_that_a_person_would_give() -> None:
    """The emitted file names stacks after their contents: experts, weights, streams and hidden layers."""
    source = after(plain(PLE), *EXACT_PASSES)[0].source
    for line in (
        "weights = softmax(h)",
        "experts = F.relu_(linear_stack(h, ",
        "own_experts, shared_experts = experts.split([4, 3])",
        "streams = mix_seen(",
        "hidden = F.relu_(linear_stack(streams, ",
    ):
        assert line in source


def level(experts: str, sees: str) -> str:
    """One level of experts between the inputs and two towers."""
    return f"""{HEAD}
levels:
  - experts: {{{experts}}}
    gates: {{$task: {{sees: {sees}}}}}
towers: {{$task: {{units: [3]}}}}
"""


@pytest.mark.parametrize(
    ("own", "shared", "sees", "found"),
    [
        (2, 4, "[$task, shared]", (0, 1, 0)),
        (2, 5, "[$task, shared]", (1, 1, 1)),
        (2, 5, "[shared, $task]", (1, 1, 1)),
        (1, 6, "[$task, shared]", (1, 1, 1)),
        (4, 5, "[$task, shared]", (1, 1, 1)),
        (5, 5, "[$task, shared]", (3, 0, 1)),
        (0, 6, "all", (1, 0, 0)),
        (0, 2, "all", (1, 0, 0)),
    ],
)
def test_own_experts_beside_many_shared_ones(own: int, shared: int, sees: str, found: tuple[int, int, int]) -> None:
    """Five or more shared experts are a separate product, which is added to the mix of each gate's own experts.

    If each gate has more than four of its own, the gates are mixed one by one.
    """
    experts = f"$task: {{count: {own}, units: [4]}}, " * (own > 0) + f"shared: {{count: {shared}, units: [4]}}"
    made = kinds(level(experts, sees))
    assert (made["mix_all"], made["mix_seen"], made["sum"]) == found


def test_two_runs_of_shared_experts_around_own_ones() -> None:
    """Runs of many shared experts before and after each gate's own become two products; one sum adds all three."""
    groups = ", ".join(f"{name}: {{count: {n}, units: [4]}}" for name, n in (("low", 5), ("$task", 1), ("top", 6)))
    made = kinds(level(groups, "[low, $task, top]"))
    assert (made["mix_all"], made["mix_seen"], made["sum"]) == (2, 1, 1)
    few = kinds(level(groups.replace("count: 6", "count: 2"), "[low, $task, top]"))
    assert (few["mix_all"], few["mix_seen"], few["sum"]) == (1, 1, 1)


def test_gates_that_see_experts_in_no_order_are_left_alone_and_named() -> None:
    """A gate that sees five experts in reverse order is mixed separately, and a remark names it; two runs are fused."""
    names = ("a1", "a2", "a3", "a4", "a5")
    text = (
        HEAD
        + f"""
levels:
  - experts: {{{", ".join(f"{name}: {{units: [4]}}" for name in names)}}}
    gates:
      one: {{sees: [{", ".join(reversed(names))}]}}
      two: {{sees: [a4, a5, a1, a2]}}
towers: {{$task: {{}}}}
"""
    )
    before = plain(text)
    optimized, result = after(before, *EXACT_PASSES[:4], side_by_side)
    assert [remark for remark in result.remarks if "gates" in remark] == [
        "level1.gates.one.mix: it sees experts in no regular order"
    ]
    assert_same(before, optimized)


def test_unequal_widths_fuse_where_they_agree() -> None:
    """Experts of different depth and width share their equal layers: outputs stay, with fewer operations."""
    text = (
        HEAD
        + """
levels:
  - experts:
      one: {count: 2, units: [8, 4]}
      two: {count: 2, units: [6, 4]}
      shared: {count: 2, units: [5, 6, 4], norm: layer, activation: silu}
    gates:
      $task: {sees: [$task, shared], units: [3], temperature: 2.0}
towers: {$task: {units: [3], norm: batch}}
"""
    )
    assert kinds(text)["linear"] <= 10


def test_norms_modulation_and_dropoutless_towers_fuse() -> None:
    """Batch norms side by side become one batch norm that keeps the statistics of each."""
    text = PLE.replace("units: [3]}", "units: [3, 3], norm: batch, modulate: {at: hidden}}")
    assert kinds(text)["batch_norm"] == 2


@pytest.mark.parametrize(
    ("norm", "parts"),
    [
        ("none", ["layers.0", "layers.1"]),
        ("layer", ["layers.0", "layers.1", "norms.0", "norms.1"]),
        ("batch", ["layers.0"]),  # norms update statistics in turn, so the layers above them are at different depths
    ],
)
def test_weights_that_two_experts_share_are_not_stacked(norm: str, parts: list[str]) -> None:
    """Layers and norms shared through `like` are not stacked, and remarks name them: a weight has only one place."""
    settings = f"units: [6, 4], norm: {norm}"
    text = level(f"one: {{from: a, {settings}}}, two: {{from: b, like: one}}", "all")
    before = plain(text)
    optimized, result = after(before, side_by_side)
    alone = [
        remark.partition(":")[0]
        for remark in result.remarks
        if remark.endswith("other operations use its weights, too")
    ]
    assert sorted(alone) == [f"level1.experts.one.0.{part}" for part in parts]
    assert_same(before, optimized)


def test_numbers_of_static_gates_are_not_stacked() -> None:
    """Softmaxes of static gates are the same for every row and have no columns to stack; what they mix is stacked."""
    text = PLE.replace("sees: [$task, shared]}", "sees: [$task, shared], selector: none}").replace(
        "repeat: 2", "repeat: 1"
    )
    found = kinds(text)
    assert found["softmax"] == 2


def test_numbers_of_fusions_are_not_stacked() -> None:
    """Activations and sums of logits `[B]` have no columns to stack, so each fusion computes its own."""
    tasks = "two: {}, three: {kind: regression}, four: {kind: regression}"
    text = (
        HEAD.replace("two: {}", tasks)
        + """
towers: {one: {from: x}, two: {from: a}}
fusion: {three: {kind: sum, of: [one, two]}, four: {kind: sum, of: [two, one]}}
"""
    )
    found = kinds(text)
    assert (found["activation"], found["sum"]) == (2, 2)


def test_sums_of_the_very_same_values_are_not_stacked() -> None:
    """Sums with the same operands are not concatenated; without common subexpressions both sums remain."""
    program = example("a = relu(x)", "b = a + x", "c = a + x", "d = mix(b, c, c, c, c)", output="d")
    result = side_by_side(program)
    assert [op.output.name for op in verify(result.program).ops if op.kind == "sum"] == ["b", "c"]


def with_sequences(table: str, length: str) -> str:
    """The PLE with two sequences: one of table `a`, and one of the given table, which may be `d` of the same shape."""
    inputs = f"""
  d: {{kind: sparse, vocab: 7, dim: 3}}
  p: {{kind: sequence, table: a{length}}}
  q: {{kind: sequence, table: {table}{length}}}
tasks:"""
    return PLE.replace("\ntasks:", inputs)


def test_sequences_of_one_table_are_pooled_at_once() -> None:
    """Two sequences of one table and one length are stacked and pooled once; the table gets one gradient."""
    text = with_sequences("a", ", length: 3")
    assert kinds(text)["pool"] == 1
    (pool,) = (op for op in after(plain(text), *EXACT_PASSES)[0].lowered.forward.ops if op.kind == "pool")
    assert (pool.inputs[0].shape, pool.output.shape) == ((2, "B", 3), (2, "B", 3))


def test_sequences_that_cannot_be_stacked_are_pooled_one_by_one_and_named() -> None:
    """Sequences without a length or of different tables are pooled separately, and a remark says so."""
    for text in (with_sequences("d", ", length: 3"), with_sequences("a", "")):
        optimized, result = after(plain(text), *EXACT_PASSES[:-1])
        assert "inputs.p.pool: its sequences have different tables, or no fixed length" in result.remarks
        assert_same(plain(text), optimized)


@archspec.expert("opaque")
class Opaque(archspec.ExpertKind):
    """An expert that builds a torch module."""

    def width(self, input: int) -> int:
        """Four."""
        return 4

    def build(self, input: int) -> nn.Module:
        """A linear layer."""
        return nn.Linear(input, 4)


def test_opaque_modules_run_one_by_one_and_are_named() -> None:
    """Copies of a plugin's module remain separate calls, and a remark gives their number and the reason."""
    text = (
        HEAD
        + """
levels:
  - experts: {shared: {kind: opaque, count: 3}}
    gates: {$task: {sees: all}}
towers: {$task: {}}
"""
    )
    built = build(graph_of(archspec.load(text, plugins=[Opaque])))
    assert "3 modules of `Opaque` run one by one, since `build` is opaque" in built.remarks
    assert sum(op.kind == "call" for op in built.lowered.forward.ops) == 3
