"""STAR (Sheng et al., CIKM 2021, arXiv 2101.11427): a star of one shared and many domain networks.

A layer of domain p is relu((W_p * W)^T x + b_p + b), with elementwise products of weights and sums of biases; the head
has no relu. Partitioned normalisation precedes the first layer: gamma gamma_p (x - E_p) / sqrt(Var_p + 1e-5) + beta +
beta_p with statistics of the rows of domain p only. Running statistics (momentum 0.1) are used in evaluation, and for
domains with fewer than two rows in a batch. Initially it is the shared network: W_p = gamma_p = 1, b_p = beta_p = 0.
The fusion `star_sum` adds logits: s(s_m + s_a) of the star and the auxiliary network.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, ClassVar, Literal

from archspec import DomainName, FusionKind, TowerKind, Width, fusion, tower
from archspec.contract.settings import Units
from archspec.kinds.fusion import Names
from archspec.program import Init

if TYPE_CHECKING:
    from torch import Tensor

    from archspec.program import Part, Scope, Value

ONE, ZERO = Init("constant", 1.0), Init("constant", 0.0)


@tower("star")
class Star(TowerKind):
    """A multilayer perceptron whose weights are the shared ones times those of the row's domain."""

    paper: ClassVar[str] = "Sheng et al., CIKM 2021, arXiv 2101.11427"
    formula: ClassVar[str] = "h_i = relu((W_p * W)^T h_(i-1) + b_p + b), p the row's domain"
    title: ClassVar[str] = "STAR"
    domain: DomainName
    units: Units = ()
    norm: Literal["partitioned", "none"] = "partitioned"

    def width(self, input: Width) -> Width:
        """The last of `units`, or the input's width if there are none."""
        return self.units[-1] if self.units else input

    def lower(self, at: Scope, x: Value) -> Value:
        """`[B, D] -> [B, H]`."""
        h = self.normed(at, x) if self.norm == "partitioned" else x
        for index, units in enumerate(self.units):
            h = at.activation(self.layer(at, h, units, f"layers.{index}"), "relu")
        return h

    def head(self, at: Scope, hidden: Value, outputs: int) -> Value:
        """`[B, H] -> [B, outputs]`."""
        return self.layer(at, hidden, outputs, "head")

    def layer(self, at: Scope, x: Value, out: int, name: str) -> Value:
        """`[B, D] -> [B, out]` with the weights of each row's domain."""
        start, domains = Init("uniform", 1 / sqrt(x.width)), len(at.domain(self.domain))
        weights = (
            at.parameter(f"{name}.weight", (out, x.width), start),
            at.parameter(f"{name}.bias", (out,), start),
            at.parameter(f"{name}.domains.weight", (domains, out, x.width), ONE),
            at.parameter(f"{name}.domains.bias", (domains, out), ZERO),
        )
        return at.apply("star:linear", x, at.column(self.domain), *weights, shape=("B", out))

    def normed(self, at: Scope, x: Value) -> Value:
        """`[B, D] -> [B, D]`: partitioned normalisation."""
        of_all, of_each = (x.width,), (len(at.domain(self.domain)), x.width)
        weights = (
            at.parameter("norm.weight", of_all, ONE),
            at.parameter("norm.bias", of_all, ZERO),
            at.parameter("norm.domains.weight", of_each, ONE),
            at.parameter("norm.domains.bias", of_each, ZERO),
            at.parameter("norm.running_mean", of_each, ZERO, trainable=False),
            at.parameter("norm.running_var", of_each, ONE, trainable=False),
        )
        return at.apply("star:partitioned_norm", x, at.column(self.domain), *weights, training=True)

    def detail(self) -> str:
        """The sizes, such as `256, 128`."""
        return ", ".join(map(str, self.units))


@fusion("star_sum")
class LogitSum(FusionKind):
    """Adds logits."""

    paper: ClassVar[str] = "Sheng et al., CIKM 2021, arXiv 2101.11427: auxiliary network"
    formula: ClassVar[str] = "p = sigmoid(sum of logits)"
    title: ClassVar[str] = "+"
    of: Names

    def lower(self, at: Scope, parts: tuple[Part, ...]) -> Value:
        """`[B]`: the probability."""
        return at.activation(self.logits(at, parts), "sigmoid")

    def logits(self, at: Scope, parts: tuple[Part, ...]) -> Value:
        """`[B]`: the logit."""
        return at.sum(*(part.logits for part in parts))


def linear(  # noqa: PLR0913, PLR0917 - the weights of a layer, of all and of each domain
    x: Tensor, ids: Tensor, weight: Tensor, bias: Tensor, own_weight: Tensor, own_bias: Tensor
) -> Tensor:
    """`[B, D] -> [B, out]`: applies every domain's layer to all rows, then selects each row's. Shapes: `P` domains."""
    import torch

    of_all_BPO = torch.einsum("bi,poi->bpo", x, own_weight * weight) + own_bias + bias
    index = ids.long().view(-1, 1, 1).expand(-1, 1, of_all_BPO.shape[2])
    return of_all_BPO.gather(1, index).squeeze(1)


def partitioned_norm(  # noqa: PLR0913, PLR0917 - the weights of a norm, of all and of each domain
    x: Tensor, ids: Tensor, weight: Tensor, bias: Tensor, own_weight: Tensor, own_bias: Tensor,
    mean: Tensor, var: Tensor, training: bool,  # noqa: FBT001 - the module's mode
) -> Tensor:  # fmt: skip
    """`[B, D] -> [B, D]`; in training, mean and var `[P, D]` move by a tenth towards those of the batch."""
    import torch

    used_mean, used_var = mean, var
    if training:
        rows_BP = torch.nn.functional.one_hot(ids.long(), len(mean)).to(x.dtype)
        count = rows_BP.sum(0).unsqueeze(1)
        mean_now = rows_BP.T @ x / count.clamp_min(1)
        var_now = rows_BP.T @ (x - mean_now[ids]).square() / count.clamp_min(1)
        used_mean, used_var = torch.where(count > 1, mean_now, mean), torch.where(count > 1, var_now, var)
        with torch.no_grad():
            mean.lerp_(used_mean, 0.1)
            var.lerp_(torch.where(count > 1, var_now * count / (count - 1).clamp_min(1), var), 0.1)
    normed = (x - used_mean[ids]) * (used_var[ids] + 1e-5).rsqrt()
    return normed * (weight * own_weight[ids]) + bias + own_bias[ids]
