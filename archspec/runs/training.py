"""Trains a run: from a checked spec and data files to a folder with weights and everything needed to use them."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy

from archspec.data.extend import digests
from archspec.data.prepare import ENCODING, ROWS, TRAIN, VALIDATION, Source, prepare
from archspec.data.requirements import column_requirements, group_column
from archspec.diagnostics import SpecError, unusable, was_interrupted
from archspec.files import is_there, write_whole
from archspec.graph.reach import trained_by
from archspec.lightning.checkpoint import WholeCheckpoints
from archspec.lightning.module import MultiTaskModule
from archspec.lightning.optimizers import dense_tables_hint
from archspec.nn.checkpoint import save_weights
from archspec.runs.arguments import arguments_of, changed_files, check_same
from archspec.runs.batches import scattered_groups, training_batches, validation_batches
from archspec.runs.checkpoints import CheckpointCallback
from archspec.runs.checks import check_recipe
from archspec.runs.files import HISTORY, LAST, RESULTS, RUN, SPEC, START, STARTED, WEIGHTS
from archspec.runs.folder import RunFolder, check_places, load_vectors, write_run
from archspec.runs.lock import claimed
from archspec.runs.migration import before, start_of
from archspec.runs.plateau import Plateau
from archspec.runs.processes import Processes, lost
from archspec.runs.recipe_file import write_recipe
from archspec.runs.results import Results, measured_by_value, measured_test
from archspec.runs.threads import using
from archspec.runs.trackers import tracker_of
from archspec.runs.trained import open_run
from archspec.train.renames import Renames
from archspec.train.weights import weight_locations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from torch import nn

    from archspec.data.batches import OrderedBatches
    from archspec.data.groups import OrderedGroups
    from archspec.data.prepare import Prepared
    from archspec.diagnostics import Diagnostic, Span
    from archspec.graph.graph import Graph
    from archspec.runs.checkpoints import Epoch, Step
    from archspec.runs.recipe import Recipe
    from archspec.train.changes import Migration


_LOGGED: Final = 50
"""Steps between two logged losses."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Callbacks for the progress of a run: lines, warnings, and numbers of processed rows or steps."""

    say: Callable[[str], None] = lambda _: None
    warn: Callable[[Iterable[Diagnostic]], None] = lambda _: None
    rows: Callable[[str, int], None] = lambda _, __: None
    prepared: Callable[[Prepared], None] = lambda _: None
    step: Callable[[Step], None] | None = None
    """Called after each training step."""
    epoch: Callable[[Epoch], None] | None = None
    """Called after each epoch; without it, `say` gets a line about the epoch."""


def train(  # noqa: PLR0913 - the parts of a run
    graph: Graph,
    source: Source,
    recipe: Recipe,
    folder: Path,
    *,
    resume: bool = False,
    progress: Progress | None = None,
    places: Mapping[str, Span] | None = None,
) -> Results:
    """Prepares data, trains, and saves the run in a folder.

    The folder gets `spec.yaml`, `run.json` (the arguments), `recipe.yaml` (the recipe, as `--recipe` reads it),
    `encoding.json`, `rows/` (encoded rows), `last.ckpt`, `weights.safetensors` (of the best epoch, by canonical name),
    `history.json` and `results.json`.

    With the same arguments and `resume`, a run that was killed at any moment continues from its last checkpoint and
    ends like an uninterrupted one: on a CPU with the same weights, bit for bit. A run that has saved nothing yet is
    started again, even with other arguments.

    Args:
        graph: the graph of the spec; its plugins stay enabled.
        source: the data files.
        recipe: how to train.
        folder: the folder of the run; created if it is missing.
        resume: continue the run in the folder, if there is one.
        progress: receives lines, warnings and counts.
        places: where a recipe file sets each setting that was read from it, for messages.

    Raises:
        SpecError: the data does not fit, the folder contains another run, another process trains in it, a file of the
            run is missing or damaged, or a metric is not measured. Then no folder is created, and an existing one stays
            unchanged.
        KeyboardInterrupt: Ctrl-C; the last checkpoint is kept.
    """
    progress = progress or Progress()
    processes = Processes.started(recipe.devices)
    check_recipe(graph, recipe, source.grouped_by, places, processes.count)
    if ".." in folder.parts or (os.path.lexists(folder) and not is_there(folder)):
        folder = Path(os.path.realpath(folder))
    if not processes.first:  # the first one prepares everything, and holds the lock
        with using(recipe.threads), ended():
            processes.wait(folder)
            return _trained(graph, source, recipe, RunFolder(folder), progress, processes=processes)
    with processes.preparing(folder) as prepared, claimed(folder), using(recipe.threads), ended():
        run = _opened(graph, source, recipe, folder, resume=resume, progress=progress)
        prepared()
        results = _trained(graph, source, recipe, run, progress, processes=processes)
        write_whole(folder / RESULTS, json.dumps(results.written(), indent=1) + "\n")
    return results


