"""Checks of kinds of tasks: predictions, labels, the default loss, metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from archspec.compiler.compile import compile as compiled
from archspec.testing.losses import loss_batch
from archspec.testing.running import checked, failing_with
from archspec.testing.tiny import Tiny, tiny_spec
from archspec.train.criterion import MultiTaskLoss
from archspec.train.rows import predictions

if TYPE_CHECKING:
    from torch import Tensor

    from archspec.contract import TaskKind

ROWS = 7


def check_task(tiny: Tiny, *, gradcheck: bool) -> None:
    """Checks predictions, the default loss, and the names of metrics. Raises AssertionError."""
    spec = tiny_spec(tiny)
    kind: Any = spec.tasks["one"].settings
    for optimize in (False, True):
        with failing_with(tiny, "a model with a task of the kind"):
            model: Any = compiled(spec, optimize=optimize, seed=0).double()
            _predicts(tiny, kind, model)
    outputs, batch = loss_batch(tiny, kind, ROWS)
    criterion = MultiTaskLoss(spec)

    def loss(value: Tensor) -> Tensor:
        parts: dict[str, Tensor] = criterion({**outputs, "one": value}, batch)[1]
        return parts["one"]

    with failing_with(tiny, "its default loss"):
        value = loss(outputs["one"])
    assert value.isfinite(), f"{tiny.label}: expected a finite loss of legal labels, got {value.item()}"
    if gradcheck:
        checked(tiny, loss, [outputs["one"]])
    _measures(tiny, kind)


def _predicts(tiny: Tiny, kind: TaskKind, model: Any) -> None:  # noqa: ANN401 - a compiled model
    """Checks the shapes of outputs and predictions, and that the model predicts the same as the score function."""
    for rows in (ROWS, 1, 0):
        _, batch = loss_batch(tiny, kind, rows)
        outputs, scores = model(batch)["one"], model.predict(batch)["one"]
        count = kind.outputs()
        wanted = (rows,) if count == 1 else (rows, count)
        made = list(outputs.shape)
        assert made == list(wanted), f"{tiny.label}: expected outputs {list(wanted)}, got {made}"
        wanted = (rows, count) if kind.output == "multiclass" else (rows,)
        assert tuple(scores.shape) == wanted, (
            f"{tiny.label}: its output is {kind.output}, so predictions are {list(wanted)}; got {list(scores.shape)}"
        )
        assert torch.allclose(scores, predictions(kind, outputs)), (
            f"{tiny.label}: `score` returns other predictions than the model"
        )
        if kind.output == "binary":
            assert ((scores >= 0) & (scores <= 1)).all(), f"{tiny.label}: a binary prediction is outside 0..1"


def _measures(tiny: Tiny, kind: TaskKind) -> None:
    """Checks the names of metrics, if Lightning and torchmetrics are installed."""
    try:
        from archspec.lightning.metrics import METRICS
    except ModuleNotFoundError:
        return
    unknown = [name for name in kind.metrics if name not in METRICS]
    assert not unknown, f"{tiny.label}: there is no metric {unknown[0]!r}; known: {', '.join(METRICS)}"
