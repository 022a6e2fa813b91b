"""The base class of the modules that kinds of balance build."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from archspec import BalanceModule


class Sum(BalanceModule):
    """Has only the required method."""

    def forward(self, losses: Tensor, counted: Tensor) -> Tensor:
        """Adds the losses."""
        return losses.sum()


def test_only_forward_is_needed() -> None:
    """With `forward` alone, steps and epochs change nothing, and gradients are added."""
    module = Sum()
    losses, counted = torch.tensor([1.0, 2.0]), torch.tensor([True, True])
    assert module(losses, counted) == 3
    module.step(losses, counted, torch.ones(2, 0))
    module.epoch()
    assert module.state_dict() == {}
    assert module.aggregate(torch.tensor([[1.0, 2.0], [3.0, 4.0]])).tolist() == [4, 6]


def test_forward_is_needed() -> None:
    """`forward` of the base class raises an error."""
    with pytest.raises(NotImplementedError):
        BalanceModule()(torch.ones(2), torch.ones(2).bool())


@pytest.mark.parametrize(
    ("method", "arguments", "called"),
    [
        ("forward", "losses", "losses, counted"),
        ("step", "losses", "losses, counted, jacobian"),
        ("step", "losses, jacobian, counted", "losses, counted, jacobian"),
        ("epoch", "losses", ""),
        ("aggregate", "", "jacobian"),
    ],
)
def test_methods_have_the_arguments_that_are_passed(method: str, arguments: str, called: str) -> None:
    """A method with the wrong arguments is rejected when the class is defined, before it is used in training."""
    made: dict[str, object] = {}
    exec(f"def {method}(self, {arguments}): pass", made)  # noqa: S102 - written here
    with pytest.raises(TypeError, match=rf"Odd: `{method}` takes \({arguments}\), archspec calls it with \({called}\)"):
        type("Odd", (BalanceModule,), {method: made[method]})
