"""The keys of every task, whatever its kind."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator

from archspec.contract.settings import NotNegative, Positive, Settings, added


class Decay(Settings):
    """`weight * rate**t`, t counting steps or epochs."""

    rate: Positive
    every: Literal["step", "epoch"] = "step"


def _decay(value: object) -> object:
    return {"rate": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


class Task(Settings):
    """Keys of every task."""

    label: str | None = None
    when: str | None = None
    """A label column: rows where it is 1 are the task's sample space."""
    weight_column: str | None = None
    """A label column with one weight per row, 0 or more: the loss is the weighted mean over rows."""
    missing_labels: Literal["error", "mask"] = added("error")
    """`mask`: rows without a label (NaN; -1 too, but for regression) are outside the task's sample space."""
    weight: NotNegative = 1.0
    decay: Annotated[Decay | None, BeforeValidator(_decay)] = None
