"""Losses and balances of plugins that return a wrong result in training: a diagnostic instead of an error of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

import archspec
from archspec import BalanceKind, BalanceModule, LossKind, SpecError, balance, loss
from tests.compiler.models import HEAD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TEXT = HEAD + (
    "inputs: {x: {kind: dense, dim: 2}}\ntasks: {t: {LOSS}, other: {}}\nlevels: [{experts: {e: {units: [2]}}}]\n"
    "towers: {t: {from: level1.experts.e}, other: {from: level1.experts.e}}\nbalance: BALANCE\n"
)
BATCH = {"x": torch.ones(3, 2), "t": torch.ones(3), "other": torch.zeros(3)}


def total(loss: str = "", balance: str = "sum", plugins: tuple[Any, ...] = ()) -> Tensor:
    """The loss of a small model on three rows."""
    model = archspec.compile(TEXT.replace("LOSS", loss).replace("BALANCE", balance), seed=0, plugins=plugins)
    found: Tensor = archspec.MultiTaskLoss(model)(model(BATCH), BATCH)[0]
    return found


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda logits, labels: (logits - labels).mean(), r"returns a tensor \[\] from"),
        (lambda logits, _: logits[:1], r"returns a tensor \[1\] from"),
        (lambda logits, _: logits.unsqueeze(-1), r"returns a tensor \[3, 1\] from"),
        (lambda *_: 0.5, "returns a `float` from"),
    ],
)
@pytest.mark.parametrize("joint", [False, True])
def test_a_loss_returns_one_number_per_row(
    answer: Callable[[Tensor, Tensor], Tensor], words: str, *, joint: bool
) -> None:
    """A mean instead of losses per row is AS502 at the loss, with its method and the required shape."""

    class Rows(LossKind):
        def rows(self, logits: Tensor, labels: Tensor) -> Tensor:
            return answer(logits, labels)

    class Joint(LossKind):
        def joint(
            self, logits: Tensor, labels: Tensor, outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor]
        ) -> Tensor:
            return answer(logits, labels)

    method = "joint" if joint else "rows"
    with pytest.raises(SpecError, match=rf"AS502.*task `t`.*{words} `{method}`, which must be one loss per row, \[3\]"):
        total("loss: odd", plugins=(loss("odd")(Joint if joint else Rows),))


def test_a_balance_returns_one_number() -> None:
    """A balance that returns separate losses, or a Python number, is AS502."""

    class Apart(BalanceKind):
        def build(self, tasks: tuple[str, ...]) -> BalanceModule:
            class Each(BalanceModule):
                def forward(self, losses: Tensor, counted: Tensor) -> Tensor:
                    return losses

            return Each()

    with pytest.raises(SpecError, match=r"AS502.*`odd`.*whose `forward` returns a tensor \[2\], which must be \[\]"):
        total(balance="odd", plugins=(balance("odd")(Apart),))


def test_an_aggregated_gradient_has_the_shape_of_one() -> None:
    """An aggregated gradient of a wrong length is AS502 instead of an error of torch."""

    class Halved(BalanceKind):
        gradients = "shared"

        def build(self, tasks: tuple[str, ...]) -> BalanceModule:
            class Half(BalanceModule):
                def forward(self, losses: Tensor, counted: Tensor) -> Tensor:
                    return losses.sum()

                def aggregate(self, jacobian: Tensor) -> Tensor:
                    return jacobian.sum(0)[::2]

            return Half()

    with pytest.raises(SpecError, match=r"AS502.*whose `aggregate` returns a tensor \[3\], which must be \[6\]"):
        total(balance="odd", plugins=(balance("odd")(Halved),))
