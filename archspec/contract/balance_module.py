"""The base class of the modules that kinds of balance build. It imports torch: import it where `build` runs."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from archspec.contract.checks import wrong_arguments


class BalanceModule(nn.Module):
    """Combines the weighted losses of tasks `[T]` into one loss `[]`; a subclass overrides `forward`.

    `counted`, bool `[T]`, says which tasks have rows in the batch: the loss of a task without rows is 0, which measures
    nothing. Keep state in buffers; `step` and `epoch` may change them, `forward` may not.
    """

    def __init_subclass__(cls, **options: Any) -> None:  # noqa: ANN401 - Python's signature
        """Raises TypeError if a subclass overrides a method with other arguments."""
        super().__init_subclass__(**options)
        for name in ("forward", "step", "epoch", "aggregate"):
            if problem := wrong_arguments(name, getattr(cls, name), getattr(BalanceModule, name)):
                raise TypeError(f"{cls.__name__}: {problem}")

    def forward(self, losses: Tensor, counted: Tensor) -> Tensor:
        """Returns the total `[]` of the losses `[T]`."""
        raise NotImplementedError

    def step(self, losses: Tensor, counted: Tensor, jacobian: Tensor) -> None:
        """Called after `forward` in each step of training, without a gradient; by default does nothing.

        Args:
            losses: the weighted losses `[T]`.
            counted: bool `[T]`.
            jacobian: the gradients `[T, N]` of the losses, on the weights that the kind's class variable `gradients`
                names; `[T, 0]` if it is "none".
        """

    def epoch(self) -> None:
        """Called after each epoch; by default does nothing."""

    def aggregate(self, jacobian: Tensor) -> Tensor:
        """The gradient `[N]` of the weights that tasks share, if the class variable `gradients` is "shared".

        It replaces that of the total; all other weights have the gradient of the total. By default it is the sum.

        Args:
            jacobian: the gradients `[K, N]` of the tasks that have one, K >= 1.
        """
        return jacobian.sum(0)
