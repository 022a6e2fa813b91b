"""RankMixer (Zhu et al., ByteDance, CIKM 2025, arXiv 2507.15551): tokens that exchange parts of themselves.

Each field becomes a token of its own: x_t = W_t part_t + b_t, `[B, T, D]`. In a layer, every token is cut into T
heads, and the new token h is what all tokens have at head h, side by side; no weights are involved. Then S = LN(mixed
+ X), and X' = LN(S + W2_t gelu(W1_t S_t + b1_t) + b2_t), where every token has its own two matrices. The output is
the mean of the tokens. Fields that belong together are one token if a block `{kind: identity, from: [...]}` puts them
side by side. Chosen here: D must be a multiple of T, as in the paper's H = T; its sparse experts in place of W1_t and
W2_t are left out. The paper has 16 tokens of 768 or 1,536 numbers.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, ClassVar, Literal

from archspec import ExpertKind, KindError, Width, expert
from archspec.contract.settings import Count
from archspec.program import Init

if TYPE_CHECKING:
    from torch import Tensor

    from archspec.program import Scope, Value


@expert("rankmixer")
class RankMixer(ExpertKind):
    """Layers that transpose the heads of tokens, and transform each token by weights of its own."""

    paper: ClassVar[str] = "Zhu et al., ByteDance, CIKM 2025, arXiv 2507.15551"
    formula: ClassVar[str] = "S = LN(transpose of heads(X) + X), X' = LN(S + W2_t gelu(W1_t S_t)); mean over tokens"
    title: ClassVar[str] = "RankMixer"
    takes: ClassVar[Literal["rows", "fields", "tokens"]] = "fields"
    dim: Count
    """D, the width of a token; a multiple of the number of fields."""
    layers: Count = 2
    expansion: Count = 4
    """Width of W1_t, in multiples of D."""

    def width(self, input: tuple[Width, ...]) -> Width:
        """`dim`. Raises KindError unless it is a multiple of the number of fields."""
        count = len(input)
        if self.dim % count:
            raise KindError(
                f"`dim: {self.dim}` is not a multiple of the {count} fields that it reads", at=("dim",),
                help=f"write `dim: {count * -(-self.dim // count)}`, or read another number of fields",
            )  # fmt: skip
        return self.dim

    def lower(self, at: Scope, x: tuple[Value, ...]) -> Value:
        """T times `[B, width]` -> `[B, D]`."""
        tokens = at.as_tokens(*(at.linear(part, self.dim, f"tokens.{index}") for index, part in enumerate(x)))
        for index in range(self.layers):
            tokens = self.layer(at.child(f"layers.{index}"), tokens)
        return at.pool_tokens(tokens, "mean")

    def layer(self, at: Scope, x: Value) -> Value:
        """`[B, T, D] -> [B, T, D]`."""
        mixed = at.norm(at.sum(at.apply("rankmixer:mixed", x), x), "layer", "norms.0")
        count, inner = int(x.shape[1]), self.dim * self.expansion
        weights = []
        for name, out, width in (("up", inner, self.dim), ("down", self.dim, inner)):
            start = Init("uniform", 1 / sqrt(width))
            weights += [
                at.parameter(f"{name}.weight", (count, out, width), start),
                at.parameter(f"{name}.bias", (count, out), start),
            ]
        return at.norm(at.sum(at.apply("rankmixer:own", mixed, *weights), mixed), "layer", "norms.1")

    def flops(self, input: tuple[Width, ...]) -> int:
        """Those of the tokens' own matrices."""
        return self.layers * len(input) * 4 * self.expansion * self.dim**2

    def detail(self) -> str:
        """Layers and width."""
        return f"{self.layers} layer{'s' * (self.layers > 1)}, {self.dim}"


def mixed(x: Tensor) -> Tensor:
    """Token h becomes head h of all tokens, side by side: `[B, T, D] -> [B, T, D]`."""
    count = x.shape[1]
    return x.unflatten(2, (count, x.shape[2] // count)).transpose(1, 2).flatten(2)


def own(x: Tensor, up: Tensor, up_bias: Tensor, down: Tensor, down_bias: Tensor) -> Tensor:
    """Each token through its own two layers: `[B, T, D]`, weights `[T, out, in]`, biases `[T, out]` -> `[B, T, D]`."""
    import torch

    hidden_TBK = torch.baddbmm(up_bias.unsqueeze(1), x.transpose(0, 1), up.transpose(1, 2))
    hidden_TBK = torch.nn.functional.gelu(hidden_TBK)
    return torch.baddbmm(down_bias.unsqueeze(1), hidden_TBK, down.transpose(1, 2)).transpose(0, 1)
