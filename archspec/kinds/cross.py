"""Cross networks: every layer multiplies by the input again (DCN-V2, GDCN)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from archspec.contract import ExpertKind, Width, expert
from archspec.contract.limits import MOST_LAYERS
from archspec.contract.settings import Count
from archspec.kinds.blocks import FinalLayers

if TYPE_CHECKING:
    from archspec.program import Scope, Value


@expert("cross")
class Cross(FinalLayers, ExpertKind):
    """Explicit feature crosses, one degree higher with each layer, then `units`: DCN-V2; GDCN with `gated: true`.

    Layer l computes x_(l+1) from its input x_l and from x_0, the input of the expert.
    """

    title: ClassVar[str] = "cross"
    paper: ClassVar[str] = "DCN-V2 (2008.13535); GDCN (Wang et al., CIKM 2023)"
    formula: ClassVar[str] = "x_(l+1) = x_0 * (W_l x_l + b_l) + x_l, W_l = U_l V_l with rank; gated: * sigmoid(G_l x_l)"

    layers: Annotated[int, Field(ge=1, le=MOST_LAYERS)] = 3
    """Number of cross layers; the highest degree is one more."""
    rank: Count | None = None
    """Rank of W_l = U_l V_l; None: one full matrix W_l."""
    gated: bool = False
    """Whether each cross is multiplied by sigmoid(G_l x_l) before x_l is added."""

    def width(self, input: Width) -> Width:
        """The last of `units`, or the input's width if there are none."""
        return self.units[-1] if self.units else input

    def lower(self, at: Scope, x: Value) -> Value:
        """`[B, D] -> [B, width]`."""
        h = x
        for index in range(self.layers):
            h = at.sum(self._cross(at, x, h, f"cross.{index}"), h)
        return self.final(at, h)

    def _cross(self, at: Scope, x: Value, h: Value, name: str) -> Value:
        """x_0 times a linear layer of x_l, `[B, D]`; the bias b_l belongs to W_l, or to U_l."""
        if self.rank is None:
            crossed = at.linear(h, x.width, f"{name}.linear")
        else:
            crossed = at.linear(at.linear(h, self.rank, f"{name}.down", bias=False), x.width, f"{name}.up")
        if not self.gated:
            return at.product(x, crossed)
        return at.product(x, crossed, at.activation(at.linear(h, x.width, f"{name}.gate", bias=False), "sigmoid"))

    def detail(self) -> str:
        """Layers and rank, then the final layers, such as `3 x rank 32, 64`."""
        rank = f" x rank {self.rank}" if self.rank else " layers" if self.layers > 1 else " layer"
        return ", ".join([f"{self.layers}{rank}{', gated' if self.gated else ''}", *map(str, self.units)])
