"""M2M (Zhang et al., WSDM 2022, arXiv 2201.06814): gates and towers whose weights are generated from the scenario.

A meta unit is meta(x) = leaky_relu(x W(s) + b(s)), where the matrix W(s) and b(s) are linear in the scenario's vector
s. The gate `m2m` weighs expert E_i by softmax_i(v . meta([E_i, t])), t a vector of the task, and its selector is s.
The tower `m2m` applies `layers` times R <- leaky_relu(R W(s) + b(s) + R), then `units`. Chosen here: t is a learned
vector (the paper's is a network of the task's embedding, which is one vector as well); the slope 0.1 is that of
Scenario-Wise-Rec, whose code generates W and b by a layer with an activation. The paper's transformer over events
comes before all this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from archspec import GateKind, KindError, Reference, TowerKind, Width, gate, tower
from archspec.contract.settings import Count, Slope, Units
from archspec.program import Init

if TYPE_CHECKING:
    from torch import Tensor

    from archspec.program import GateInputs, Scope, Seen, Value


@gate("m2m")
class MetaAttention(GateKind):
    """Attention over the experts seen, by weights that the scenario generates."""

    paper: ClassVar[str] = "Zhang et al., WSDM 2022, arXiv 2201.06814"
    formula: ClassVar[str] = "softmax_i(v . leaky_relu([E_i, t] W(s) + b(s)))"
    title: ClassVar[str] = "meta attention"
    adds_up: ClassVar[bool] = True
    slope: Slope = 0.1

    def check(self, seen: Seen) -> None:
        """Raises KindError without a selector."""
        if seen.selector is None:
            raise KindError("a meta unit needs a scenario", at=("selector",), help="name a stream in `selector`")

    def lower(self, at: Scope, gate: GateInputs) -> Value:
        """`[B, S] -> [B, E]`."""
        assert gate.selector is not None
        width = 2 * gate.seen.width
        task = at.parameter("task", (gate.seen.width,), Init("normal", 1.0))
        v = at.parameter("v", (width,), Init("uniform", width**-0.5))
        matrix, shift = at.linear(gate.selector, width**2, "meta.matrix"), at.linear(gate.selector, width, "meta.shift")
        values = (matrix, shift, task, v, *gate.experts)
        return at.softmax(at.apply("m2m:scores", *values, shape=("B", gate.seen.count), slope=self.slope))

    def flops(self, seen: Seen) -> int:
        """Those of the meta unit on each expert."""
        return seen.count * (8 * seen.width**2 + 8 * seen.width)


@tower("m2m")
class MetaTower(TowerKind):
    """Residual layers that the scenario generates, then plain ones."""

    paper: ClassVar[str] = "Zhang et al., WSDM 2022, arXiv 2201.06814"
    formula: ClassVar[str] = "R <- leaky_relu(R W(s) + b(s) + R), then relu(W R + b)"
    title: ClassVar[str] = "meta tower"
    scenario: Reference
    """The vector s."""
    layers: Count = 1
    """How many generated layers there are."""
    units: Units = ()
    """Sizes of the layers that follow."""
    slope: Slope = 0.1

    def width(self, input: Width) -> Width:
        """The last of `units`, or the input's width if there are none."""
        return self.units[-1] if self.units else input

    def lower(self, at: Scope, x: Value) -> Value:
        """`[B, D] -> [B, H]`."""
        scenario = at.read(self.scenario)
        for index in range(self.layers):
            matrix = at.linear(scenario, x.width**2, f"meta.{index}.matrix")
            shift = at.linear(scenario, x.width, f"meta.{index}.shift")
            made = at.apply("m2m:times", x, matrix, shape=("B", x.width))
            x = at.activation(at.sum(made, shift, x), "leaky_relu", slope=self.slope)
        for index, units in enumerate(self.units):
            x = at.activation(at.linear(x, units, f"layers.{index}"), "relu")
        return x

    def flops(self, input: Width) -> int:
        """Those of the products with W(s)."""
        return self.layers * 2 * input**2

    def detail(self) -> str:
        """The sizes, such as `256, 128`."""
        return ", ".join(map(str, self.units))


def scores(weight: Tensor, bias: Tensor, task: Tensor, v: Tensor, *experts: Tensor, slope: float) -> Tensor:
    """v . meta([E_i, t]): weights `[B, 4 H H]`, biases `[B, 2 H]`, t `[H]`, v `[2 H]`, E times `[B, H]` -> `[B, E]`."""
    import torch

    x_BEW = torch.stack([torch.cat([expert, task.expand_as(expert)], dim=1) for expert in experts], dim=1)
    width = x_BEW.shape[2]
    made = x_BEW @ weight.unflatten(1, (width, width)) + bias.unsqueeze(1)
    return torch.nn.functional.leaky_relu(made, slope) @ v


def times(x: Tensor, weight: Tensor) -> Tensor:
    """x W for each row: `[B, H]`, `[B, H H]` -> `[B, H]`."""
    return (x.unsqueeze(1) @ weight.unflatten(1, (x.shape[1], x.shape[1]))).squeeze(1)
