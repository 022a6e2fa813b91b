"""Runs: from a checked spec and files of data to a folder with trained weights and all that is needed to use them."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import RichProgressBar

from archspec.data.batches import OrderedBatches, ShuffledBatches
from archspec.data.prepare import ROWS, TRAIN, VALIDATION, Source, prepare
from archspec.data.rows import Rows
from archspec.diagnostics import Diagnostics, suggest, unusable
from archspec.files import write_whole
from archspec.lightning.folder import HISTORY, LAST, RESULTS, RUN, SPEC, read_json
from archspec.lightning.keeper import Keeper
from archspec.lightning.module import MultiTaskModule
from archspec.lightning.trained import ROWS_AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from archspec.data.prepare import Prepared
    from archspec.graph.graph import Graph

FREE: Final = frozenset({"epochs", "patience", "interval", "devices"})
"""Settings that may differ when a run goes on."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a run trains.

    Args:
        epochs: at most so many passes over the rows.
        batch: rows of a step.
        learning_rate: of AdamW, and of SparseAdam for sparse tables.
        weight_decay: of AdamW.
        patience: epochs without improvement after which training stops; None never stops early.
        monitor: what must improve, such as `validation/income/auc`; by default the sum of the tasks' losses, each
            times its `weight`, which neither decay nor the balance moves by itself as they do `validation/loss`.
        interval: steps between checkpoints.
        seed: of first weights, order of rows, and dropout.
        devices: processes of this machine that train together, one per accelerator where there are any.
    """

    epochs: int = 10
    batch: int = 512
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    patience: int | None = 2
    monitor: str = "validation/task_losses"
    interval: int = 500
    seed: int = 0
    devices: int = 1


@dataclass(frozen=True, slots=True)
class Results:
    """What a run came to: `best` has the metrics of the epoch whose weights were kept, with `epoch` and `step`."""

    best: dict[str, float]
    history: dict[str, list[tuple[int, float]]]
    train: int
    validation: int
    skipped: int


@dataclass(frozen=True, slots=True)
class Watch:
    """What a run tells while it goes on: lines, and how many rows are done with in which stage."""

    say: Callable[[str], None] = lambda _: None
    rows: Callable[[str, int], None] = lambda _, __: None
    prepared: Callable[[Prepared], None] = lambda _: None
    bar: bool = False
    """Whether Lightning draws a progress bar."""


def train(  # noqa: PLR0913 - what a run is made of
    graph: Graph,
    source: Source,
    recipe: Recipe,
    folder: Path,
    *,
    resume: bool = False,
    watch: Watch | None = None,
) -> Results:
    """Prepares data, trains, and keeps the run in a folder.

    The folder gets `spec.yaml`, `run.json` (what was asked for), `encoding.json`, `rows/` (encoded rows),
    `last.ckpt`, `weights.safetensors` (of the best epoch, by canonical name), `history.json` and `results.json`.
    With the same arguments and `resume`, a run that was killed at any moment goes on from its last checkpoint and ends
    as an unbroken one: on a CPU with the same weights, bit for bit.

    Args:
        graph: of the spec; its plugins stay enabled.
        source: the files.
        recipe: how to train.
        folder: of the run; made where it is missing.
        resume: go on with the run in the folder, if there is one.
        watch: what is told meanwhile.

    Raises:
        SpecError: data that does not fit, a folder that holds another run, a metric that is not measured.
    """
    watch = watch or Watch()
    asked = _asked(graph, source, recipe)
    joins = os.environ.get("LOCAL_RANK", "0") != "0"  # another process of this run prepared everything
    if (folder / RUN).exists():
        if not (resume or joins):
            unusable(
                "AS706", f"`{folder}` holds a run", help="`--resume` goes on with it; or name another folder with `-o`"
            )
        _check_same(folder, asked)
    else:
        _prepare(graph, source, folder, asked, watch)
    kept = read_json(folder / RUN)
    keeper = Keeper(
        folder, interval=recipe.interval, monitor=recipe.monitor, patience=recipe.patience, seed=recipe.seed,
        say=watch.say,
    )  # fmt: skip
    _fit(graph, source, recipe, keeper, watch)
    results = Results(keeper.best, keeper.history, kept["train"], kept["validation"], kept["skipped"])
    if not joins:
        told = {name: value for name, value in asdict(results).items() if name != "history"}
        write_whole(folder / RESULTS, json.dumps(told, indent=1) + "\n")
    return results


def _prepare(graph: Graph, source: Source, folder: Path, asked: dict[str, Any], watch: Watch) -> None:
    """Encodes the data; `run.json` comes last, and says that all else is there."""
    for left in folder.glob("rows/.*.tmp"):  # of a run that was killed meanwhile
        left.unlink()
    try:
        prepared = prepare(graph, source, folder, watch=watch.rows)
    except BaseException:
        for made in (folder / ROWS, folder):
            with suppress(OSError):  # it is not there, or something lies in it
                made.rmdir()
        raise
    watch.prepared(prepared)
    write_whole(folder / SPEC, graph.spec.text())
    rows = {"train": prepared.train, "validation": prepared.validation, "skipped": prepared.skipped}
    write_whole(folder / RUN, json.dumps({"asked": asked, **rows}, indent=1) + "\n")


def _fit(graph: Graph, source: Source, recipe: Recipe, keeper: Keeper, watch: Watch) -> None:
    """Trains what is left of a run."""
    last, history = keeper.folder / LAST, keeper.folder / HISTORY
    if history.exists():
        keeper.load_state_dict(read_json(history))
        if keeper.stopped or keeper.epochs >= recipe.epochs:
            return
        keeper.forget()  # the checkpoint may be older, and knows what had been measured then
    module = MultiTaskModule(
        graph.spec, learning_rate=recipe.learning_rate, weight_decay=recipe.weight_decay, seed=recipe.seed,
        grouped_by=source.grouped_by,
    )  # fmt: skip
    _check_monitor(recipe.monitor, module)
    model: Any = module.model
    model.check_inputs = module.criterion.check_labels = False  # every value was looked at
    bar: list[Callback] = [RichProgressBar(console_kwargs={"stderr": True})] if watch.bar else []
    trainer = Trainer(
        max_epochs=recipe.epochs, devices=recipe.devices, strategy="auto" if recipe.devices == 1 else "ddp",
        callbacks=[keeper, *bar], logger=False, enable_model_summary=False,
        enable_progress_bar=watch.bar, num_sanity_val_steps=0, use_distributed_sampler=False,
        default_root_dir=keeper.folder,
    )  # fmt: skip
    trainer.fit(
        module,
        ShuffledBatches(Rows(keeper.folder / TRAIN), recipe.batch, recipe.seed),
        OrderedBatches(Rows(keeper.folder / VALIDATION), max(recipe.batch, ROWS_AT_ONCE)),
        ckpt_path=last if last.exists() else None,
        weights_only=True,  # plain data and tensors: a foreign folder runs no code
    )


def _check_monitor(monitor: str, module: MultiTaskModule) -> None:
    """Raises SpecError where a metric is monitored that nothing measures."""
    known = [f"validation/{name}" for name in module.measures.names()]
    if monitor not in known:
        near = suggest(monitor, known)
        listed = ", ".join(known)
        unusable(
            "AS707", f"nothing measures `{monitor}`", help=f"did you mean `{near}`? " * bool(near) + f"known: {listed}"
        )


def _asked(graph: Graph, source: Source, recipe: Recipe) -> dict[str, Any]:
    """What a run was asked for, as JSON holds it."""
    found: dict[str, Any] = json.loads(json.dumps({"spec": graph.spec.digest, **asdict(source), **asdict(recipe)}))
    return found


def _check_same(folder: Path, asked: dict[str, Any]) -> None:
    """Raises SpecError where a folder holds a run that was asked for otherwise."""
    problems = Diagnostics()
    kept = read_json(folder / RUN)["asked"]
    for name, value in asked.items():
        if name not in FREE and kept.get(name) != value:
            problems.error(
                "AS706", f"the run in `{folder}` has {name} {kept.get(name)}, now it is {value}",
                help="go on with what the run was begun with, or name another folder with `-o`",
            )  # fmt: skip
    problems.raise_errors(status=2)
