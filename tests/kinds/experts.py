"""One level of experts of a kind under a gate and a tower, compiled and by hand, for the tests of expert kinds."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

import archspec
from archspec.compiler.compile import build
from archspec.compiler.count import count
from archspec.graph.load import graph_of
from tests.compiler.models import ONE_TASK, Tensors, assert_agree, batch_of, followed, model_of, run, total
from tests.plain.blocks import Gate, Level, Tower, mix

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WIDTH = 6
"""Of the input."""


def text_of(settings: str, *, count: int = 1) -> str:
    """A spec with `count` experts of these settings on `x`."""
    return (
        f"{ONE_TASK}inputs: {{x: {{kind: dense, dim: {WIDTH}}}}}\n"
        f"levels: [{{experts: {{e: {{count: {count}, {settings}}}}}, gates: {{y: {{sees: all}}}}}}]\n"
        "towers: {y: {}}\n"
    )


class Written(nn.Module):
    """The same by hand, from modules `[B, 6] -> [B, H]`; its state dict has the canonical names."""

    def __init__(self, experts: list[nn.Module], width: int) -> None:
        """Hold the experts, whose output has `width`."""
        super().__init__()
        self.level1 = Level({"e": experts}, {"y": Gate(WIDTH, len(experts))})
        self.towers = nn.ModuleDict({"y": Tower(width, ())})

    def forward(self, batch: Mapping[str, Tensor]) -> Tensors:
        """The logit, `[B]`."""
        x = batch["x"]
        return {"y": self.towers["y"](mix(self.level1.gates["y"](x), self.level1.run("e", x)))}


def assert_as_written(settings: str, made: Callable[[], nn.Module], width: int) -> None:
    """Four experts equal four written by hand in outputs and all gradients: plain to 1e-12, optimized to 1e-10."""
    text = text_of(settings, count=4)
    written = Written([made() for _ in range(4)], width).double()
    batch = batch_of(text, 9)
    for optimize, tolerance in ((False, 1e-12), (True, 1e-10)):
        model = model_of(text, optimize=optimize)
        written.load_state_dict(dict(model.named_weights()))
        outputs, weights, numbers = run(model, batch)
        inputs = followed(batch)
        expected = written(inputs)
        written.zero_grad()
        torch.autograd.backward(total(expected))
        assert_agree(outputs, {key: value.detach() for key, value in expected.items()}, tolerance)
        assert_agree(weights, {name: _gradient(weight) for name, weight in written.named_parameters()}, tolerance)
        assert_agree(numbers, {"x": _gradient(inputs["x"])}, tolerance)
        assert (
            sum(weight.numel() for weight in written.parameters())
            == count(graph_of(archspec.load(text))).total.parameters
        )


def _gradient(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad


def fused(settings: str) -> Counter[tuple[str, int]]:
    """Kinds of operations in the optimized program of four experts, with the number of experts that each covers."""
    program = build(graph_of(archspec.load(text_of(settings, count=4)))).lowered.forward
    found = [op for op in program.ops if ".experts." in op.node]
    return Counter((op.kind, int(op.output.shape[0]) if op.output.is_stack else 1) for op in found)
