"""APG (Yan et al., NeurIPS 2022, arXiv 2203.16218): a part of each layer's weights is generated for each row.

A layer is y = act(((x U + a) S(z) + b(z)) V + c), where U, V, a and c belong to all rows, and S(z) `[k, k]` and b(z)
`[k]` are linear in a condition z, such as the scene's embedding. This is the paper's low-rank form with shared U and
V; without its over-parameterisation (U = U_l U_r), which is exact to leave out once trained. The condition's own
gradient is stopped in alipay/MMLRec: write `by: {detach: scene}`. k = ceil(min(in, out) / `divisor`).
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, ClassVar

from archspec import Reference, TowerKind, Width, expert, tower
from archspec.contract.settings import Count, Units
from archspec.kinds.blocks import Activation

if TYPE_CHECKING:
    from torch import Tensor

    from archspec.program import Scope, Value


@expert("apg")
@tower("apg")
class APG(TowerKind):
    """A multilayer perceptron whose layers have a small matrix per row in their middle."""

    paper: ClassVar[str] = "Yan et al., NeurIPS 2022, arXiv 2203.16218"
    formula: ClassVar[str] = "h_i = act(((h_(i-1) U + a) S(z) + b(z)) V + c)"
    title: ClassVar[str] = "APG"
    by: Reference
    """The condition z."""
    units: Units = ()
    divisor: Count = 4
    """The width k of S is the smaller of a layer's two widths divided by this."""
    activation: Activation = "relu"

    def width(self, input: Width) -> Width:
        """The last of `units`, or the input's width if there are none."""
        return self.units[-1] if self.units else input

    def lower(self, at: Scope, x: Value) -> Value:
        """`[B, D] -> [B, H]`."""
        z = at.read(self.by)
        for index, units in enumerate(self.units):
            k = self.rank(x.width, units)
            kernel = at.linear(z, k * k, f"kernels.{index}")
            shift = at.linear(z, k, f"shifts.{index}")
            h = at.linear(x, k, f"downs.{index}")
            h = at.sum(at.apply("apg:times", h, kernel, shape=("B", k)), shift)
            x = at.activation(at.linear(h, units, f"ups.{index}"), self.activation, name=f"activations.{index}")
        return x

    def rank(self, width: int, units: int) -> int:
        """k of a layer."""
        return ceil(min(width, units) / self.divisor)

    def flops(self, input: Width) -> int:
        """Those of the products with S(z)."""
        widths = (input, *self.units)
        return sum(2 * self.rank(one, other) ** 2 for one, other in zip(widths, self.units, strict=False))

    def detail(self) -> str:
        """The sizes, such as `256, 128`."""
        return ", ".join(map(str, self.units))


def times(h: Tensor, kernel: Tensor) -> Tensor:
    """h S for each row: `[B, k]`, `[B, k k]` -> `[B, k]`."""
    return (h.unsqueeze(1) @ kernel.unflatten(1, (h.shape[1], h.shape[1]))).squeeze(1)
