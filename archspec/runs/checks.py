"""Checks of a recipe with a spec on this machine, before anything is written."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from pydantic import TypeAdapter, ValidationError

from archspec.compiler.compile import compile as compile_spec
from archspec.compiler.count import count
from archspec.data.requirements import column_requirements
from archspec.diagnostics import Diagnostics, suggest
from archspec.lightning.measures import Measures
from archspec.lightning.metrics import NO_GAINS, has_gains
from archspec.lightning.optimizers import TABLE_OPTIMIZERS, has_sparse_tables, table_optimizer_problem
from archspec.runs.damage import must
from archspec.runs.monitor import higher_is_better, names_in
from archspec.runs.recipe import Recipe
from archspec.runs.trackers import missing_package
from archspec.spec.problems import by_setting
from archspec.train.criterion import MultiTaskLoss
from archspec.train.freezing import freeze

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.diagnostics import Span
    from archspec.graph.graph import Graph
    from archspec.train.choices import TableOptimizer, Tracker

_FLOAT: Final = 4
"""Bytes of a number in training."""
_PROCESSES: Final = 8
"""This many processes are always allowed, even on a machine with fewer cores."""
_LISTED: Final = 30
"""How many metrics a message lists."""

_RECIPE: Final[TypeAdapter[Recipe]] = TypeAdapter(Recipe)


@dataclass(slots=True)
class _Problems(Diagnostics):
    """Collects what is wrong with settings, each at its place in the recipe file, if it was read from there."""

    places: Mapping[str, Span] = field(default_factory=dict)

    def setting(self, name: str, message: str, *, code: str = "AS731", help: str = "") -> None:
        """Adds an error about a setting."""
        self.error(code, message, self.places.get(name), help=help)


def check_recipe(
    graph: Graph,
    recipe: Recipe,
    grouped_by: str | None,
    places: Mapping[str, Span] | None = None,
    processes: int | None = None,
) -> None:
    """Checks everything that can be checked without the data, so that a run that cannot start leaves no files behind.

    Args:
        graph: the graph of the spec.
        recipe: how to train.
        grouped_by: the column of groups, if there is one.
        places: where a recipe file sets each setting that was read from it.
        processes: processes on all nodes; None: `recipe.devices`.

    Raises:
        SpecError: all problems at once: settings out of range, a metric that is not measured, an invalid column of
            groups, more processes than the machine can run, more weights than fit into its memory.
    """
    problems = _Problems(places=places or {})
    _check_values(recipe, problems)
    _check_groups(graph, grouped_by, problems)
    _check_ids(graph, "together", recipe.together, problems)
    _check_ids(graph, "by", recipe.by, problems)
    _check_devices(recipe.devices, problems)
    _check_processes(graph, processes or recipe.devices, problems)
    _check_tables(graph, recipe.table_optimizer, problems)
    _check_precision(recipe.precision, problems)
    _check_plateau(recipe, problems)
    _check_log(recipe.log, problems)
    _check_frozen(graph, recipe.freeze, problems)
    problems.raise_errors(status=2)
    _check_monitor(graph, recipe, grouped_by, problems)
    _check_memory(graph, recipe, problems)
    problems.raise_errors(status=2)


def _check_values(recipe: Recipe, problems: _Problems) -> None:
    """Checks the range of each setting."""
    if recipe.moved and recipe.start is None:
        problems.setting(
            "moved",
            "`--moved` needs `--from RUN`: it renames what that run provides",
            help="add `--from`, or drop `--moved`",
        )
    try:
        _RECIPE.validate_python(asdict(recipe))
    except ValidationError as error:
        for path, details in by_setting(error.errors(include_url=False)).items():
            problems.setting(str(path[0]), f"`--{str(path[0]).replace('_', '-')}` {must(details)}")


def _check_groups(graph: Graph, grouped_by: str | None, problems: _Problems) -> None:
    """Checks that the column of groups contains ids, and that there is a task to measure within groups."""
    if grouped_by is None:
        return
    if not any(has_gains(block.settings) for block in graph.spec.tasks.values()):
        problems.error(
            "AS731", f"`--grouped-by {grouped_by}`: no task of `{graph.spec.name}` {NO_GAINS}",
            help="remove this option",
        )  # fmt: skip
    _check_ids(graph, "grouped_by", grouped_by, problems)


def _check_ids(graph: Graph, setting: str, column: str | None, problems: _Problems) -> None:
    """Checks that a column whose values group rows contains ids."""
    if column is None:
        return
    requirement = column_requirements(graph, column)[column]
    if requirement.use not in {"ids", "class", "key"}:
        what = "lists" if requirement.use in {"lists", "amounts"} else "numbers"
        problems.setting(
            setting, f"`--{setting.replace('_', '-')} {column}`: {requirement.reader} reads this column as {what}, "
            "which cannot identify groups",
            help="choose a column of ids, such as the user's; the model need not read it",
        )  # fmt: skip


def _check_devices(devices: int, problems: _Problems) -> None:
    """Checks that the machine can run the processes."""
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    most = cards or max(os.cpu_count() or 1, _PROCESSES)
    if devices > most:
        has = f"{cards} GPU{'s' * (cards > 1)}" if cards else f"{os.cpu_count()} cores"
        problems.setting(
            "devices", f"`--devices {devices}`: this machine has {has}", help=f"use at most `--devices {most}`"
        )


def _check_processes(graph: Graph, processes: int, problems: _Problems) -> None:
    """Checks that several processes need not exchange sparse gradients."""
    if processes > 1 and has_sparse_tables(graph.spec):
        problems.setting(
            "devices", f"{processes} processes: `{graph.spec.name}` has tables with sparse gradients, which processes "
            "cannot exchange", help="train it in one process, or without `sparse_grad`",
        )  # fmt: skip


def _check_plateau(recipe: Recipe, problems: _Problems) -> None:
    """Checks that settings of a plateau are not given in vain."""
    plain = Recipe()
    for name in ("plateau_patience", "plateau_factor"):
        if recipe.schedule != "plateau" and getattr(recipe, name) != getattr(plain, name):
            option = f"--{name.replace('_', '-')}"
            problems.setting(
                name, f"`{option}` needs `--schedule plateau`", help=f"add `--schedule plateau`, or omit `{option}`"
            )


def _check_log(log: Tracker | None, problems: _Problems) -> None:
    """Checks that the tracker's package is installed."""
    package = missing_package(log)
    if package is not None:
        problems.setting("log", f"`--log {log}` needs {package}", code="AS709", help=f"pip install {package}")


