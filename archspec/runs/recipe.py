"""The settings for training a run, and their checks before anything is written."""

from __future__ import annotations

import os
from collections.abc import Mapping  # noqa: TC003 - reading a run's file as a Recipe needs the annotations
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import torch
from pydantic import Field, TypeAdapter, ValidationError

from archspec.compiler.count import count
from archspec.data.requirements import column_requirements
from archspec.diagnostics import Diagnostics, suggest
from archspec.lightning.measures import Measures
from archspec.lightning.optimizers import TABLE_OPTIMIZERS, TableOptimizer, has_sparse_tables, table_optimizer_problem
from archspec.lightning.schedules import Schedule  # noqa: TC001 - as Mapping
from archspec.runs.damage import must
from archspec.spec.problems import by_setting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archspec.graph.graph import Graph

FREE: Final = frozenset({"epochs", "patience", "interval", "devices", "threads"})
"""Settings that may differ when a run is resumed."""
_BYTES: Final = 16
"""Bytes per parameter in training: 4 each for the parameter, its gradient, and AdamW's two moments."""
_PROCESSES: Final = 8
"""This many processes are always allowed, even on a machine with fewer cores."""
_LISTED: Final = 30
"""How many metrics a message lists."""

_Positive = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a run trains.

    Args:
        epochs: the largest number of passes over the rows.
        batch: rows per step.
        learning_rate: learning rate of AdamW, and of SparseAdam for sparse tables.
        weight_decay: weight decay of AdamW.
        table_learning_rate: learning rate of the tables of inputs; None: `learning_rate`.
        table_optimizer: what trains the tables of inputs; see `archspec.lightning.MultiTaskModule`.
        patience: epochs without improvement after which training stops; None never stops early.
        monitor: the metric that must improve, such as `validation/income/auc`; by default the sum of the tasks' losses,
            each times its `weight`, which, unlike `validation/loss`, is not changed by decay and balance.
        interval: steps between checkpoints.
        seed: seed of initial weights, order of rows, and dropout; below 2**64.
        devices: number of processes that train together on this machine, one per accelerator if there are any.
        threads: threads of each process; None: torch's default. With another number, sums are rounded differently.
        start: the folder of a run to continue: its weights, moved by name and its rows by value; its encodings, with
            vocabularies extended.
        moved: old name -> new name, for what was renamed since that run; see `archspec.migrate`.
        schedule: how the learning rate falls after warm-up; see `archspec.lightning.schedules`.
        warmup: optimizer steps in which the learning rate rises linearly.
        clip: the largest norm of all gradients together; None does not clip.
        precision: the arithmetic of a step: `32`, or mixed with bfloat16 or float16.
        accumulate: batches whose gradients are averaged for one optimizer step.
    """

    epochs: _Positive = 10
    batch: _Positive = 512
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    table_learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    table_optimizer: TableOptimizer | None = None
    patience: _Positive | None = 2
    monitor: str = "validation/task_losses"
    interval: _Positive = 500
    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    devices: _Positive = 1
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    start: str | None = None
    moved: Mapping[str, str] = field(default_factory=dict)
    schedule: Schedule = "constant"
    warmup: Annotated[int, Field(ge=0)] = 0
    clip: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    precision: Literal["32", "bf16-mixed", "16-mixed"] = "32"
    accumulate: _Positive = 1


_RECIPE: Final[TypeAdapter[Recipe]] = TypeAdapter(Recipe)


def check_recipe(graph: Graph, recipe: Recipe, grouped_by: str | None) -> None:
    """Checks everything that can be checked without the data, so that a run that cannot start leaves no files behind.

    Raises:
        SpecError: all problems at once: settings out of range, a metric that is not measured, an invalid column of
            groups, more processes than the machine can run, more weights than fit into its memory.
    """
    problems = Diagnostics()
    _check_values(recipe, problems)
    _check_groups(graph, grouped_by, problems)
    _check_devices(graph, recipe.devices, problems)
    _check_tables(graph, recipe.table_optimizer, problems)
    _check_steps(graph, recipe, problems)
    problems.raise_errors(status=2)
    _check_monitor(graph, recipe.monitor, grouped_by, problems)
    _check_memory(graph, problems)
    problems.raise_errors(status=2)


def _check_values(recipe: Recipe, problems: Diagnostics) -> None:
    """Checks the range of each setting."""
    if recipe.moved and recipe.start is None:
        problems.error(
            "AS731",
            "`--moved` needs `--from RUN`: it renames what that run provides",
            help="add `--from`, or drop `--moved`",
        )
    try:
        _RECIPE.validate_python(asdict(recipe))
    except ValidationError as error:
        for path, details in by_setting(error.errors(include_url=False)).items():
            problems.error("AS731", f"`--{str(path[0]).replace('_', '-')}` {must(details)}")


def _check_groups(graph: Graph, grouped_by: str | None, problems: Diagnostics) -> None:
    """Checks that the column of groups contains ids, and that there is a binary task, which grouped AUC requires."""
    if grouped_by is None:
        return
    if all(block.settings.output != "binary" for block in graph.spec.tasks.values()):
        problems.error(
            "AS731", f"`--grouped-by {grouped_by}` measures AUC within groups, but no task of `{graph.spec.name}` is "
            "binary", help="remove this option",
        )  # fmt: skip
    requirement = column_requirements(graph, grouped_by)[grouped_by]
    if requirement.use not in {"ids", "class", "key"}:
        what = "lists" if requirement.use in {"lists", "amounts"} else "numbers"
        problems.error(
            "AS731", f"`--grouped-by {grouped_by}`: {requirement.reader} reads this column as {what}, "
            "which cannot identify groups",
            help="choose a column of ids, such as the user's; the model need not read it",
        )  # fmt: skip


def _check_devices(graph: Graph, devices: int, problems: Diagnostics) -> None:
    """Checks that the machine can run the processes, and that they need not exchange sparse gradients."""
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    most = cards or max(os.cpu_count() or 1, _PROCESSES)
    if devices > most:
        has = f"{cards} GPU{'s' * (cards > 1)}" if cards else f"{os.cpu_count()} cores"
        problems.error(
            "AS731", f"`--devices {devices}`: this machine has {has}", help=f"use at most `--devices {most}`"
        )
    if devices > 1 and has_sparse_tables(graph.spec):
        problems.error(
            "AS731", f"`--devices {devices}`: `{graph.spec.name}` has tables with sparse gradients, which processes "
            "cannot exchange", help="train it in one process, or without `sparse_grad`",
        )  # fmt: skip


def _check_tables(graph: Graph, optimizer: TableOptimizer | None, problems: Diagnostics) -> None:
    """Checks that the optimizer can train the tables; an unknown one has been reported."""
    problem = table_optimizer_problem(graph.spec, optimizer) if optimizer in TABLE_OPTIMIZERS else None
    if problem is not None:
        problems.error("AS731", f"`--table-optimizer {optimizer}`: {problem[0]}", help=problem[1])


def _check_steps(graph: Graph, recipe: Recipe, problems: Diagnostics) -> None:
    """Checks that the optimizers and the machine support how steps are made."""
    changed = (("schedule", "constant"), ("warmup", 0), ("clip", None), ("accumulate", 1))
    given = [(name, getattr(recipe, name)) for name, default in changed if getattr(recipe, name) != default]
    if recipe.precision == "16-mixed":
        given.append(("precision", recipe.precision))
    why = None
    if has_sparse_tables(graph.spec):
        why = "has tables with sparse gradients", "train without `sparse_grad`"
    elif recipe.table_optimizer == "rowwise_adagrad":
        why = "is trained with `--table-optimizer rowwise_adagrad`", "omit that one"
    if why is not None:
        for name, value in given:
            problems.error(
                "AS731", f"`--{name} {value}`: `{graph.spec.name}` {why[0]}, and so has two optimizers, which do "
                "not support it", help=f"omit this option, or {why[1]}",
            )  # fmt: skip
    if recipe.precision == "16-mixed" and not torch.cuda.is_available():
        problems.error(
            "AS731", "`--precision 16-mixed` requires a GPU", help="use `--precision bf16-mixed`, or `--precision 32`"
        )


def _check_monitor(graph: Graph, monitor: str, grouped_by: str | None, problems: Diagnostics) -> None:
    """Checks that the monitored metric is measured."""
    known = [f"validation/{name}" for name in Measures(graph.spec, grouped_by).names()]
    if monitor in known:
        return
    near = suggest(monitor, known)
    more = f", and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    listed = ", ".join(known[:_LISTED]) + more
    problems.error(
        "AS707", f"`{monitor}` is not measured", help=f"did you mean `{near}`? " * bool(near) + f"known: {listed}"
    )


def _check_memory(graph: Graph, problems: Diagnostics) -> None:
    """Checks that the memory is large enough for training all weights."""
    costs = count(graph)
    needed, held = (costs.known.parameters or 0) * _BYTES, memory()
    if held is None or needed <= held:
        return
    node, cost = max(costs.nodes.items(), key=lambda item: item[1].parameters or 0)
    problems.error(
        "AS732", f"training `{graph.spec.name}` needs {_shown(needed)} of memory for weights, gradients and AdamW's "
        f"two moments, but this machine has {_shown(held)}",
        help=f"`{node}` needs the most, with {cost.parameters:,} weights: make it smaller",
    )  # fmt: skip


def memory() -> int | None:
    """Bytes of memory for training, of the first GPU or the machine; None if unknown."""
    if torch.cuda.is_available():
        properties: Any = torch.cuda.get_device_properties(0)
        return int(properties.total_memory)
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # unknown on this system
        return None
    limit = Path("/sys/fs/cgroup/memory.max")  # the limit of a container
    text = limit.read_text(encoding="ascii").strip() if limit.is_file() else ""
    return min(machine, int(text)) if text.isdecimal() else machine


def _shown(size: int) -> str:
    """A number of bytes, such as `4.0 TB`."""
    value, unit = float(size), "B"
    for unit in ("kB", "MB", "GB", "TB", "PB", "EB"):  # noqa: B007 - the last one is kept
        value /= 1000
        if value < 1000:  # noqa: PLR2004 - the step of units
            break
    return f"{value:,.1f} {unit}"


@contextmanager
def using(threads: int | None) -> Iterator[None]:
    """Sets the number of threads for computing and reading, also for processes that Lightning starts."""
    if threads is None:
        yield
        return
    import pyarrow as pa

    before, reading, variable = torch.get_num_threads(), pa.cpu_count(), os.environ.get("OMP_NUM_THREADS")
    try:
        torch.set_num_threads(threads)
        pa.set_cpu_count(threads)
        os.environ["OMP_NUM_THREADS"] = str(threads)
        yield
    finally:
        torch.set_num_threads(before)
        pa.set_cpu_count(reading)
        if variable is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = variable
