"""SMES (Zhang et al., Kuaishou, 2026, arXiv 2602.09386): sparse experts that tasks choose partly together.

Task t has logits z_t over all experts, p_t = softmax z_t. For each row, the tasks choose `shared` experts together, S
= the largest of sum_t w_t p_t, and each task chooses `own` experts more, A_t = the largest of z_t outside S. A task's
weights are a softmax of z_t over S and A_t, and 0 elsewhere, so a row runs at most shared + tasks * own experts. With
`balance`, each gate adds balance (E / K) sum_e f_e p_te / T in training, in sum balance (E / K) sum_e f_e p_e, which
is `balance` if the load is even: f_e is the mean number of choices of e over rows and tasks, K = shared + own, and
p_e the mean probability.

Each router is an expert group, a layer of as many units as there are experts, so that a gate can read those of the
other tasks: `selector` is the gate's own, `routers` lists all of them. Logits in `routers` only choose experts and
get no gradient; write `{detach: [...]}`, so that the graph knows. Chosen here: the w_t are settings, 1 by default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from archspec import GateKind, KindError, Reference, gate
from archspec.contract.settings import Count, NotNegative

if TYPE_CHECKING:
    from torch import Tensor

    from archspec.program import GateInputs, Scope, Seen, Value


@gate("smes")
class Smes(GateKind):
    """A softmax over experts that all tasks chose and over the task's own choice."""

    paper: ClassVar[str] = "Zhang et al., Kuaishou, 2026, arXiv 2602.09386"
    formula: ClassVar[str] = "softmax of z_t over S = top(sum_t w_t softmax z_t) and A_t = top(z_t outside S)"
    title: ClassVar[str] = "SMES"
    adds_up: ClassVar[bool] = True
    routers: Reference
    """The logits of all tasks, side by side."""
    shared: Annotated[int, Field(ge=0)] = 1
    """How many experts the tasks choose together."""
    own: Count = 1
    """How many experts the task chooses in addition."""
    weights: tuple[NotNegative, ...] = ()
    """The w_t, in the order of `routers`; none: all 1."""
    balance: NotNegative = 0.0

    def check(self, seen: Seen) -> None:
        """Raises KindError if the selector is no logits, or there are fewer experts than choices."""
        if seen.selector != seen.count:
            given = "nothing" if seen.selector is None else f"{seen.selector} numbers"
            raise KindError(
                f"the selector gives {given} for {seen.count} experts seen", at=("selector",),
                help=f"let it name an expert group with `units: [{seen.count}], activation: none`",
            )  # fmt: skip
        if self.shared + self.own > seen.count:
            raise KindError(
                f"chooses {self.shared} + {self.own} of {seen.count} experts", at=("own",), help="choose fewer"
            )

    def lower(self, at: Scope, gate: GateInputs) -> Value:
        """Logits `[B, E]` -> weights `[B, E]`."""
        assert gate.selector is not None
        count, routers = gate.seen.count, at.read(self.routers)
        tasks = routers.width // count
        if routers.width % count or (self.weights and len(self.weights) != tasks):
            raise KindError(
                f"`routers` gives {routers.width} logits for {count} experts and {len(self.weights)} weights",
                at=("weights" if self.weights and not routers.width % count else "routers",),
                help="name one router per task, and a weight for each or none",
            )  # fmt: skip
        chosen = at.apply(
            "smes:choose", gate.selector, routers,
            shared=self.shared, own=self.own, weights=self.weights or (1.0,) * tasks,
        )  # fmt: skip
        if self.balance:
            loss = at.apply(
                "smes:unevenness", gate.selector, routers, shape=(), shared=self.shared, own=self.own,
                weights=self.weights or (1.0,) * tasks,
            )  # fmt: skip
            at.auxiliary_loss(at.scale(loss, self.balance))
        return at.apply("smes:weigh", gate.selector, chosen)

    def chosen(self, seen: Seen) -> int:
        """The shared experts and the task's own."""
        return self.shared + self.own

    def detail(self) -> str:
        """How many experts are chosen."""
        return f"{self.shared} + {self.own}"


def choose(logits: Tensor, routers: Tensor, shared: int, own: int, weights: tuple[float, ...]) -> Tensor:
    """A task's logits `[B, E]`, those of all tasks `[B, T E]` -> 1 for each expert chosen, else 0, `[B, E]`."""
    import torch

    count = logits.shape[-1]
    p_BTE = routers.detach().unflatten(-1, (len(weights), count)).softmax(-1)
    together = (p_BTE * p_BTE.new_tensor(weights).unsqueeze(-1)).sum(-2)
    chosen = torch.zeros_like(together).scatter(-1, together.topk(shared, dim=-1).indices, 1.0)
    others = logits.detach().masked_fill(chosen == 1, float("-inf"))
    return chosen.scatter(-1, others.topk(own, dim=-1).indices, 1.0)


def weigh(logits: Tensor, chosen: Tensor) -> Tensor:
    """The softmax over the chosen experts, 0 elsewhere: `[B, E]`, `[B, E]` -> `[B, E]`."""
    return logits.masked_fill(chosen == 0, float("-inf")).softmax(-1)


def unevenness(logits: Tensor, routers: Tensor, shared: int, own: int, weights: tuple[float, ...]) -> Tensor:
    """(E / K) sum_e f_e p_te / T, `[]`: a task's part of what is 1 if the load of all tasks is even; 0 for no rows."""
    count, tasks, rows = logits.shape[-1], len(weights), max(len(logits), 1)
    each = [choose(part, routers, shared, own, weights) for part in routers.unflatten(-1, (tasks, count)).unbind(-2)]
    shares = sum(part.sum(0) for part in each) / (rows * tasks)
    return count / (shared + own) * (shares * logits.softmax(-1).sum(0) / rows).sum() / tasks
