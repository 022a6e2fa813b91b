"""The test kit accepts kinds that meet their contract, and reports each violation with file and line."""

from __future__ import annotations

import inspect
import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from pydantic import field_validator
from torch import Tensor, nn

from archspec import BalanceKind, BalanceModule, ExpertKind, GateKind, LossKind, Width, balance, expert, gate, loss
from archspec.compiler import compile as compiling
from archspec.compiler.passes import PassResult
from archspec.program import Init
from archspec.testing import check_kind

if TYPE_CHECKING:
    from archspec.contract import KindClass
    from archspec.program import GateInputs, Program, Scope, Value

HERE = __name__


class _Double(nn.Module):
    """Twice the input's width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 2 * width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.layer(x))


class _Counting(_Double):
    """Gives another result on each call."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x) * self.calls


@expert("built_double")
class BuiltDouble(ExpertKind):
    """An opaque module that meets its contract."""

    def width(self, input: Width) -> Width:
        """Twice the input's."""
        return 2 * input

    def build(self, input: Width) -> nn.Module:
        """`[B, D] -> [B, 2 D]`."""
        return _Double(input)


@expert("built_lying")
class BuiltLying(BuiltDouble):
    """Declares a smaller width than its module has."""

    def width(self, input: Width) -> Width:
        """The input's."""
        return input


@expert("built_counting")
class BuiltCounting(BuiltDouble):
    """Its module counts its calls."""

    def build(self, input: Width) -> nn.Module:
        """`[B, D] -> [B, 2 D]`, times the number of calls."""
        return _Counting(input)


