"""`Scope.weights_of`: a kind reads the weights of another block, wherever the optimized module keeps them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pytest
import torch

import archspec
from tests.compiler.models import BOTH, assert_equal, weight_gradients
from tests.compiler.passes.programs import HEAD

if TYPE_CHECKING:
    from archspec.program import GateInputs, Scope, Value


@archspec.gate("watching")
class Watching(archspec.GateKind):
    """Adds `open_gates` of every weight of another block to the loss; mixes with weights of 1."""

    selects: ClassVar[Literal["stream", "domain", "none"]] = "none"
    block: str

    def lower(self, at: Scope, gate: GateInputs) -> Value:
        """Ones `[B, E]`."""
        for weight in at.weights_of(self.block).values():
            at.auxiliary_loss(at.apply("open_gates", weight, shape=(), beta=0.5, gamma=-0.1, zeta=1.1))
        return at.apply(
            "rows_like", at.constant([[1.0] * gate.seen.count]), gate.experts[0], shape=("B", gate.seen.count)
        )


EXPERTS = "$task: {count: 2, units: [6, 4], norm: layer}, shared: {count: 4, units: [6, 4]}, alone: {units: [4]}"
"""First layers are one product, second ones a stack that lies transposed."""


def text(block: str, others: str = "$task: {sees: [$task, shared, alone]}", experts: str = EXPERTS) -> str:
    """A spec in which a gate watches a block."""
    return f"""{HEAD}
levels:
  - experts: {{{experts}}}
    gates:
      {others}
      watch: {{sees: all, kind: watching, block: {block}}}
towers: {{one: {{units: [3]}}, two: {{}}, extra: {{from: watch}}}}
"""


def model_of(source: str, *, optimize: bool) -> Any:  # noqa: ANN401 - an emitted class
    """The module, float64, in training."""
    return archspec.compile(archspec.load(source, plugins=[Watching]), optimize=optimize, seed=0).double().train()


def batch(rows: int) -> dict[str, torch.Tensor]:
    """A batch for HEAD."""
    torch.manual_seed(0)
    ids = {name: torch.randint(4, (rows,)) for name in "abc"}
    return {"x": torch.randn(rows, 5, dtype=torch.float64), **ids}


CASES = {
    "one product, a transposed stack": (text("level1.experts.shared.2"), 4),
    "norms": (text("level1.experts.one.1"), 8),
    "a gate that is one product with others": (text("level1.gates.two"), 1),
    "a gate that is folded away": (
        text("level1.gates.one", "one: {sees: alone, units: [3]}\n      two: {sees: shared}"), 3
    ),
    "experts on the rows that chose them": (
        text("level1.experts.shared.2", "$task: {sees: shared, kind: topk, k: 1}"), 4
    ),
    "a table": (text("inputs.a"), 1),
    "all that is below a name": (text("level1.experts.shared"), 16),
    "nothing": (text("level9"), 0),
}  # fmt: skip


@BOTH
@pytest.mark.parametrize("case", CASES)
def test_value_and_gradient_are_those_of_the_weights(case: str, *, optimize: bool) -> None:
    """The added value, and its gradient for every weight of the model, are computed from the canonical weights."""
    source, count = CASES[case]
    block = source.partition("block: ")[2].partition("}")[0]
    model = model_of(source, optimize=optimize)
    model(batch(5))
    below = {
        name: value.clone().requires_grad_() for name, value in model.named_weights() if name.startswith(f"{block}.")
    }
    assert len(below) == count
    losses = getattr(model, "auxiliary_losses", {})
    assert set(losses) == ({"level1.gates.watch"} if count else set())
    if count:
        shift = 0.5 * math.log(0.1 / 1.1)
        wanted = sum(
            ((value - shift).sigmoid().sum() for value in below.values()), start=torch.zeros((), dtype=torch.float64)
        )
        assert_equal(losses["level1.gates.watch"], wanted)
        torch.autograd.backward(losses["level1.gates.watch"])
        torch.autograd.backward(wanted)
        zeros = {name: torch.zeros_like(value) for name, value in model.named_weights()}
        assert_equal(weight_gradients(model), zeros | {name: value.grad for name, value in below.items()})


def test_what_is_read_fuses_as_before() -> None:
    """Reading weights prevents no fusion: the optimized module has the same tensors with and without the reader."""
    sizes = []
    for block in ("level1.experts.shared.2", "level9"):
        model = model_of(text(block), optimize=True)
        sizes.append([tuple(parameter.shape) for parameter in model.parameters()])
    assert sizes[0] == sizes[1]
