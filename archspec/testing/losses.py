"""Checks of losses and balances, which are plain torch code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from archspec.compiler.compile import compile as compiled
from archspec.contract import LossKind, overrides
from archspec.contract.calls import ask
from archspec.testing.running import Tensors, checked, difference, failing_with, state
from archspec.testing.tiny import Tiny, tiny_spec
from archspec.train.criterion import MultiTaskLoss

if TYPE_CHECKING:
    from torch import Tensor

    from archspec.contract import TaskKind
    from archspec.contract.balance_module import BalanceModule

ROWS = 7
TASKS = ("one", "two", "three")


def check_loss(tiny: Tiny, *, gradcheck: bool) -> None:
    """Checks that a loss returns one finite number per row, has right gradients, and works in the criterion.

    Raises:
        AssertionError: it does not.
    """
    spec = tiny_spec(tiny)
    settings: Any = tiny.settings_in(spec)
    task = spec.tasks["one"]
    for rows in (ROWS, 1, 0):
        outputs, batch = loss_batch(tiny, task.settings, rows)
        with failing_with(tiny, f"a batch of {rows} rows"):
            made = _losses(settings, outputs, batch)
            again = _losses(settings, outputs, batch)
        assert tuple(made.shape) == (rows,), (
            f"{tiny.label}: expected one loss per row, [{rows}], got {list(made.shape)}"
        )
        assert made.isfinite().all(), f"{tiny.label}: expected finite losses, got {made.tolist()}"
        assert torch.equal(made, again), f"{tiny.label}: expected a second call to return the same losses"
    outputs, batch = loss_batch(tiny, task.settings, ROWS)
    if gradcheck:
        checked(tiny, lambda value: _losses(settings, {**outputs, "one": value}, batch), [outputs["one"]])
    _compiled_loss(tiny, settings, outputs, batch)
    with failing_with(tiny, "MultiTaskLoss with it"):
        model = compiled(tiny_spec(tiny), seed=0).double()
        total, _ = MultiTaskLoss(model)(model(batch), batch)
        torch.autograd.backward(total)
    assert total.isfinite(), f"{tiny.label}: expected a finite loss from MultiTaskLoss"


def check_balance(tiny: Tiny) -> None:
    """Checks that a balance returns one finite number with gradients, and has state only in buffers.

    Only `step` and `epoch` may change the buffers. Raises AssertionError.
    """
    settings: Any = tiny.settings_in(tiny_spec(tiny))
    with failing_with(tiny, "`build`"):
        modules = []
        for _ in range(2):
            torch.manual_seed(0)
            modules.append(ask(settings, "build", TASKS).double())
    balance, twin = modules
    assert (found := difference(state(balance), state(twin), 0.0)) is None, (
        f"{tiny.label}: expected `build` to return the same module with the same seed; {found}"
    )
    losses = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64, requires_grad=True)
    before = state(balance)
    every = torch.ones(len(TASKS), dtype=torch.bool)
    with failing_with(tiny, "`forward` of three losses"):
        totals = [balance(losses, every) for _ in range(2)]
    assert tuple(totals[0].shape) == (), f"{tiny.label}: expected one loss, [], got {list(totals[0].shape)}"
    assert totals[0].isfinite(), f"{tiny.label}: expected a finite loss, got {totals[0].item()}"
    assert torch.equal(*totals), f"{tiny.label}: expected a second call to return the same loss"
    assert (found := difference(state(balance), before, 0.0)) is None, (
        f"{tiny.label}: expected `forward` to change nothing (`step` may); {found}"
    )
    checked(tiny, lambda value: balance(value, every), [losses])
    _steps(tiny, balance, losses.detach())
    for there in ([True, True, True], [False, True, True], [False, False, False]):
        counted = torch.tensor(there)
        total = balance(losses * counted, counted)
        assert total.isfinite(), f"{tiny.label}: after a step the loss is not finite if {sum(there)} tasks have rows"


def _steps(tiny: Tiny, balance: BalanceModule, losses: Tensor) -> None:
    """Calls what the class variable `gradients` requires: `step` with or without gradients, or `aggregate`."""
    wanted = tiny.cls.gradients
    jacobian = torch.randn(len(TASKS), 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    if wanted == "shared":
        for rows in (len(TASKS), 1):  # the tasks that have a gradient
            with failing_with(tiny, f"`aggregate` of gradients [{rows}, 4]"):
                made = balance.aggregate(jacobian[:rows])
            assert tuple(made.shape) == (4,), (
                f"{tiny.label}: expected `aggregate` to return [4], got {list(made.shape)}"
            )
    with failing_with(tiny, "`step` and `epoch`"), torch.no_grad():
        for there in ([True, True, True], [True, False, True], [False, False, False]):
            counted = torch.tensor(there)
            read = jacobian if wanted != "none" else jacobian[:, :0]
            balance.step(losses * counted, counted, read * counted[:, None])
            balance.epoch()


def _losses(settings: Any, outputs: Tensors, batch: Tensors) -> Tensor:  # noqa: ANN401 - settings of any loss
    """The losses of the rows, computed by the method that the kind defines."""
    method, arguments = _method(settings, outputs, batch)
    made: Tensor = method(*arguments)
    return made


def _method(settings: Any, outputs: Tensors, batch: Tensors) -> tuple[Any, tuple[Any, ...]]:  # noqa: ANN401 - settings of any loss
    """The method that a loss defines, and its arguments."""
    own = outputs["one"], batch["one"]
    if overrides(settings, LossKind.joint):
        return settings.joint, (*own, outputs, batch)
    if overrides(settings, LossKind.within):
        groups = batch[settings.group]
        return settings.within, (*own, groups, torch.ones_like(groups, dtype=torch.bool))
    return settings.rows, own


def _compiled_loss(tiny: Tiny, settings: Any, outputs: Tensors, batch: Tensors) -> None:  # noqa: ANN401 - settings of any loss
    method, arguments = _method(settings, outputs, batch)
    torch.compiler.reset()
    with failing_with(tiny, "torch.compile(fullgraph=True)"):
        compiled_method: Any = torch.compile(method, fullgraph=True, backend="aot_eager")
        found = compiled_method(*arguments)
    torch.compiler.reset()
    assert torch.allclose(found, method(*arguments)), f"{tiny.label}: expected torch.compile to keep the losses"


def loss_batch(tiny: Tiny, kind: TaskKind, rows: int) -> tuple[Tensors, Tensors]:
    """Outputs that require gradients, and a batch with the columns that the model and the losses read."""
    generator = torch.Generator().manual_seed(rows)

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=generator, dtype=torch.float64)

    outputs = {name: normal(rows).requires_grad_() for name in ("two", "three")}
    count, classes = kind.outputs(), kind.class_count()
    outputs["one"] = (normal(rows) if count == 1 else normal(rows, count)).requires_grad_()
    if classes is not None:
        drawn = torch.randint(classes, (rows,), generator=generator)
        label = drawn if kind.whole else drawn.double()
    else:
        label = normal(rows) if kind.lowest is None else kind.lowest + normal(rows).clamp_min(0)
    batch = {
        "x": normal(rows, tiny.width),
        "y": normal(rows, 4),
        "scene": torch.randint(2, (rows,), generator=generator),
    }
    two = torch.randint(2, (rows,), generator=generator).double()
    return outputs, {**batch, "one": label, "two": two}
