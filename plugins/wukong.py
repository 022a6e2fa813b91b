"""Wukong (Zhang et al., Meta, ICML 2024, arXiv 2403.02545): stacked factorization machines.

X is `[B, n, d]`, n fields of one width d. A layer has two parts: FMB(X) = reshape(MLP(LN(flat(X X^T Y)))), the
products of all pairs of fields, compressed by a learned Y `[n, rank]`, to `products` new fields; and LCB(X) = W_L X,
`compressed` linear combinations of the fields. X' = LN([FMB; LCB] + W_R X), where W_R X is X itself if the number of
fields stays the same. The output has the fields of the last layer side by side. As in reczoo/FuxiCTR, the MLP ends in
a ReLU, Y is a weight (the paper can also compute it from X), and W_R has biases, one for each new field.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, ClassVar, Literal

from archspec import ExpertKind, Width, expert
from archspec.contract.settings import Count, Units
from archspec.kinds.attention import one_width
from archspec.program import Init

if TYPE_CHECKING:
    from torch import Tensor

    from archspec.program import Scope, Value


@expert("wukong")
class Wukong(ExpertKind):
    """Layers that multiply all pairs of fields, each raising the order of the crosses."""

    paper: ClassVar[str] = "Zhang et al., Meta, ICML 2024, arXiv 2403.02545"
    formula: ClassVar[str] = "X' = LN([reshape(MLP(LN(flat(X X^T Y)))); W_L X] + W_R X)"
    title: ClassVar[str] = "Wukong"
    takes: ClassVar[Literal["rows", "fields", "tokens"]] = "fields"
    layers: Count = 3
    products: Count = 40
    """Fields that a layer makes of products: n_F."""
    compressed: Count = 40
    """Fields that a layer makes as linear combinations: n_L."""
    rank: Count = 8
    """Width of Y: k."""
    units: Units = (32, 32)
    """Sizes of the hidden layers of the MLP."""

    def width(self, input: tuple[Width, ...]) -> Width:
        """All fields of the last layer, side by side. Raises KindError if the fields have different widths."""
        one_width(input)
        return (self.products + self.compressed) * input[0]

    def lower(self, at: Scope, x: tuple[Value, ...]) -> Value:
        """n times `[B, d]` -> `[B, (n_F + n_L) d]`."""
        fields = at.as_tokens(*x)
        for index in range(self.layers):
            fields = self.layer(at.child(f"layers.{index}"), fields)
        return at.as_rows(fields)

    def layer(self, at: Scope, x: Value) -> Value:
        """`[B, n, d] -> [B, n_F + n_L, d]`."""
        count, made = int(x.shape[1]), self.products + self.compressed
        y = at.parameter("y", (count, self.rank), Init("normal", 1.0))
        h = at.apply("wukong:products", x, y, shape=("B", count * self.rank))
        h = at.norm(h, "layer", "norms.0")
        for number, units in enumerate((*self.units, self.products * x.width)):
            h = at.activation(at.linear(h, units, f"mlp.{number}"), "relu")
        linear = at.parameter("compress", (self.compressed, count), Init("uniform", 1 / sqrt(count)))
        residual: tuple[Value, ...] = ()
        if count != made:
            start = Init("uniform", 1 / sqrt(count))
            residual = (
                at.parameter("residual.weight", (made, count), start),
                at.parameter("residual.bias", (made,), start),
            )
        joined = at.apply("wukong:joined", h, x, linear, *residual, shape=("B", made, x.width))
        return at.norm(joined, "layer", "norms.1")

    def flops(self, input: tuple[Width, ...]) -> int:
        """Those of the products and of the linear combinations of fields."""
        total, count, made, width = 0, len(input), self.products + self.compressed, input[0]
        for _ in range(self.layers):
            residual = made if count != made else 0
            total += 2 * count * width * (2 * self.rank + self.compressed + residual)
            count = made
        return total

    def detail(self) -> str:
        """Layers and fields."""
        return f"{self.layers} layer{'s' * (self.layers > 1)}, {self.products} + {self.compressed} fields"


def products(x: Tensor, y: Tensor) -> Tensor:
    """flat(X X^T Y): `[B, n, d]`, `[n, k]` -> `[B, n k]`, without the `[B, n, n]` products of all pairs."""
    return (x @ (x.transpose(1, 2) @ y)).flatten(1)


def joined(h: Tensor, x: Tensor, linear: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """[FMB; LCB] plus the residual: `[B, n_F d]`, `[B, n, d]`, `[n_L, n]`, `[m, n]`, `[m]` -> `[B, m, d]`."""
    import torch

    made = torch.cat([h.unflatten(1, (-1, x.shape[2])), linear @ x], dim=1)
    return made + (x if weight is None or bias is None else weight @ x + bias.unsqueeze(1))