def _opened(  # noqa: PLR0913 - as train
    graph: Graph, source: Source, recipe: Recipe, folder: Path, *, resume: bool, progress: Progress
) -> RunFolder:
    """The run in the folder: the one that was started there, or a new one with its data prepared."""
    check_places(folder)
    for left in (*folder.glob(".*.tmp"), *folder.glob("rows/.*.tmp")):  # left by a run that was killed
        left.unlink()
    arguments = arguments_of(graph, source, recipe)
    if not any(is_there(folder / name) for name in (WEIGHTS, LAST, HISTORY)):  # nothing is lost but prepared rows
        run = _begun(folder, arguments) if resume else None
        if run is None:
            _prepare(graph, source, recipe, folder, progress)
            return RunFolder(folder)
    elif resume:
        run = RunFolder(folder)
        check_same(run, arguments)
        run.check(SPEC, ENCODING)
    else:
        unusable(
            "AS706",
            f"`{folder}` already contains a run",
            help="continue it with `--resume`, or choose another folder with `-o`",
        )
    progress.warn(changed_files(run))
    return run


def _begun(folder: Path, arguments: dict[str, Any]) -> RunFolder | None:
    """The run that was prepared there but not trained, if it is complete and has the same arguments."""
    if not is_there(folder / RUN):
        return None
    try:
        run = RunFolder(folder)
        check_same(run, arguments)
        run.check(*run.fixed())
    except SpecError:
        return None
    return run


def _prepare(graph: Graph, source: Source, recipe: Recipe, folder: Path, progress: Progress) -> None:
    """Encodes the data; writes `run.json` last, to mark that everything else is complete."""
    registry = graph.spec.registry
    old = None if recipe.start is None else open_run(recipe.start, registry)
    if old is not None:
        Renames(recipe.moved).check(old.graph.nodes, graph.nodes)
    known = old if source.encoding is None else open_run(source.encoding, registry)
    taken = None if known is None else before(known, graph, recipe.moved, extend=source.encoding is None)
    try:
        prepared = prepare(
            graph, source, folder, before=taken, together=recipe.together, by=recipe.by, progress=progress.rows
        )
        (folder / START).unlink(missing_ok=True)
        if old is not None:
            started = start_of(
                old, graph, prepared.encoder, recipe.moved, recipe.seed,
                lambda model: load_vectors(folder, source, model) if source.tables else None,
            )  # fmt: skip
            _write_start(started, folder, progress)
    except BaseException:
        with suppress(OSError):  # it does not exist, or is not empty
            (folder / ROWS).rmdir()
        raise
    progress.prepared(prepared)
    if prepared.groups is not None:
        progress.say(prepared.groups.text(str(recipe.together), recipe.batch))
    progress.warn(scattered_groups(graph, recipe.together))
    hint = dense_tables_hint(graph.spec, recipe.batch) if recipe.devices == 1 else None
    if hint is not None:
        progress.say(hint)
    write_whole(folder / SPEC, graph.spec.text())
    rows = {
        "train": prepared.train, "validation": prepared.validation, "skipped": prepared.skipped,
        "values": list(prepared.values),
    }  # fmt: skip
    files = (*source.files, *source.validation, *source.tables.values())
    write_run(folder, arguments_of(graph, source, recipe), rows, files)


def _write_start(migration: Migration, folder: Path, progress: Progress) -> None:
    """Writes the weights that a run starts from, and where each came from."""
    save_weights(migration.model, folder / START)
    found = {"counts": migration.counts(), "weights": [asdict(change) for change in migration.changes]}
    write_whole(folder / STARTED, json.dumps(found, indent=1) + "\n")
    progress.say(migration.text())