def _check_tables(graph: Graph, optimizer: TableOptimizer | None, problems: _Problems) -> None:
    """Checks that the optimizer can train the tables; an unknown one has been reported."""
    problem = table_optimizer_problem(graph.spec, optimizer) if optimizer in TABLE_OPTIMIZERS else None
    if problem is not None:
        problems.setting("table_optimizer", f"`--table-optimizer {optimizer}`: {problem[0]}", help=problem[1])


def _check_precision(precision: str, problems: _Problems) -> None:
    """Checks that the machine supports the arithmetic."""
    if precision == "16-mixed" and not torch.cuda.is_available():
        problems.setting(
            "precision", "`--precision 16-mixed` requires a GPU",
            help="use `--precision bf16-mixed`, or `--precision 32`",
        )  # fmt: skip


def _check_frozen(graph: Graph, blocks: tuple[str, ...], problems: _Problems) -> None:
    """Checks that the frozen blocks exist, and that something is left to train; the model is built without memory."""
    if not blocks:
        return
    try:
        with torch.device("meta"):
            model = compile_spec(graph.spec, separate=blocks)
        freeze(model, blocks)
        MultiTaskLoss(model)
    except ValueError as error:
        problems.setting(
            "freeze", f"`--freeze {' '.join(blocks)}`: {error}", code="AS745",
            help="`archspec summary SPEC` lists the names of all blocks",
        )  # fmt: skip
    else:
        if not any(parameter.requires_grad for parameter in model.parameters()):
            problems.setting(
                "freeze", f"`--freeze {' '.join(blocks)}` leaves nothing to train", code="AS745",
                help="leave out a name, or use `archspec evaluate` to measure the model",
            )  # fmt: skip


def _check_monitor(graph: Graph, recipe: Recipe, grouped_by: str | None, problems: _Problems) -> None:
    """Checks that the monitored metrics are measured, and that each is better when it is higher, or lower."""
    known = [f"validation/{name}" for name in Measures(graph.spec, grouped_by, recipe.top).names()]
    names = names_in(recipe.monitor)
    if not names:
        problems.setting("monitor", "`--monitor` names no metric", help=_known(known))
    for name in names:
        if name not in known:
            near = suggest(name, known)
            help_ = f"did you mean `{near}`? " * bool(near) + _known(known)
            problems.setting("monitor", f"`{name}` is not measured", code="AS707", help=help_)
        elif higher_is_better(name) is None:
            problems.setting(
                "monitor", f"`{name}` cannot be monitored: it is best at a certain value, neither high nor low",
                code="AS741", help=f"monitor `{name.rpartition('/')[0]}/loss`",
            )  # fmt: skip


def _known(names: list[str]) -> str:
    more = f", and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"known: {', '.join(names[:_LISTED])}{more}"


def _check_memory(graph: Graph, recipe: Recipe, problems: _Problems) -> None:
    """Checks that the memory is large enough for training all weights."""
    parameters = {name: cost.parameters or 0 for name, cost in count(graph).nodes.items()}
    sizes = {name: number * _bytes(graph, recipe, name) for name, number in parameters.items()}
    needed, held = sum(sizes.values()), memory()
    if held is None or needed <= held:
        return
    node = max(sizes, key=lambda name: sizes[name])
    problems.error(
        "AS732", f"training `{graph.spec.name}` needs {_shown(needed)} of memory for weights, gradients and the state "
        f"of the optimizer, but this machine has {_shown(held)}",
        help=f"`{node}` needs the most, with {parameters[node]:,} weights: make it smaller",
    )  # fmt: skip


def _bytes(graph: Graph, recipe: Recipe, node: str) -> float:
    """Bytes per weight of a node: the weight, its moving average, its gradient, and the state of its optimizer.

    A sparse gradient only has the rows of a batch, and row-wise Adagrad keeps one number per row instead of two moments
    per weight. A frozen block has neither gradient nor state.
    """
    weight = _FLOAT if recipe.ema is None else 2 * _FLOAT
    if any(graph.nodes[node].name.is_in(block) for block in recipe.freeze):
        return weight
    section, _, name = node.partition(".")
    if section != "inputs":
        return weight + 3 * _FLOAT
    settings = graph.spec.inputs[name].settings
    gradient = 0 if settings.sparse_gradients() else _FLOAT
    by_row = recipe.table_optimizer == "rowwise_adagrad"
    return weight + gradient + (_FLOAT / getattr(settings, "dim", 1) if by_row else 2 * _FLOAT)


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


def _shown(size: float) -> str:
    """A number of bytes, such as `4.0 TB`."""
    value, unit = float(size), "B"
    for unit in ("kB", "MB", "GB", "TB", "PB", "EB"):  # noqa: B007 - the last one is kept
        value /= 1000
        if value < 1000:  # noqa: PLR2004 - the step of units
            break
    return f"{value:,.1f} {unit}"
