"""MaskNet: the input of a layer is multiplied by a mask that is computed from the block's input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from archspec.contract import ExpertKind, KindError, Width, expert
from archspec.contract.settings import Count, Units
from archspec.kinds.blocks import FinalLayers

if TYPE_CHECKING:
    from archspec.program import Scope, Value


@expert("mask")
class Mask(FinalLayers, ExpertKind):
    """MaskNet: blocks of a masked linear layer with layer norm and ReLU, in parallel or in series, then `units`.

    A block multiplies h by the mask W2 relu(W1 x + b1) + b2 before its linear layer W3.
    """

    title: ClassVar[str] = "MaskNet"
    paper: ClassVar[str] = "MaskNet (2102.07619)"
    formula: ClassVar[str] = "block(h) = relu(LN(W3 ((W2 relu(W1 x + b1) + b2) * h))); the first h is LN(x)"

    blocks: Annotated[Units, Field(min_length=1)]
    """Output widths of the blocks."""
    form: Literal["parallel", "serial"] = "parallel"
    """`parallel`: every block masks LN(x); the outputs are concatenated. `serial`: each masks the previous output."""
    reduction: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Width of the mask's hidden layer, as a multiple of the width of what it masks."""
    fields: Count | None = None
    """Number of equal parts of x that each have their own layer norm, as in the paper; None: one norm over all of x."""

    def width(self, input: Width) -> Width:
        """The last of `units`; without them the width of the last block, or the sum over all parallel blocks."""
        if self.fields is not None and input % self.fields:
            raise KindError(
                f"its input is {input} wide, which is not a multiple of `fields: {self.fields}`", at=("fields",),
                help="set `fields` to the number of inputs if all have the same width, or remove it",
            )  # fmt: skip
        if self.units:
            return self.units[-1]
        return self.blocks[-1] if self.form == "serial" else sum(self.blocks)

    def lower(self, at: Scope, x: Value) -> Value:
        """`[B, D] -> [B, width]`."""
        h = self._normed(at, x)
        if self.form == "parallel":
            found = [self._block(at.child(f"blocks.{i}"), x, h, size) for i, size in enumerate(self.blocks)]
            return self.final(at, at.concat(*found))
        for index, size in enumerate(self.blocks):
            h = self._block(at.child(f"blocks.{index}"), x, h, size)
        return self.final(at, h)

    def _normed(self, at: Scope, x: Value) -> Value:
        """Layer norm of x, or of each of its fields, `[B, D]`."""
        if self.fields is None:
            return at.norm(x, "layer", "norm", eps=self.eps)
        size = x.width // self.fields
        parts = [at.slice(x, i * size, (i + 1) * size) for i in range(self.fields)]
        return at.concat(*(at.norm(part, "layer", f"fields.{i}", eps=self.eps) for i, part in enumerate(parts)))

    def _block(self, at: Scope, x: Value, h: Value, size: int) -> Value:
        """One block: the mask from x times h, a linear layer, layer norm, ReLU; `[B, size]`."""
        hidden = at.activation(at.linear(x, max(1, int(h.width * self.reduction)), "aggregate"), "relu")
        masked = at.product(at.linear(hidden, h.width, "project"), h)
        return at.activation(
            at.norm(at.linear(masked, size, "hidden", bias=False), "layer", "norm", eps=self.eps), "relu"
        )

    def idle(self) -> dict[tuple[str | int, ...], str]:
        """As for the final layers, except `eps`, which the norms of the blocks always use."""
        return {path: reason for path, reason in super().idle().items() if path != ("eps",)}

    def detail(self) -> str:
        """Form and sizes, such as `parallel 64, 64 > 32`."""
        final = f" > {', '.join(map(str, self.units))}" if self.units else ""
        return f"{self.form} {', '.join(map(str, self.blocks))}{final}"
