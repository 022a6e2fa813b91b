"""The settings for training a run.

`Recipe` is their only list: the options of `archspec train`, the keys of a recipe file and the checks of both are made
from its fields. This module imports neither torch nor pydantic, so that the command line can print its help at once.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - the annotations of `Recipe` are read at run time
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Final

from annotated_types import Ge, Gt, Le, Lt

from archspec.train.choices import Precision, RunSchedule, TableOptimizer, Tracker  # noqa: TC001 - as Mapping

FREE: Final = frozenset({"epochs", "patience", "interval", "devices", "threads", "log"})
"""Settings that may differ when a run is resumed."""

AtLeastOne = Annotated[int, Ge(1)]
AtLeastZero = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Names = Annotated[str, "names"]
"""Names separated by commas; in a file they may also be a list."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a run trains.

    Args:
        epochs: the largest number of passes over the rows.
        batch: rows per step; with `together` on average.
        learning_rate: learning rate of AdamW, and of SparseAdam for sparse tables.
        weight_decay: weight decay of AdamW.
        table_learning_rate: learning rate of the tables of inputs; None: `learning_rate`.
        table_optimizer: what trains the tables of inputs; see `archspec.lightning.MultiTaskModule`.
        patience: epochs without improvement after which training stops; 0 or None never stops early.
        monitor: metrics, separated by commas, such as `validation/income/auc`: training stops when none of them
            improves, and the first one decides which epoch is the best. By default the sum of the tasks' losses, each
            times its `weight`, which, unlike `validation/loss`, is not changed by decay and balance.
        interval: steps between checkpoints.
        seed: seed of initial weights, order of rows, and dropout; below 2**64.
        devices: number of processes that train together on this machine, one per accelerator if there are any.
        threads: threads of each process; None: torch's default. With another number, sums are rounded differently.
        start: the folder of a run to continue: its weights, moved by name and its rows by value; its encodings, with
            vocabularies extended.
        moved: old name -> new name, for what was renamed since that run; see `archspec.migrate`.
        schedule: how the learning rate falls after warm-up: `plateau` multiplies it by `plateau_factor` when no
            monitored metric has improved for `plateau_patience` epochs; for the others see
            `archspec.lightning.schedules`.
        plateau_patience: epochs without improvement after which the learning rate falls.
        plateau_factor: what it is multiplied by.
        warmup: optimizer steps in which the learning rate rises linearly.
        clip: the largest norm of all gradients together; None does not clip.
        precision: the arithmetic of a step: `32`, or mixed with bfloat16 or float16.
        freeze: blocks that are not trained, by canonical name; see `archspec.freeze`.
        accumulate: batches whose gradients are averaged for one optimizer step.
        ema: decay per step of a moving average of the weights, which is then what is measured and saved; None: none.
        by: a column, such as the scene: validation rows of each of its values are also measured alone, in the end.
        top: k of NDCG@k and recall@k within the groups of `Source.grouped_by`.
        together: a column, such as the id of a request: rows with one value are in the same batch.
        log: where losses and metrics are logged, in addition to `history.json`; None: nowhere.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"allow_inf_nan": False}

    epochs: AtLeastOne = 10
    batch: AtLeastOne = 512
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 0.0
    table_learning_rate: Positive | None = None
    table_optimizer: TableOptimizer | None = None
    patience: AtLeastZero | None = 2
    monitor: Names = "validation/task_losses"
    interval: AtLeastOne = 500
    seed: Annotated[int, Ge(0), Lt(2**64)] = 0
    devices: AtLeastOne = 1
    threads: Annotated[int, Ge(1), Le(1024)] | None = None
    start: str | None = None
    moved: Mapping[str, str] = field(default_factory=dict)
    schedule: RunSchedule = "constant"
    plateau_patience: AtLeastOne = 1
    plateau_factor: Annotated[float, Gt(0), Lt(1)] = 0.5
    warmup: AtLeastZero = 0
    clip: Positive | None = None
    precision: Precision = "32"
    accumulate: AtLeastOne = 1
    freeze: tuple[str, ...] = ()
    ema: Annotated[float, Gt(0), Lt(1)] | None = None
    by: str | None = None
    top: AtLeastOne = 10
    together: str | None = None
    log: Tracker | None = None
