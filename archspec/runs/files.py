"""The files in the folder of a run: their names, and what those written as JSON hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from archspec.data.prepare import ENCODING, TRAIN, VALIDATION

if TYPE_CHECKING:
    from archspec.data.prepare import Source
    from archspec.runs.recipe import Recipe

SPEC, RUN, RESULTS = "spec.yaml", "run.json", "results.json"
"""The canonical spec; the arguments of the run; its results."""
LAST, WEIGHTS, HISTORY = "last.ckpt", "weights.safetensors", "history.json"
"""The checkpoint to go on from; the weights of the best epoch; all that was measured."""
CURVES: Final = "curves.svg"
"""The figure of what was measured."""
STATE: Final = "keeper"
"""Under what a checkpoint holds a run's state."""
FORMAT: Final = 1
"""Of `run.json`; a higher one is of a newer archspec."""
FIXED: Final = (SPEC, ENCODING, TRAIN, VALIDATION)
"""Files that stay as they are once data is prepared."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class State(_Strict):
    """`history.json`, and what a checkpoint holds of the run: epochs that are over, and all that was measured."""

    epochs: int
    best: dict[str, int | float]
    waited: int
    history: dict[str, list[tuple[int, float]]]
    sums: dict[str, float]
    summed: int


class Stamp(_Strict):
    """Size and time of change of a file of data when the run began."""

    bytes: int
    changed: int


class RunFile(_Strict):
    """`run.json`. What is missing in the file of an older archspec is not checked."""

    format: int = FORMAT
    archspec: str = ""
    arguments: dict[str, Any] = Field(alias="asked")
    train: int
    validation: int
    skipped: int
    sha256: dict[str, str] = {}
    data: dict[str, Stamp] = {}


@dataclass(frozen=True, slots=True)
class RunArguments:
    """The arguments of `train` that a run was started with."""

    spec: str
    """The spec's digest."""
    source: Source
    recipe: Recipe
