"""DeepSeekMoE (2401.06066) with the balance of DeepSeek-V3 (2412.19437, section 2.1.2) that needs no loss.

Experts of the group `always` have weight 1 for every row. The others have affinities s_i = sigmoid(W x)_i; the k with
the largest s_i + b_i are chosen and weighted by s_i / sum of the chosen s. After each training pass b_i += update *
sign(mean load - load_i), where the load is the number of rows of the batch that chose i. b only affects which experts
are chosen: it has no gradient, and the weights depend only on s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from archspec import GateKind, KindError, gate
from archspec.contract.settings import Count, NotNegative
from archspec.program import Init, Rows

if TYPE_CHECKING:
    from torch import Tensor

    from archspec.program import GateInputs, Scope, Seen, TrainedGate, Value


@gate("deepseek_moe")
class DeepSeekMoE(GateKind):
    """Shared experts for all rows, the best k of the others for each."""

    paper: ClassVar[str] = "2401.06066; 2412.19437, section 2.1.2"
    formula: ClassVar[str] = "1 for `always`; s_i / sum of the chosen s for the k largest sigmoid(W x)_i + b_i, else 0"
    title: ClassVar[str] = "shared + top-k"
    k: Count
    always: str = "shared"
    """The expert group that every row uses."""
    update: NotNegative = 0.001
    """Step of the biases b."""

    def check(self, seen: Seen) -> None:
        """Raises KindError if there is no selector, or fewer than k experts to choose from."""
        routed = seen.count - seen.groups.count(self.always)
        if seen.selector is None:
            raise KindError("a router needs a selector", at=("selector",), help="drop `selector: none`")
        if not 1 <= self.k <= routed:
            raise KindError(f"`k: {self.k}` of {routed} routed experts", at=("k",), help=f"write 1 to {routed}")

    def lower(self, at: Scope, gate: GateInputs) -> Value:
        """`[B, D] -> [B, E]`."""
        assert gate.selector is not None
        always = tuple(group == self.always for group in gate.seen.groups)
        routed = always.count(False)
        affinity = at.activation(at.linear(gate.selector, routed, "head", bias=False), "sigmoid")
        bias = at.parameter("bias", (routed,), Init("constant", 0.0), trainable=False)
        return at.apply(
            "deepseek_moe:route", affinity, bias, shape=("B", len(always)),
            always=always, k=self.k, update=self.update, training=True,
        )  # fmt: skip

    def entering(self, seen: Seen, trained: TrainedGate, share: float) -> dict[str, Rows] | str:
        """Not chosen at first: s is below 1, and b more than 1 below those of all others; `update` then raises b.

        Experts that are added to `always` have weight 1 in every row.
        """
        if not isinstance(trained.settings, DeepSeekMoE):
            return "its kind was another one"
        always = trained.settings.always
        routed = [place for place, group in enumerate(trained.seen.groups) if group != always]
        rows = tuple(
            routed.index(place) if place in routed else -1
            for place, group in zip(trained.places, seen.groups, strict=True) if group != self.always
        )  # fmt: skip
        known = len(rows) - rows.count(-1)
        why = ""
        if any(place < 0 and group == self.always for place, group in zip(trained.places, seen.groups, strict=True)):
            why = f"experts that are added to `{self.always}` have weight 1 in every row"
        elif known < self.k:
            why = f"`k: {self.k}` is more than the {known} trained experts, so added ones are chosen in every row"
        elif not self.update:
            why = "without `update`, the biases never change, so added experts start like an average one"
        waits = known >= self.k and self.update > 0
        bias = Rows("min", -1.01, rows) if waits else Rows("mean", 0.0, rows)
        return {"head.weight": Rows("mean", 0.0, rows, why), "bias": bias}

    def chosen(self, seen: Seen) -> int:
        """The experts of `always`, plus k."""
        return seen.groups.count(self.always) + self.k

    def detail(self) -> str:
        """k."""
        return f"k = {self.k}"


def route(affinity: Tensor, bias: Tensor, always: tuple[bool, ...], k: int, update: float, training: bool) -> Tensor:  # noqa: FBT001, PLR0913, PLR0917 - the module's mode, the kind's settings
    """Affinities `[B, routed]`, biases `[routed]` (changed in training) -> weights `[B, E]`."""
    import torch

    chosen = (affinity.detach() + bias).topk(k, dim=-1).indices
    gates = torch.zeros_like(affinity).scatter(-1, chosen, affinity.gather(-1, chosen))
    columns = iter((gates / gates.sum(-1, keepdim=True)).unbind(-1))
    if training:
        load = torch.zeros_like(bias).scatter_add(
            0, chosen.flatten(), torch.ones_like(chosen, dtype=bias.dtype).flatten()
        )
        bias += update * (load.mean() - load).sign()
    return torch.stack([torch.ones_like(affinity[:, 0]) if shared else next(columns) for shared in always], dim=-1)
