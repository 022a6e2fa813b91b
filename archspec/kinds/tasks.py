"""Kinds of tasks: outputs, prediction, legal labels, default loss and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from archspec.contract import TaskKind, task
from archspec.contract.limits import LARGEST

if TYPE_CHECKING:
    from collections.abc import Mapping

Output = Literal["binary", "regression", "multiclass"]
Classes = Annotated[int, Field(ge=2, le=LARGEST)]
VALUE_METRICS = ("rmse", "mae", "r2", "rank_correlation")
"""The metrics of predictions that are values."""


@task("binary")
class Binary(TaskKind):
    """The probability of an event, such as a click. Labels are 0 or 1, or soft labels in 0..1."""

    formula: ClassVar[str] = "p = sigmoid(l)"
    output: ClassVar[Output] = "binary"
    score: ClassVar[str] = "sigmoid"
    metrics: ClassVar[tuple[str, ...]] = ("auc", "log_loss", "normalized_entropy", "pcoc", "ece")

    def class_count(self) -> int:
        """0 and 1."""
        return 2

    def default_loss(self) -> Mapping[str, Any]:
        """The logistic loss."""
        return {"kind": "logistic"}


@task("regression")
class Regression(TaskKind):
    """A number: the output itself."""

    formula: ClassVar[str] = "v = l"
    metrics: ClassVar[tuple[str, ...]] = VALUE_METRICS

    def default_loss(self) -> Mapping[str, Any]:
        """The squared error."""
        return {"kind": "mse"}


@task("multiclass")
class Multiclass(TaskKind):
    """The probabilities of classes. Labels are class indices, `0` to `classes - 1`."""

    formula: ClassVar[str] = "p = softmax(l)"
    output: ClassVar[Output] = "multiclass"
    score: ClassVar[str] = "softmax"
    whole: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = ("log_loss", "accuracy")
    classes: Classes

    def outputs(self) -> int:
        """One logit per class."""
        return self.classes

    def class_count(self) -> int:
        """The setting."""
        return self.classes

    def default_loss(self) -> Mapping[str, Any]:
        """The cross entropy."""
        return {"kind": "cross_entropy"}


@task("ordinal")
class Ordinal(TaskKind):
    """Ordered classes, such as one to five stars; the prediction is the expected class, a number in 0..classes - 1.

    Output k is the logit of P(y > k | y > k - 1), so P(y > k) is a product and decreases with k.
    """

    paper: ClassVar[str] = (
        "Shi, Cao, Raschka: Deep neural networks for rank-consistent ordinal regression (CORN), 2111.08851"
    )
    formula: ClassVar[str] = "v = sum_k prod_(j <= k) sigmoid(l_j)"
    score: ClassVar[str] = "expected_class"
    whole: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = ("mae", "rank_correlation", "accuracy")
    classes: Classes

    def outputs(self) -> int:
        """One logit for each class but the first."""
        return self.classes - 1

    def class_count(self) -> int:
        """The setting."""
        return self.classes

    def default_loss(self) -> Mapping[str, Any]:
        """CORN's conditional logistic losses."""
        return {"kind": "corn"}


@task("quantile")
class Quantile(TaskKind):
    """A quantile of a number: the value that the label is below with probability `q`."""

    paper: ClassVar[str] = "Koenker, Bassett: Regression quantiles, Econometrica 1978"
    formula: ClassVar[str] = "v = l, P(y <= v) = q"
    metrics: ClassVar[tuple[str, ...]] = ("mae", "coverage")
    q: Annotated[float, Field(gt=0, lt=1)]

    def default_loss(self) -> Mapping[str, Any]:
        """The pinball loss."""
        return {"kind": "pinball", "q": self.q}


@task("poisson")
class Poisson(TaskKind):
    """A count, such as the number of purchases: its expected value. The output is its logarithm."""

    formula: ClassVar[str] = "v = exp(l)"
    score: ClassVar[str] = "bounded_exp"
    lowest: ClassVar[float | None] = 0.0
    metrics: ClassVar[tuple[str, ...]] = (*VALUE_METRICS, "pcoc")

    def default_loss(self) -> Mapping[str, Any]:
        """The negative log likelihood of a Poisson distribution."""
        return {"kind": "poisson"}


@task("tweedie")
class Tweedie(TaskKind):
    """An amount with many zeros, such as money spent: the expected value of a compound Poisson-gamma distribution."""

    paper: ClassVar[str] = "Jorgensen: Exponential dispersion models, J. R. Statist. Soc. B 1987"
    formula: ClassVar[str] = "v = exp(l), Var(y) ~ v^power"
    score: ClassVar[str] = "bounded_exp"
    lowest: ClassVar[float | None] = 0.0
    metrics: ClassVar[tuple[str, ...]] = (*VALUE_METRICS, "pcoc")
    power: Annotated[float, Field(gt=1, lt=2)] = 1.5

    def default_loss(self) -> Mapping[str, Any]:
        """Tweedie's deviance of the task's power, up to a constant."""
        return {"kind": "tweedie", "power": self.power}


@task("ziln")
class ZeroInflatedLognormal(TaskKind):
    """A long-tailed amount with many zeros, such as watch time or customer value: its expected value.

    Three outputs: the logit of a value above 0, and mean and (through softplus) deviation of its logarithm.
    """

    paper: ClassVar[str] = (
        "Wang, Liu, Miao: A deep probabilistic model for customer lifetime value prediction, 1912.07753"
    )
    formula: ClassVar[str] = "v = sigmoid(a) exp(m + s^2 / 2), s = softplus(b)"
    score: ClassVar[str] = "zero_inflated_mean"
    lowest: ClassVar[float | None] = 0.0
    metrics: ClassVar[tuple[str, ...]] = (*VALUE_METRICS, "pcoc")

    def outputs(self) -> int:
        """Logit, mean, and deviation before softplus."""
        return 3

    def default_loss(self) -> Mapping[str, Any]:
        """The negative log likelihood."""
        return {"kind": "ziln"}


@task("weighted_logistic")
class WeightedLogistic(TaskKind):
    """Watch time by logistic regression with positive rows weighted by it: the odds are the expected time."""

    paper: ClassVar[str] = (
        "Covington, Adams, Sargin: Deep neural networks for YouTube recommendations, RecSys 2016, 4.2"
    )
    formula: ClassVar[str] = "v = exp(l)"
    score: ClassVar[str] = "bounded_exp"
    lowest: ClassVar[float | None] = 0.0
    metrics: ClassVar[tuple[str, ...]] = (*VALUE_METRICS, "pcoc")

    def default_loss(self) -> Mapping[str, Any]:
        """The weighted logistic loss."""
        return {"kind": "weighted_logistic"}
