"""Several optimizers as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

from archspec.train.table_optimizer import loss_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class CombinedOptimizer(Optimizer):
    """Optimizers that make one step together, such as AdamW for dense gradients and SparseAdam for sparse ones.

        CombinedOptimizer([AdamW(dense, lr=1e-3), SparseAdam(sparse, lr=1e-2)])

    For a training loop it is a single optimizer: schedulers, gradient scalers and clipping see the parameter groups of
    all parts, and a checkpoint contains one state. A step equals the steps of the parts, one after another,
    which use the state of the whole.

    Args:
        parts: the optimizers; none may have a parameter of another.

    Raises:
        ValueError: there are no parts, or a parameter is in two of them.
    """

    def __init__(self, parts: Sequence[Optimizer]) -> None:
        self.parts = tuple(parts)
        # The groups are the same objects as those of the parts, so a rate that is set here is set there.
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        for part in self.parts:
            self.state.update(part.state)
        self._share()

    def _share(self) -> None:
        """Makes the parts use the state and the groups of the whole."""
        start = 0
        for part in self.parts:
            end = start + len(part.param_groups)
            part.__setstate__({"state": self.state, "param_groups": self.param_groups[start:end]})
            start = end

    def __getstate__(self) -> dict[str, Any]:
        """What a copy consists of."""
        return {**super().__getstate__(), "parts": self.parts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Replaces the state and the groups; torch calls it when it loads a state."""
        super().__setstate__(state)
        self._share()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group of a part. Raises TypeError once there are parts: it is unknown which of them it would join."""
        if len(self.param_groups) >= sum(len(part.param_groups) for part in self.parts):
            raise TypeError("a CombinedOptimizer takes no further groups: add them to one of its optimizers first")
        super().add_param_group(param_group)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override] # as in torch
        """Makes one step of each part; returns the closure's loss, if there is one."""
        loss = loss_of(closure)
        for part in self.parts:
            part.step()
        return loss


def combined(made: Sequence[Optimizer]) -> Optimizer:
    """The only optimizer, or several as one."""
    return made[0] if len(made) == 1 else CombinedOptimizer(made)


def joined_states(checkpoint: dict[str, Any]) -> None:
    """Joins the states of several optimizers in a checkpoint of an earlier version, which trained them separately.

    Lightning counted a step of each optimizer: its counter becomes that of the combined one.
    """
    states = checkpoint.get("optimizer_states", [])
    if len(states) < 2:  # noqa: PLR2004 - several
        return
    whole: dict[str, Any] = {"state": {}, "param_groups": []}
    start = 0
    for state in states:
        whole["state"] |= {start + index: value for index, value in state["state"].items()}
        groups = [{**group, "params": [start + index for index in group["params"]]} for group in state["param_groups"]]
        whole["param_groups"] += groups
        start += sum(len(group["params"]) for group in groups)
    checkpoint["optimizer_states"] = [whole]
    loop = checkpoint.get("loops", {}).get("fit_loop", {})
    counted = loop.get("epoch_loop.manual_optimization.optim_step_progress", {})
    for span, counts in counted.items():
        steps = loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"][span]
        steps.update({name: count // len(states) for name, count in counts.items()})