class _Remembering(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                self.scale.mul_(0.9)
        return x * self.scale


class Same(ExpertKind):
    """As wide as its input."""

    def width(self, input: Width) -> Width:
        """The input's."""
        return input

    def lower(self, at: Scope, x: Value) -> Value:
        """The input."""
        return x


@expert("training_weights")
class TrainingWeights(ExpertKind):
    """Changes trained weights in a forward pass."""

    def width(self, input: Width) -> Width:
        """The input's."""
        return input

    def build(self, input: Width) -> nn.Module:
        """`[B, D] -> [B, D]`."""
        return _Remembering(input)


@expert("lowered_lying")
class LoweredLying(ExpertKind):
    """A layer of another width than declared."""

    def width(self, input: Width) -> Width:
        """Wrong by one."""
        return input + 1

    def lower(self, at: Scope, x: Value) -> Value:
        """`[B, D] -> [B, D]`."""
        return at.linear(x, x.width, "layer")


@expert("lying_elsewhere")
class LyingElsewhere(Same):
    """Correct only for inputs of width 6."""

    def width(self, input: Width) -> Width:
        """Six."""
        return 6


@expert("wrong_shape")
class WrongShape(Same):
    """Declares that its function keeps the shape, which is wrong."""

    def lower(self, at: Scope, x: Value) -> Value:
        """`[B, D] -> [B, D - 1]`, declared as `[B, D]`."""
        return at.apply(f"{HERE}:without_last", x)


def without_last(x: Tensor) -> Tensor:
    """Without the last feature."""
    return x[:, :-1]


@expert("mixing_rows")
class MixingRows(Same):
    """Subtracts the batch's mean, in evaluation too."""

    def lower(self, at: Scope, x: Value) -> Value:
        """`[B, D] -> [B, D]`."""
        return at.apply(f"{HERE}:centred", x)


def centred(x: Tensor) -> Tensor:
    """Without the mean over rows."""
    return x - x.sum(0) / max(len(x), 1)


@expert("no_empty_batch")
class NoEmptyBatch(Same):
    """Fails for a batch without rows."""

    def lower(self, at: Scope, x: Value) -> Value:
        """`[B, D] -> [B, D]`."""
        return at.apply(f"{HERE}:reshaped", x)


def reshaped(x: Tensor) -> Tensor:
    """The same values; -1 is ambiguous in a shape with no values."""
    return x.view(len(x), -1)


@expert("noisy")
class Noisy(Same):
    """Draws random numbers in any mode."""

    def lower(self, at: Scope, x: Value) -> Value:
        """`[B, D] -> [B, D]`."""
        return at.apply(f"{HERE}:noised", x)


NOISE = torch.Generator().manual_seed(0)


def noised(x: Tensor) -> Tensor:
    """With normal noise."""
    return x + torch.randn(x.shape, generator=NOISE, dtype=x.dtype)


@expert("breaking_graphs")
class BreakingGraphs(Same):
    """Turns a tensor into a Python number, which breaks a compiled graph."""

    def lower(self, at: Scope, x: Value) -> Value:
        """`[B, D] -> [B, D]`."""
        return at.apply(f"{HERE}:printed", x)


def printed(x: Tensor) -> Tensor:
    """The same values, computed with a Python number."""
    return x * float(f"{1.0 if x.numel() == 0 or x.detach().flatten()[0].item() < 1e9 else 0.5}")


@expert("wrong_gradient")
class WrongGradient(Same):
    """Has twice the gradient of its formula."""

    def lower(self, at: Scope, x: Value) -> Value:
        """`[B, D] -> [B, D]`."""
        return at.apply(f"{HERE}:twice", x)


def twice(x: Tensor) -> Tensor:
    """The same, with twice the gradient."""
    return 2 * x - x.detach()


@expert("growing")
class Growing(Same):
    """A setting grows each time it is read."""

    size: int = 1

    @field_validator("size")
    @classmethod
    def _grown(cls, value: int) -> int:
        return value + 1


@expert("numbered")
class Numbered(Same):
    """Numbers the operations that it lowers."""

    def lower(self, at: Scope, x: Value) -> Value:
        """`[B, D] -> [B, D]`, under a new name each time."""
        return at.linear(x, x.width, f"layer{next(NUMBERS)}")


NUMBERS = itertools.count()


@expert("failing")
class Failing(Same):
    """Cannot be lowered."""

    def lower(self, at: Scope, x: Value) -> Value:
        """Raises KeyError."""
        return {"x": x}["y"]


@gate("one_too_many")
class OneTooMany(GateKind):
    """Has one weight more than experts."""

    def lower(self, at: Scope, gate: GateInputs) -> Value:
        """`[B, D] -> [B, E + 1]`."""
        assert gate.selector is not None
        return at.softmax(at.linear(gate.selector, gate.seen.count + 1, "head"))


@gate("moving_average")
class MovingAverage(GateKind):
    """State without a gradient, correctly kept in a buffer."""

    def lower(self, at: Scope, gate: GateInputs) -> Value:
        """`[B, D] -> [B, E]`."""
        assert gate.selector is not None
        logits = at.linear(gate.selector, gate.seen.count, "head")
        mean = at.parameter("mean", (gate.seen.count,), Init("constant", 0.0), trainable=False)
        return at.softmax(at.apply(f"{HERE}:follow", logits, mean, training=True))


def follow(logits: Tensor, mean: Tensor, training: bool) -> Tensor:  # noqa: FBT001 - the module's mode
    """Logits minus their mean so far, which training updates."""
    made = logits - mean
    if training:
        with torch.no_grad():
            mean.lerp_(logits.mean(0), 0.1)
    return made


@gate("even")
class Even(GateKind):
    """Its weights are returned, mixed, and penalised: three readers, two of them optional."""

    def lower(self, at: Scope, gate: GateInputs) -> Value:
        """`[B, D] -> [B, E]`."""
        assert gate.selector is not None
        weights = at.softmax(at.linear(gate.selector, gate.seen.count, "head"))
        at.auxiliary_loss(at.apply(f"{HERE}:unevenness", weights, shape=()))
        return weights


def unevenness(weights: Tensor) -> Tensor:
    """How far the mean weights are from equal, `[]`."""
    return (weights.sum(0) / max(len(weights), 1) - 1 / weights.shape[-1]).square().sum()


@gate("hiding_state")
class HidingState(GateKind):
    """Counts training passes in a global."""

    def lower(self, at: Scope, gate: GateInputs) -> Value:
        """`[B, D] -> [B, E]`."""
        assert gate.selector is not None
        logits = at.linear(gate.selector, gate.seen.count, "head")
        return at.softmax(at.apply(f"{HERE}:warmed", logits, training=True))


PASSES = [0]


def warmed(logits: Tensor, training: bool) -> Tensor:  # noqa: FBT001 - the module's mode
    """Sharper with each training pass."""
    PASSES[0] += training
    return logits * (1 + 0.1 * PASSES[0])


@loss("already_mean")
class AlreadyMean(LossKind):
    """One number for the batch."""

    def rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """`[B]`, `[B]` -> `[]`."""
        return (logits - labels).square().mean()


@balance("counting_balance")
class CountingBalance(BalanceKind):
    """Counts in forward instead of in `step`."""

    def build(self, tasks: tuple[str, ...]) -> BalanceModule:
        """Losses `[T] -> []`."""

        class Counting(BalanceModule):
            calls: Tensor

            def __init__(self) -> None:
                super().__init__()
                self.register_buffer("calls", torch.zeros(()))

            def forward(self, losses: Tensor, counted: Tensor) -> Tensor:
                self.calls = self.calls + 1
                return losses.sum()

        return Counting()


@balance("many_losses")
class ManyLosses(BalanceKind):
    """Does not combine the losses into one."""

    def build(self, tasks: tuple[str, ...]) -> BalanceModule:
        """Losses `[T] -> [T]`."""

        class Each(BalanceModule):
            def forward(self, losses: Tensor, counted: Tensor) -> Tensor:
                return losses

        return Each()


@expert("built_miscounted")
class BuiltMiscounted(BuiltDouble):
    """Does not count the biases."""

    def parameters(self, input: Width) -> int:
        """Those of the weight."""
        return 2 * input * input


@expert("built_in_words")
class BuiltInWords(BuiltDouble):
    """Returns its cost as text."""

    def flops(self, input: Width) -> int:
        """No number."""
        return "many"  # type: ignore[return-value] # the defect


@pytest.mark.parametrize(
    ("kind", "category", "settings"),
    [
        ("dense", "input", {"dim": 3}),
        ("sequence", "input", {"vocab": 9, "dim": 3}),
        ("mlp", "expert", {"units": [5, 3], "norm": "batch", "dropout": 0.3}),
        ("topk", "gate", {"k": 2, "balance": 0.1}),
        ("domain", "gate", {}),
        ("hard_concrete", "gate", {"penalty": 0.1}),
        ("sigmoid", "feature_gate", {"per": "element"}),
        ("mlp", "tower", {"units": [5]}),
        ("product", "fusion", {}),
        ("huber", "loss", {"delta": 0.5}),
        ("gradnorm", "balance", {}),
    ],
)
def test_built_in_kinds_pass(kind: str, category: str, settings: dict[str, Any]) -> None:
    """A built-in kind of each category meets the requirements for plugins."""
    check_kind(kind, category, settings=settings)


def test_good_plugins_pass() -> None:
    """An opaque module, a gate with state in a buffer, and a gate that penalises its weights pass without options."""
    check_kind(BuiltDouble)
    check_kind(MovingAverage)
    check_kind(Even)


BROKEN: list[tuple[KindClass, str]] = [
    (BuiltLying, r"(?s)declares \[.B., 6\] fails: .* builds a module that returns \[B, 12\] rather than \[B, 6\]"),
    (BuiltCounting, "the same outputs from a second call in evaluation"),
    (TrainingWeights, "a forward pass changed parameters"),
    (LoweredLying, r"declares a width of 7, but its `lower` returns \[B, 6\]"),
    (LyingElsewhere, r"an `x` of width 12 fails: .* declares a width of 6, but its `lower` returns \[B, 12\]"),
    (WrongShape, r"its `width` declares \['B', 6\], but a forward pass of 7 rows, .* returns \[7, 5\]"),
    (MixingRows, "the result of a row not to depend on other rows"),
    (NoEmptyBatch, "a batch of 0 rows fails: RuntimeError"),
    (Noisy, "draws random numbers when `training` is False"),
    (BreakingGraphs, r"torch.compile\(fullgraph=True\) in training fails"),
    (WrongGradient, "its gradients against finite differences"),
    (Growing, "the canonical spec to read back as itself"),
    (Numbered, "a second build to return the same file"),
    (Failing, "building a model (?s:.*) failed in `lower`: KeyError: 'y'"),
    (OneTooMany, r"sees 4 experts of width 5, but its `lower` returns \[B, 5\]"),
    (HidingState, "keeps state outside of its buffers"),
    (AlreadyMean, r"one loss per row, \[7\], got \[\]"),
    (CountingBalance, "`forward` to change nothing"),
    (BuiltMiscounted, "its `parameters` returns 72, but its module has 84"),
    (
        BuiltInWords,
        "counting .*(?s:.*) returns 'many' as its `flops`, which must be a whole number of at least 0 or None",
    ),
    (ManyLosses, r"one loss, \[\], got \[3\]"),
]


@pytest.mark.parametrize(("kind", "message"), BROKEN, ids=[kind.__name__ for kind, _ in BROKEN])
def test_a_broken_kind_is_caught(kind: KindClass, message: str) -> None:
    """Each violation is an AssertionError that says what was expected and where the class is."""
    with pytest.raises(AssertionError, match=message) as caught:
        check_kind(kind)
    line = inspect.getsourcelines(kind)[1]
    assert f"{__file__}:{line})" in str(caught.value)


def test_a_wrong_gradient_may_be_meant() -> None:
    """`gradcheck=False` skips the numerical gradient, for straight-through estimators."""
    check_kind(WrongGradient, gradcheck=False)


def test_a_wrong_pass_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain and optimized modules are compared, so a pass that changes the function is reported."""

    def halving(program: Program) -> PassResult:
        ops = tuple(
            replace(op, attrs=(("fn", "tanh"),)) if op.kind == "activation" and op.attr("fn") == "relu" else op
            for op in program.ops
        )
        return PassResult(replace(program, ops=ops), (), ())

    monkeypatch.setattr(compiling, "EXACT_PASSES", (halving,))
    with pytest.raises(AssertionError, match="equal outputs of the plain and the optimized model"):
        check_kind("mlp", "expert", settings={"units": [4]})


def test_what_is_checked_must_be_clear() -> None:
    """An unknown name, a name in several categories, and an unmarked class have different messages."""
    with pytest.raises(LookupError, match="`no_such` is not a kind"):
        check_kind("no_such")
    with pytest.raises(LookupError, match=r"several kinds \(expert mlp, tower mlp\)"):
        check_kind("mlp")
    with pytest.raises(LookupError, match="is not a kind of category `gate`"):
        check_kind(BuiltDouble, "gate")


def test_settings_that_do_not_fit_are_caught() -> None:
    """A setting that the kind refuses gives the spec's error, at the class."""
    with pytest.raises(AssertionError, match=r"kind `topk` .*gates\.py:\d+\): a tiny spec .* needs `k`"):
        check_kind("topk", "gate")