def _trained(  # noqa: PLR0913 - as train
    graph: Graph, source: Source, recipe: Recipe, run: RunFolder, progress: Progress, *, processes: Processes
) -> Results:
    """Trains the rest of a run."""
    callback = CheckpointCallback(
        run.path, interval=recipe.interval, monitor=recipe.monitor, patience=recipe.patience, seed=recipe.seed,
        epoch=progress.epoch or (lambda epoch: progress.say(epoch.line)), warn=progress.warn, step=progress.step,
        plateau=Plateau(recipe.plateau_patience, recipe.plateau_factor) if recipe.schedule == "plateau" else None,
    )  # fmt: skip
    requirements = column_requirements(graph, source.grouped_by, recipe.together)
    module = MultiTaskModule(
        graph.spec, learning_rate=recipe.learning_rate, weight_decay=recipe.weight_decay, seed=recipe.seed,
        table_learning_rate=recipe.table_learning_rate, table_optimizer=recipe.table_optimizer,
        grouped_by=group_column(requirements, source.grouped_by),
        schedule="constant" if recipe.schedule == "plateau" else recipe.schedule, warmup=recipe.warmup,
        ema=recipe.ema, top=recipe.top, freeze=recipe.freeze,
    )  # fmt: skip
    model: Any = module.model
    model.vocabularies = digests(graph, run.encoder(requirements).encodings)
    together = group_column(requirements, recipe.together)

    def validated() -> OrderedBatches | OrderedGroups:
        return validation_batches(graph, run.rows(VALIDATION, checked=processes.first), recipe, together)

    if not _over(run, recipe, callback, module):
        going_on = run.checkpoint(module)
        if going_on is None:
            run.load_start(model)
        if source.tables:  # they replace the vectors of an earlier run, and a checkpoint replaces them
            run.load_tables(module.model)
        batches = training_batches(run.rows(TRAIN, checked=processes.first), recipe, together)
        trainer = _trainer(graph, recipe, module, callback, processes, len(batches))
        model.check_inputs = module.criterion.check_labels = False  # every value has been checked
        if processes.first:  # now that every file of the run has been read: one that is refused stays unchanged
            write_recipe(recipe, run.path)
        trainer.fit(
            module,
            batches,
            validated(),
            ckpt_path=going_on,
            weights_only=True,  # plain data and tensors: an untrusted folder cannot run code
        )
        if recipe.by is not None or source.test:  # Lightning has moved it to the CPU, where not every backend adds up
            module.to(trainer.strategy.root_device)
    found = run.found
    metrics = tuple(f"validation/{name}" for name in module.measures.names())
    results = Results(
        callback.best, callback.history, found.train, found.validation, found.skipped, callback.reason, metrics
    )
    if recipe.by is not None:
        groups = measured_by_value(recipe.by, graph, run, module, validated())
        results = replace(results, by=recipe.by, groups=groups)
    return replace(results, test=measured_test(graph, source, run, module, progress)) if source.test else results


@contextmanager
def ended() -> Iterator[None]:
    """Translates errors that end a training: Lightning's exit after Ctrl-C, lack of memory, a process that was lost.

    Ctrl-C can also raise another error: the writer of `torch.save` raises one if its file stays incomplete.
    """
    try:
        yield
    except SystemExit as error:
        raise KeyboardInterrupt from error
    except Exception as error:
        if was_interrupted(error):
            raise KeyboardInterrupt from error
        if lost(error):
            unusable(
                "AS757", "the connection to another process of the run was lost",
                help="see why that process ended; to continue the run, add `--resume` to the same command",
            )  # fmt: skip
        if not isinstance(error, RuntimeError | MemoryError):  # torch.OutOfMemoryError is a RuntimeError
            raise
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        reason = str(error).strip().partition("\n")[0]
        unusable("AS732", f"not enough memory: {reason}", help="lower `--batch`, or make the model smaller")


def _over(run: RunFolder, recipe: Recipe, callback: CheckpointCallback, module: MultiTaskModule) -> bool:
    """Whether nothing is left to train. Raises SpecError if a finished run has no weights."""
    state = run.state()
    if state is None:
        return False
    callback.load_state_dict(state.model_dump())
    if callback.stopped or callback.epochs >= recipe.epochs:
        run.load_weights(module.model)  # type: ignore[arg-type] # a compiled model
        return True
    callback.forget()  # the checkpoint may be older, and contains the metrics up to then
    return False


def _trainer(  # noqa: PLR0913, PLR0917 - the parts of a run
    graph: Graph, recipe: Recipe, module: MultiTaskModule, callback: CheckpointCallback, processes: Processes,
    steps: int,
) -> Trainer:  # fmt: skip
    """Lightning's Trainer, with atomic checkpoints; it writes no other files but logs, and shows no progress bar."""
    strategy: Any = "auto"
    if processes.count > 1:
        strategy = DDPStrategy(find_unused_parameters=untrained(module.model, graph))
    tracker = recipe.log if processes.first else None  # the others log nothing
    return Trainer(
        logger=False if tracker is None else tracker_of(tracker, callback.folder, graph.spec.name),
        log_every_n_steps=min(_LOGGED, steps),
        max_epochs=recipe.epochs, devices=processes.per_node, num_nodes=processes.nodes, strategy=strategy,
        plugins=[WholeCheckpoints()], callbacks=[callback], enable_model_summary=False,
        enable_progress_bar=False, gradient_clip_val=recipe.clip, precision=recipe.precision,
        accumulate_grad_batches=recipe.accumulate, num_sanity_val_steps=0, use_distributed_sampler=False,
        default_root_dir=callback.folder,
    )  # fmt: skip


def untrained(model: nn.Module, graph: Graph) -> bool:
    """Whether a parameter gets no gradient from any task: of an output without a task, or below `detach`."""
    tasks = trained_by(graph)
    trained = {location.parameter for location in weight_locations(model, graph) if tasks[location.node]}
    return any(parameter.requires_grad and name not in trained for name, parameter in model.named_parameters())
