"""DSelect-k (Hazimeh et al., NeurIPS 2021, arXiv 2106.03760): k selectors, each of which can become exactly one-hot.

A selector is z in R^m, m = ceil(log2 n). S is the smooth step: 0 below -gamma/2, 1 above gamma/2, between them -2
(t/gamma)^3 + 3/2 t/gamma + 1/2. Expert i gets r_i = product over bits b of S(z_b) if bit b of i is 1, else 1 -
S(z_b); weights = sum_j softmax(w)_j r^(j). z and w are linear in the gate's selector, with biases, or are learned
numbers (`selector: none`).

In training two terms are added to the loss, both sums over rows and selectors as in the authors' code
(google-research/dselect_k_moe): if n is not a power of two, penalty / sum_i r_i, which keeps a selector away from codes
without an expert; and entropy * -sum_i r_i log(r_i + 1e-6), which drives each selector towards one expert. A schedule
for `entropy` is not implemented. Our choices: the penalty stays finite even if a selector has no expert at all, and a
single expert has weight 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from archspec import GateKind, gate
from archspec.contract.settings import Count, NotNegative
from archspec.program import GateInputs, Init, Rows, Scope, Value

if TYPE_CHECKING:
    from torch import Tensor

    from archspec.program import Seen, TrainedGate

SMALLEST = 1e-6
"""The authors' EPSILON."""
START = Init("uniform", 0.05)
"""Initialisation of w: Keras's default."""


@gate("dselect_k")
class DSelectK(GateKind):
    """k selectors, each of which chooses one expert by the bits of its number."""

    paper: ClassVar[str] = "Hazimeh et al., NeurIPS 2021, arXiv 2106.03760"
    formula: ClassVar[str] = "sum_j softmax(w)_j prod_b (S(z_jb) or 1 - S(z_jb), by bit b of the expert's number)"
    k: Count = 2
    gamma: Annotated[float, Field(ge=1e-6, le=1e6)] = 1.0
    """Width of the smooth step."""
    bias: bool = True
    """Biases of z and w."""
    entropy: NotNegative = 0.0
    """Weight of the selectors' entropy, added in training; where the authors use it, they set 1e-6."""
    penalty: NotNegative = 1.0
    """Weight of 1 / (sum of a selector's outputs), added in training if the number of experts is not a power of two."""

    def lower(self, at: Scope, gate: GateInputs) -> Value:
        """`[B, D] -> [B, n]`, or `[n]`; z starts near 0, where the smooth step has a gradient."""
        n = gate.seen.count
        bits = (n - 1).bit_length()
        if bits == 0:
            return at.apply("rows_like", at.constant([[1.0]]), gate.experts[0], shape=("B", 1))
        z, w = self.logits(at, gate, bits)
        codes = at.constant([[number >> bit & 1 for bit in range(bits)] for number in range(n)], "bool")
        rows = z.shape[:-1]
        r = at.apply("dselect_k:select", z, codes, shape=(*rows, self.k, n), gamma=self.gamma)
        terms: dict[str, Any] = {"entropy": self.entropy, "penalty": 0.0 if n == 2**bits else self.penalty}
        if any(terms.values()):
            at.auxiliary_loss(at.apply("dselect_k:regularizer", r, shape=(), **terms))
        return at.apply("dselect_k:combine", w, r, shape=(*rows, n))

    def logits(self, at: Scope, gate: GateInputs, bits: int) -> tuple[Value, Value]:
        """z `[B, k m]` and w `[B, k]`; for a static gate, without the batch axis."""
        made = []
        for name, width, start in (("z", self.k * bits, Init("uniform", self.gamma / 100)), ("w", self.k, START)):
            if gate.selector is None:
                made.append(at.parameter(name, (width,), start))
                continue
            at.weight(f"{name}.weight", (width, gate.selector.width), start)
            if self.bias:
                at.weight(f"{name}.bias", (width,), start)
            made.append(at.linear(gate.selector, width, name, bias=self.bias))
        return made[0], made[1]

    def entering(self, seen: Seen, trained: TrainedGate, share: float) -> dict[str, Rows] | str:
        """Experts whose number needs a further bit: the smooth step of that bit starts at most at `share`.

        An added expert whose code has no further bit gets what the selectors already gave to this code; `penalty` made
        it small. Codes are numbers, so the experts that stay must keep theirs.
        """
        if not isinstance(trained.settings, DSelectK) or trained.settings.k != self.k:
            return "it had another kind or another `k`"
        if any(place not in {-1, number} for number, place in enumerate(trained.places)):
            return "experts that stay have other numbers, which are their codes: add experts after the others"
        before, now = (trained.seen.count - 1).bit_length(), (seen.count - 1).bit_length()
        rows = tuple(j * before + bit if bit < before else -1 for j in range(self.k) for bit in range(now))
        new = max(now - before, 0)
        start = self.gamma * ((share / 3 / new) ** 0.5 - 0.5) if new else 0.0  # S(gamma (d - 1/2)) = 3 d^2 - 2 d^3
        why = ""
        if any(place < 0 and number < 2**before for number, place in enumerate(trained.places)):
            why = "an added expert takes a code without an expert, and starts with the weight that it already had"
        elif new and seen.selector is not None and not self.bias:
            why = "without `bias: true` in the gate, added experts start with half of the weight"
        if seen.selector is None:
            return {"z": Rows("zero", start, rows, why)}
        return {"z.weight": Rows("zero", 0.0, rows, why), "z.bias": Rows("zero", start, rows)}

    def detail(self) -> str:
        """k."""
        return f"k = {self.k}"


def select(z: Tensor, codes: Tensor, gamma: float) -> Tensor:
    """z `[.., k m]`, codes bool `[n, m]` -> outputs of the selectors `[.., k, n]`."""
    import torch

    t = z.unflatten(-1, (-1, 1, codes.shape[1])).clamp(-gamma / 2, gamma / 2) / gamma
    step = -2 * t**3 + 1.5 * t + 0.5
    return torch.where(codes, step, 1 - step).prod(-1)


def combine(w: Tensor, r: Tensor) -> Tensor:
    """w `[.., k]`, r `[.., k, n]` -> weights `[.., n]`."""
    return (w.softmax(-1).unsqueeze(-1) * r).sum(-2)


def regularizer(r: Tensor, entropy: float, penalty: float) -> Tensor:
    """r `[.., k, n]` -> `[]`."""
    total = r.new_zeros(())
    if entropy:
        total = total - entropy * (r * (r + SMALLEST).log()).sum()
    if penalty:
        total = total + penalty * (1 / r.sum(-1).clamp_min(SMALLEST)).sum()
    return total
