"""HAMUR (Li et al., CIKM 2023, arXiv 2309.06217): a network per domain, with adapters that a shared network generates.

The tower has hidden layers and a head for each domain, relu(W_d h + b_d). After each of its last `adapters` hidden
layers, h becomes h + g_d norm_d(s((h W1 + b1)) W2 + b2) + e_d with s the sigmoid, W1 = U1 I V1 and W2 = U2 I V2. I
`[k, k]` is computed from the tower's input for each row, by a network that all domains share, as they share U, V, b1
and b2. norm_d has statistics of the rows of domain d only; running ones (momentum 0.1) are used in evaluation, and
for domains with fewer than two rows in a batch. g_d = e_d = 0 takes the adapter away: one tower per domain is left.

The authors' code (Applied-Machine-Learning-Lab/HAMUR) differs: it runs all rows through every domain's tower, so that
norms see all rows, in evaluation too; g and e are shared; layers have batch norm; and U = V = 1 at first, where all
entries of W1 are equal. Here g_d starts at 1, and U and V like layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from archspec import DomainName, KindError, TowerKind, Width, tower
from archspec.contract.settings import Count, Units
from archspec.program import Init

if TYPE_CHECKING:
    from torch import Tensor

    from archspec.program import Scope, Value

ONE, ZERO = Init("constant", 1.0), Init("constant", 0.0)


@tower("hamur")
class Hamur(TowerKind):
    """A multilayer perceptron per domain, with adapters whose weights depend on the row."""

    paper: ClassVar[str] = "Li et al., CIKM 2023, arXiv 2309.06217"
    formula: ClassVar[str] = "h + g_d norm_d(s(h U1 I V1 + b1) U2 I V2 + b2) + e_d, I = reshape(MLP(x))"
    title: ClassVar[str] = "HAMUR"
    domain: DomainName
    units: Units
    adapters: Count = 1
    """How many of the last hidden layers have an adapter."""
    hidden: Count = 32
    """Width of an adapter's hidden layer."""
    k: Count = 8
    """Width of I."""
    hyper: Units = (64,)
    """Sizes of the hidden layers of the network that computes I."""

    def width(self, input: Width) -> Width:
        """The last of `units`. Raises KindError if there are more adapters than hidden layers."""
        if self.adapters > len(self.units):
            raise KindError(
                f"`adapters: {self.adapters}` for {len(self.units)} hidden layers", at=("adapters",),
                help=f"write `adapters: {len(self.units)}` or fewer" if self.units else "write `units`",
            )  # fmt: skip
        return self.units[-1]

    def lower(self, at: Scope, x: Value) -> Value:
        """`[B, D] -> [B, H]`."""
        instance, h = self.instance(at, x), x
        for index, units in enumerate(self.units):
            h = at.activation(self.own(at, h, units, f"layers.{index}"), "relu")
            number = index - len(self.units) + self.adapters
            if number >= 0:
                h = self.adapted(at.child(f"adapters.{number}"), h, instance)
        return h

    def head(self, at: Scope, hidden: Value, outputs: int) -> Value:
        """`[B, H] -> [B, outputs]`, by the head of the row's domain."""
        return self.own(at, hidden, outputs, "head")

    def own(self, at: Scope, x: Value, units: int, name: str) -> Value:
        """The layer of each row's domain, `[B, D] -> [B, units]`."""
        cases = [at.linear(x, units, f"cases.{value}.{name}") for value in at.domain(self.domain)]
        return at.select(at.column(self.domain), cases)

    def instance(self, at: Scope, x: Value) -> Value:
        """I of each row, `[B, k k]`."""
        for index, units in enumerate(self.hyper):
            x = at.activation(at.linear(x, units, f"hyper.layers.{index}"), "relu")
        return at.activation(at.linear(x, self.k**2, "hyper.head"), "relu")

    def adapted(self, at: Scope, h: Value, instance: Value) -> Value:
        """h plus what its adapter gives, `[B, H]`."""
        hidden = at.activation(self.product(at, h, instance, self.hidden, "down"), "sigmoid")
        added = self.product(at, hidden, instance, h.width, "up")
        return at.sum(h, self.normed(at, added))

    def product(self, at: Scope, x: Value, instance: Value, width: int, name: str) -> Value:
        """x U I V + b, `[B, width]`."""
        left = at.linear(x, self.k, f"{name}.u", bias=False)
        middle = at.apply("hamur:times", left, instance, shape=("B", self.k))
        return at.linear(middle, width, f"{name}.v")

    def normed(self, at: Scope, x: Value) -> Value:
        """g_d norm_d(x) + e_d, `[B, H]`."""
        shape = (len(at.domain(self.domain)), x.width)
        weights = (
            at.parameter("norm.weight", shape, ONE),
            at.parameter("norm.bias", shape, ZERO),
            at.parameter("norm.running_mean", shape, ZERO, trainable=False),
            at.parameter("norm.running_var", shape, ONE, trainable=False),
        )
        return at.apply("hamur:domain_norm", x, at.column(self.domain), *weights, training=True)

    def flops(self, input: Width) -> int:
        """Those of the products with I, and of the norms."""
        return sum(4 * self.k**2 + 8 * units for units in self.units[-self.adapters :])

    def detail(self) -> str:
        """The sizes, such as `256, 128`."""
        return ", ".join(map(str, self.units))


def times(x: Tensor, instance: Tensor) -> Tensor:
    """x I for each row: `[B, k]`, `[B, k k]` -> `[B, k]`."""
    return (x.unsqueeze(1) @ instance.unflatten(1, (x.shape[1], x.shape[1]))).squeeze(1)


def domain_norm(  # noqa: PLR0913, PLR0917 - the weights of a norm
    x: Tensor, ids: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor,
    training: bool,  # noqa: FBT001 - the module's mode
) -> Tensor:  # fmt: skip
    """`[B, H] -> [B, H]` by weights and statistics `[P, H]` of each row's domain; mean and var change in training."""
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
    return (x - used_mean[ids]) * (used_var[ids] + 1e-5).rsqrt() * weight[ids] + bias[ids]
