"""Sluice networks (Ruder et al., AAAI 2019, arXiv 1705.08142): a cross-stitch gate that keeps two subspaces apart.

The gate mixes like `kind: linear`. In training it adds penalty * sum over layers of ||W_own^T W_apart||_F^2 to the loss
(the paper's orthogonality constraint; sebastianruder/sluice-networks), where W_own `[H, D]` are the weight matrices of
the hidden layers, without biases, of the expert of the gate's own name, W_apart those of the expert `apart`.

`of: outputs` uses the outputs on the batch, `[B, H]`, instead of W, as this plugin did before. This penalty grows with
the square of the batch.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Literal

from archspec import KindError, gate
from archspec.contract.settings import NotNegative
from archspec.kinds.gates import Linear

if TYPE_CHECKING:
    from torch import Tensor

    from archspec.program import GateInputs, Scope, Seen, Value


@gate("sluice")
class Sluice(Linear):
    """A linear gate with a penalty on the overlap of its own expert with another one."""

    paper: ClassVar[str] = "Ruder et al., AAAI 2019, arXiv 1705.08142"
    formula: ClassVar[str] = "weights a; loss + penalty * sum over layers of ||W_own^T W_apart||_F^2"
    apart: str
    """The expert group of the other subspace."""
    penalty: NotNegative = 0.01
    of: Literal["weights", "outputs"] = "weights"
    """The matrices to keep apart: weights, or outputs on the batch."""

    def check(self, seen: Seen) -> None:
        """Raises KindError unless the gate sees one expert of each name, with layers of the same sizes."""
        super().check(seen)
        for name in (seen.gate, self.apart):
            if seen.groups.count(name) != 1:
                raise KindError(f"the gate must see one expert of `{name}`", at=("sees",), help="write `sees: all`")
        own, apart = (_units(seen, name) for name in (seen.gate, self.apart))
        if self.of == "weights" and (own != apart or not own):
            raise KindError(
                f"`{seen.gate}` has layers of {list(own)}, `{self.apart}` of {list(apart)}; weights do not compare",
                at=("apart",), help="give both expert groups the same `units`",
            )  # fmt: skip

    def lower(self, at: Scope, gate: GateInputs) -> Value:
        """`[E]`, or `[B, E]` with a selector."""
        own, apart = (gate.seen.groups.index(name) for name in (gate.seen.gate, self.apart))
        if self.of == "weights":
            pairs = [matrices(at, gate.names[own]), matrices(at, gate.names[apart])]
        else:
            pairs = [[gate.experts[own]], [gate.experts[apart]]]
        overlaps = [at.apply("sluice:overlap", *pair, shape=()) for pair in zip(*pairs, strict=True)]
        for overlap in overlaps:
            at.auxiliary_loss(at.scale(overlap, self.penalty))
        return super().lower(at, gate)


def _units(seen: Seen, name: str) -> tuple[int, ...]:
    """The sizes of an expert's hidden layers; empty if its kind has no such layers."""
    units: tuple[int, ...] = getattr(seen.settings[seen.groups.index(name)], "units", ())
    return units


def matrices(at: Scope, expert: str) -> list[Value]:
    """The weight matrices of an expert's hidden layers, `[H, D]` each."""
    hidden = re.compile(r"level\d+\.experts\.\w+\.\d+\.layers\.\d+\.weight")
    return [w for name, w in at.weights_of(expert).items() if hidden.fullmatch(name)]


def overlap(own: Tensor, apart: Tensor) -> Tensor:
    """||own^T apart||_F^2: `[H, D]`, `[H, C]` -> `[]`."""
    return (own.T @ apart).square().sum()
