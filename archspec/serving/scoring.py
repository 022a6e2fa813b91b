"""A model's `predict` as a module for exporters: from a batch to scores by name, and gates if requested."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.nn.module import Compiled


class Scoring(nn.Module):
    """Scores by name for a batch, and with `gates` the weights of every gate by its canonical name.

    Args:
        model: a compiled model; its checks of batches are turned off.
        names: the outputs, in their order.
        gates: whether the gates' weights are outputs, after the others.
    """

    def __init__(self, model: Compiled, names: tuple[str, ...], *, gates: bool = False) -> None:
        super().__init__()
        self.model = model.eval()
        model.check_inputs = False
        self.names, self.gates = names, gates
        self._predict = inspect.unwrap(type(model).predict)  # exporters turn gradients off themselves

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The scores, `[B]` or `[B, classes]`; the weights of a gate, `[B, experts seen]`."""
        weights: dict[str, Tensor] = {}
        caller: Any = _Watched(self.model, weights) if self.gates else self.model
        scores = self._predict(caller, batch)
        return {name: scores[name] for name in self.names} | weights


class _Watched:
    """The model as seen by `predict`; its forward pass also keeps the weights of gates."""

    def __init__(self, model: nn.Module, weights: dict[str, Tensor]) -> None:
        self._model, self._weights = model, weights

    def __call__(self, batch: Mapping[str, Tensor]) -> Any:  # noqa: ANN401 - as the model's
        return self._model(batch, self._weights)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever `predict` reads
        return getattr(self._model, name)
