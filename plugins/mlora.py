"""MLoRA (Yang et al., RecSys 2024, arXiv 2408.08913): one network for all domains, and a low-rank one for each.

A layer of domain d is act(W x + b + B_d A_d x + c_d), where W and b belong to all domains, A_d is `[rank, in]`, and
B_d is `[out, rank]`. As in the authors' code (gaohaining/MLoRA), A_d starts like a layer (Xavier) and B_d and c_d
start at 0: at first, every domain uses the shared network, and with B = c = 0 it always does. The tower's head is
shared. Chosen here: one rank for all layers (their code can also divide the width of each), no dropout, and rows of
all domains in a batch (their batches hold one domain).
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, ClassVar

from archspec import DomainName, TowerKind, Width, expert, tower
from archspec.contract.settings import Count, Units
from archspec.kinds.blocks import Activation
from archspec.program import Init

if TYPE_CHECKING:
    from torch import Tensor

    from archspec.program import Scope, Value

ZERO = Init("constant", 0.0)


@expert("mlora")
@tower("mlora")
class MLoRA(TowerKind):
    """A multilayer perceptron with a low-rank addition to each layer for each domain."""

    paper: ClassVar[str] = "Yang et al., RecSys 2024, arXiv 2408.08913"
    formula: ClassVar[str] = "h_i = act(W h_(i-1) + b + B_d A_d h_(i-1) + c_d), d the row's domain"
    title: ClassVar[str] = "MLoRA"
    domain: DomainName
    units: Units = ()
    rank: Count = 4
    """Width between A_d and B_d."""
    activation: Activation = "relu"

    def width(self, input: Width) -> Width:
        """The last of `units`, or the input's width if there are none."""
        return self.units[-1] if self.units else input

    def lower(self, at: Scope, x: Value) -> Value:
        """`[B, D] -> [B, H]`."""
        for index, units in enumerate(self.units):
            own = self.own(at, x, units, f"domains.{index}")
            x = at.sum(at.linear(x, units, f"layers.{index}"), own)
            x = at.activation(x, self.activation, name=f"activations.{index}")
        return x

    def own(self, at: Scope, x: Value, units: int, name: str) -> Value:
        """What each row's domain adds, `[B, D] -> [B, units]`."""
        domains = len(at.domain(self.domain))
        xavier = Init("uniform", sqrt(6 / (x.width + self.rank)))
        weights = (
            at.parameter(f"{name}.down.weight", (domains, self.rank, x.width), xavier),
            at.parameter(f"{name}.up.weight", (domains, units, self.rank), ZERO),
            at.parameter(f"{name}.up.bias", (domains, units), ZERO),
        )
        return at.apply("mlora:adapted", x, at.column(self.domain), *weights, shape=("B", units))

    def flops(self, input: Width) -> int:
        """Those of the row's own domain; the model computes A_d for all."""
        widths = (input, *self.units)
        return sum(2 * self.rank * (one + other) for one, other in zip(widths, self.units, strict=False))

    def detail(self) -> str:
        """Sizes and rank."""
        return f"{', '.join(map(str, self.units))}, rank {self.rank}"


def adapted(x: Tensor, ids: Tensor, down: Tensor, up: Tensor, bias: Tensor) -> Tensor:
    """`[B, D] -> [B, out]`: B_d A_d x + c_d; down `[P, r, D]`, up `[P, out, r]`, bias `[P, out]` for P domains.

    A_d x is computed for all domains at once, and set to 0 for all but the row's own: two plain products.
    """
    from torch.nn.functional import one_hot

    domains, rank, _ = down.shape
    own = one_hot(ids.long(), domains).to(x.dtype).repeat_interleave(rank, dim=1)
    hidden = (x @ down.flatten(0, 1).T) * own
    return hidden @ up.transpose(1, 2).flatten(0, 1) + bias[ids]
