"""DSelect-k (Hazimeh et al., NeurIPS 2021, arXiv 2106.03760): k selectors, each of which can become exactly one-hot.

A selector is z in R^m, m = ceil(log2 n). S is the smooth step: 0 below -gamma/2, 1 above gamma/2, between them -2
(t/gamma)^3 + 3/2 t/gamma + 1/2. Expert i gets r_i = product over bits b of S(z_b) where bit b of i is 1, else 1 -
S(z_b); weights = sum_j softmax(w)_j r^(j). z and w are linear in the gate's selector, or are learned numbers
(`selector: none`). Where n is no power of two, the weight of the codes beyond n is lost.
"""

from __future__ import annotations

from math import ceil, log2

from archspec import Settings, gate
from archspec.program import GateInputs, Init, Scope, Value


@gate("dselect_k")
class DSelectK(Settings):
    """k selectors of one expert each, by the bits of its number."""

    k: int = 2
    gamma: float = 1.0

    def lower(self, at: Scope, gate: GateInputs) -> Value:
        """`[B, D] -> [B, n]`, or `[n]`; z starts near 0, where every step has a slope."""
        n, start = gate.seen.count, Init("uniform", self.gamma / 100)
        bits = self.k * max(1, ceil(log2(n)))
        if gate.selector is None:
            z, w = at.parameter("z", (bits,), start), at.parameter("w", (self.k,), start)
        else:
            at.weight("z.weight", (bits, gate.selector.width), start)
            z, w = at.linear(gate.selector, bits, "z", bias=False), at.linear(gate.selector, self.k, "w", bias=False)
        return at.apply("dselect_k:select", z, w, shape=(*z.shape[:-1], n), n=n, gamma=self.gamma)


def select(z, w, n, gamma):  # noqa: ANN001, ANN201 - tensors; torch is imported when a model runs
    """z `[.., k m]`, w `[.., k]` -> weights `[.., n]`."""
    import torch

    t = z.unflatten(-1, (w.shape[-1], -1)).unsqueeze(-2).clamp(-gamma / 2, gamma / 2) / gamma
    step = -2 * t**3 + 1.5 * t + 0.5
    ones = torch.arange(n, device=z.device).unsqueeze(-1) >> torch.arange(t.shape[-1], device=z.device) & 1
    r = torch.where(ones == 1, step, 1 - step).prod(-1)
    return (w.softmax(-1).unsqueeze(-1) * r).sum(-2)
