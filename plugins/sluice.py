"""Sluice networks (Ruder et al., AAAI 2019, arXiv 1705.08142): a cross-stitch gate that keeps two subspaces apart.

The gate mixes like `kind: linear`. In training it adds penalty * ||H_own^T H_apart||_F^2 to the loss (the paper's
orthogonality constraint), where H_own `[B, H]` are the outputs, on the batch, of the expert of the gate's own name,
H_apart those of the expert `apart`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from archspec import KindError, gate
from archspec.contract.settings import NotNegative  # noqa: TC001 - pydantic reads it
from archspec.kinds.gates import Linear

if TYPE_CHECKING:
    from torch import Tensor

    from archspec.program import GateInputs, Scope, Seen, Value


@gate("sluice")
class Sluice(Linear):
    """A linear gate with a penalty on what its own expert and another one have in common."""

    paper: ClassVar[str] = "Ruder et al., AAAI 2019, arXiv 1705.08142"
    formula: ClassVar[str] = "weights a; loss + penalty * ||H_own^T H_apart||_F^2"
    apart: str
    """The expert group of the other subspace."""
    penalty: NotNegative = 0.01

    def check(self, seen: Seen) -> None:
        """Raises KindError where the gate does not see one expert of each name."""
        super().check(seen)
        for name in (seen.gate, self.apart):
            if seen.groups.count(name) != 1:
                raise KindError(f"the gate must see one expert of `{name}`", at=("sees",), help="write `sees: all`")

    def lower(self, at: Scope, gate: GateInputs) -> Value:
        """`[E]`, or `[B, E]` with a selector."""
        by_group = dict(zip(gate.seen.groups, gate.experts, strict=True))
        overlap = at.apply("sluice:overlap", by_group[gate.seen.gate], by_group[self.apart], shape=())
        at.auxiliary_loss(at.scale(overlap, self.penalty))
        return super().lower(at, gate)


def overlap(own: Tensor, apart: Tensor) -> Tensor:
    """||own^T apart||_F^2: `[B, H]`, `[B, H]` -> `[]`."""
    return (own.T @ apart).square().sum()
