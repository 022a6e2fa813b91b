"""AITM (Xi et al., KDD 2021, arXiv 2105.08489): attention passes information from each step of a funnel to the next.

The gate `aitm` sees two experts, u in {q_t, p_(t-1)}: z_t = sum_u softmax_u(<W1 u, W2 u> / sqrt(H)) W3 u, the
paper's AIT module, with three matrices without biases. The fusion `aitm_order` adds penalty * sum_t mean max(y_t -
y_(t-1), 0) to the loss, the paper's behavioral expectation calibrator, since nobody buys without a click; this fusion
has no score.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from archspec import FusionKind, GateKind, fusion, gate
from archspec.contract.settings import NotNegative
from archspec.kinds.fusion import Names

if TYPE_CHECKING:
    from torch import Tensor

    from archspec.program import GateInputs, Part, Scope, Value


@gate("aitm")
class Transfer(GateKind):
    """Self-attention over the experts seen."""

    paper: ClassVar[str] = "Xi et al., KDD 2021, arXiv 2105.08489"
    formula: ClassVar[str] = "softmax over u of <W1 u, W2 u> / sqrt(H); mixes W3 u"
    title: ClassVar[str] = "attention"
    selects: ClassVar[str] = "none"

    def lower(self, at: Scope, gate: GateInputs) -> Value:
        """E times `[B, H] -> [B, E]`."""
        keys, queries = self.projected(at, gate, "key"), self.projected(at, gate, "query")
        scores = [at.apply("aitm:score", *pair, shape=("B", 1)) for pair in zip(keys, queries, strict=True)]
        return at.softmax(at.concat(*scores))

    def values(self, at: Scope, gate: GateInputs) -> tuple[Value, ...]:
        """The values to mix: E times `[B, H]`."""
        return self.projected(at, gate, "value")

    def projected(self, at: Scope, gate: GateInputs, name: str) -> tuple[Value, ...]:
        """Every expert times one matrix."""
        return tuple(at.linear(u, gate.seen.width, name, bias=False) for u in gate.experts)


@fusion("aitm_order")
class Order(FusionKind):
    """Penalizes later steps of a funnel that are more likely than earlier ones."""

    paper: ClassVar[str] = "Xi et al., KDD 2021, arXiv 2105.08489: behavioral expectation calibrator"
    formula: ClassVar[str] = "penalty * sum_t mean max(p_t - p_(t-1), 0)"
    title: ClassVar[str] = "≥"
    of: Names
    """Outputs, earliest first."""
    penalty: NotNegative = 0.6

    def auxiliary(self, at: Scope, parts: tuple[Part, ...]) -> None:
        """Adds the penalty."""
        order = at.apply("aitm:disorder", *(part.logits for part in parts), shape=())
        at.auxiliary_loss(at.scale(order, self.penalty))


def score(keys: Tensor, queries: Tensor) -> Tensor:
    """<k, q> / sqrt(H): `[B, H]`, `[B, H]` -> `[B, 1]`."""
    return (keys * queries).sum(-1, keepdim=True) / keys.shape[-1] ** 0.5


def disorder(*logits: Tensor) -> Tensor:
    """Sum over neighbours of mean max(p_t - p_(t-1), 0): logits `[B]` each -> `[]`; 0 for no rows."""
    p = [logit.sigmoid() for logit in logits]
    rows = max(len(p[0]), 1)
    return sum(((after - before).relu().sum() / rows for before, after in pairwise(p)), p[0].sum() * 0)
