"""The metrics that a run monitors: their names, and which of two values is better."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Final

from archspec.lightning.metrics import METRICS
from archspec.lightning.ranking import WITHIN_GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterable

_LOSSES: Final = ("loss", "task_losses")


def names_in(text: str) -> tuple[str, ...]:
    """The names in a text such as `validation/ctr/auc, validation/cvr/auc`."""
    return tuple(name for part in text.split(",") if (name := part.strip()))


def higher_is_better(name: str) -> bool | None:
    """Whether a metric such as `validation/ctr/auc` is better if it is higher; None if neither is true.

    PCOC is best at 1, and the coverage of a quantile at the quantile.
    """
    metric = name.rpartition("/")[2]
    if metric in _LOSSES:
        return False
    if metric.partition("@")[0] in WITHIN_GROUPS:
        return True
    return METRICS[metric][0]().higher_is_better if metric in METRICS else None


def improves(name: str, value: float, before: Iterable[float]) -> bool:
    """Whether a metric's value is a number, and better than all numbers before."""
    known = [number for number in before if isfinite(number)]
    if not isfinite(value):
        return False
    return not known or (value > max(known) if higher_is_better(name) else value < min(known))
