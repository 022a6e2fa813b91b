"""The files in the folder of a run: their names, and the contents of the JSON files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from archspec.data.prepare import ENCODING, TRAIN, VALIDATION

if TYPE_CHECKING:
    from archspec.data.prepare import Source
    from archspec.runs.recipe import Recipe

SPEC, RUN, RESULTS = "spec.yaml", "run.json", "results.json"
"""File names: the canonical spec, the arguments of the run, its results."""
RECIPE: Final = "recipe.yaml"
"""The recipe of the run, as `--recipe` reads it."""
LAST, WEIGHTS, HISTORY = "last.ckpt", "weights.safetensors", "history.json"
"""File names: the checkpoint to resume from, the weights of the best epoch, all metrics."""
START, STARTED = "start.safetensors", "start.json"
"""In a run that continues another one: the weights that it starts from, and where each came from."""
CURVES: Final = "curves.svg"
"""The figure of the metrics."""
LOG: Final = "log"
"""The folder of what `--log` writes."""
STATE: Final = "keeper"
"""The key of a run's state in a checkpoint."""
FORMAT: Final = 1
"""The format of `run.json`; a higher number is from a newer archspec."""
FIXED: Final = (SPEC, ENCODING, TRAIN, VALIDATION)
"""Files that do not change once data is prepared."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class State(_Strict):
    """`history.json`, and the run's state in a checkpoint: finished epochs, and all metrics."""

    epochs: int
    best: dict[str, int | float]
    waited: int
    history: dict[str, list[tuple[int, float]]]
    sums: dict[str, float]
    summed: int
    held: int = 0


class Stamp(_Strict):
    """Size and modification time of a data file when the run began."""

    bytes: int
    changed: int


class Digest(_Strict):
    """The argument in `run.json` that neither `Source` nor `Recipe` contains."""

    spec: str


class RunFile(_Strict):
    """`run.json`. Fields that are missing in the file of an older archspec are not checked."""

    format: int = FORMAT
    archspec: str = ""
    arguments: dict[str, Any] = Field(alias="asked")
    train: int
    validation: int
    skipped: int
    values: list[str | None] = []
    """With `--by`: the values of the column, by their number in `rows/validation.arrow`."""
    sha256: dict[str, str] = {}
    data: dict[str, Stamp] = {}


@dataclass(frozen=True, slots=True)
class RunArguments:
    """The arguments of `train` that a run was started with."""

    spec: str
    """The spec's digest."""
    source: Source
    recipe: Recipe
