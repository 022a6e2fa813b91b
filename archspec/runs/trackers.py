"""Lightning's loggers of a run, in its folder. A resumed run continues the log."""

from __future__ import annotations

import csv
import io
import json
import os
from importlib.util import find_spec
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch import loggers
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from archspec.diagnostics import unusable
from archspec.files import is_file, reported, write_whole
from archspec.runs.files import LOG

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightning.pytorch.loggers import Logger

    from archspec.train.choices import Tracker

NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "tensorboard": ("tensorboardX", "tensorboard"), "wandb": ("wandb",), "mlflow": ("mlflow",),
}  # fmt: skip
"""The packages that a tracker needs one of."""
_IDENTITY: Final = "identity.json"
"""The file with the id under which the tracker's server knows the run."""


def missing_package(tracker: Tracker | None) -> str | None:
    """The package that a tracker needs, if it is not installed."""
    packages = NEEDED.get(tracker or "", ())
    return packages[0] if packages and not any(map(find_spec, packages)) else None


def tracker_of(tracker: Tracker, folder: Path, name: str) -> Logger:
    """The logger of a run.

    Args:
        tracker: its name.
        folder: the folder of the run.
        name: the name of the spec.

    Raises:
        SpecError: the log cannot be written, or Lightning does not support the installed version of the package.
    """
    place = folder / LOG
    with reported(place):
        place.mkdir(exist_ok=True)
    try:
        match tracker:
            case "csv":
                return CSVLog(folder)
            case "tensorboard":
                # Its files are named by the second: a run that is resumed at once would replace its own.
                return loggers.TensorBoardLogger(folder, name="", version=LOG, filename_suffix=f".{token_hex(4)}")
            case "wandb":
                return _wandb(folder, name)
            case "mlflow":
                return _mlflow(place, name)
    except ModuleNotFoundError as error:
        unusable("AS709", f"`--log {tracker}`: {error}", help=f"pip install -U {NEEDED[tracker][0]}")


def _wandb(folder: Path, name: str) -> Logger:
    known = _identity(folder / LOG) or token_hex(4)
    _remember(folder / LOG, known)
    return loggers.WandbLogger(
        name=folder.resolve().name, project=name, save_dir=folder / LOG, id=known, resume="allow"
    )


def _mlflow(place: Path, name: str) -> Logger:
    """Logs to the server of MLFLOW_TRACKING_URI, or to the folder."""
    server = os.environ.get("MLFLOW_TRACKING_URI") or (place.resolve() / "mlruns").as_uri()
    found = loggers.MLFlowLogger(experiment_name=name, tracking_uri=server, run_id=_identity(place))
    _remember(place, str(found.run_id))
    return found


def _identity(place: Path) -> str | None:
    """The id of a run that the server knows. Raises SpecError if the file is damaged."""
    path = place / _IDENTITY
    if not is_file(path):
        return None
    try:
        found: str = json.loads(path.read_text(encoding="utf-8"))["id"]
    except (ValueError, KeyError, TypeError):
        unusable(
            "AS733", f"`{path}` is damaged: it must contain the id of the run's log",
            help="restore the file; or delete it, and the tracker starts another log",
        )  # fmt: skip
    return found


def _remember(place: Path, identity: str) -> None:
    write_whole(place / _IDENTITY, json.dumps({"id": identity}) + "\n")


class CSVLog(loggers.CSVLogger):
    """Lightning's CSV logger, which continues a file: it only replaces the steps that a resumed run repeats."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, name="", version=LOG, flush_logs_every_n_steps=1)

    @property
    @rank_zero_experiment
    def experiment(self) -> _Writer:
        """The writer of the file."""
        if self._experiment is None:
            self._experiment = _Writer(self.log_dir)
        return self._experiment  # type: ignore[return-value] # set above

    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Adds a line."""
        self.experiment.begin(step or 0)
        super().log_metrics(metrics, step)


class _Writer(ExperimentWriter):
    """Writes `metrics.csv` after the lines that it has."""

    def _check_log_dir_exists(self) -> None:
        """Keeps the old lines until it is known which steps are repeated; Lightning deletes them."""
        self._begun = False

    def begin(self, step: int) -> None:
        """Before the first new line: removes old lines from this step on."""
        if self._begun:
            return
        self._begun = True
        path = Path(self.metrics_file_path)
        if not is_file(path):
            return
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            lines = [line for line in reader if (line.get("step") or "").isdecimal() and int(line["step"]) < step]
        self.metrics_keys = [*(reader.fieldnames or ())]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.metrics_keys)
        writer.writeheader()
        writer.writerows(lines)
        write_whole(path, text.getvalue())

    def save(self) -> None:
        """Writes the new lines."""
        with reported(self.metrics_file_path):
            super().save()
