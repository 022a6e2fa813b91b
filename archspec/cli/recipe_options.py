"""Options for how a run trains. Types, ranges and defaults are those of the fields of `Recipe`."""

from __future__ import annotations

from dataclasses import MISSING, fields
from types import UnionType
from typing import TYPE_CHECKING, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import click
from click.core import ParameterSource

from archspec.cli.data_options import choices_of
from archspec.cli.options import Command, applied
from archspec.diagnostics import Diagnostic
from archspec.runs.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from archspec.runs.recipe_file import WrittenRecipe

_HINTS: Final = get_type_hints(Recipe, include_extras=True)
_DEFAULTS: Final = {field.name: None if field.default is MISSING else field.default for field in fields(Recipe)}
_UNLIMITED: Final = 2**31
"""Higher limits are left to the check of the recipe: they would fill the help."""


def setting(name: str, help: str, *, option: str = "", **attributes: Any) -> Callable[[Command], Command]:  # noqa: ANN401 - of click.option
    """The option for a field of `Recipe`.

    Args:
        name: the field.
        help: what it means; the help of a field whose default is None ends with what happens then, in brackets.
        option: the option's name, if it is not that of the field.
        attributes: passed on to `click.option`.
    """
    attributes.setdefault("type", _type(_HINTS[name]))
    if not attributes.get("multiple"):
        attributes |= {"default": _DEFAULTS[name], "show_default": _DEFAULTS[name] is not None}
    return click.option(option or f"--{name.replace('_', '-')}", name, help=help, **attributes)


def _type(annotation: Any) -> click.ParamType[Any] | None:  # noqa: ANN401 - any annotation
    """The type of an option, from that of the field: a choice, a range of numbers, or None for text."""
    if get_origin(annotation) in {Union, UnionType}:
        return _type(next(part for part in get_args(annotation) if part is not type(None)))
    if get_origin(annotation) is Literal:
        return click.Choice(get_args(annotation))
    kind, *limits = get_args(annotation) or (annotation,)
    if kind not in {int, float}:
        return None
    bounds = {key: getattr(limit, key) for limit in limits for key in ("ge", "gt", "le", "lt") if hasattr(limit, key)}
    least, most = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    if most is not None and most > _UNLIMITED:
        most = None
    range_ = click.IntRange if kind is int else click.FloatRange
    return range_(least, most, min_open="gt" in bounds, max_open=most is not None and "lt" in bounds)


_OPTIONS: Final = (
    click.option(
        "--recipe", metavar="FILE",
        help="Read these settings from a YAML file, such as RUN/recipe.yaml; options override it.",
    ),
    setting("epochs", "The most passes over the rows."),
    setting("batch", "Rows per step."),
    setting("learning_rate", "Learning rate of AdamW (and of SparseAdam, for sparse tables)."),
    setting("weight_decay", "Weight decay of AdamW."),
    setting(
        "table_learning_rate", "Learning rate of the tables of inputs. [default: that of everything else]", metavar="R"
    ),
    setting(
        "table_optimizer",
        "What trains the tables of inputs. [default: AdamW; SparseAdam for tables with `sparse_grad`]",
    ),
    setting(
        "schedule",
        "How the learning rate falls after warm-up; cosine and linear reach 0 after --epochs, plateau lowers it when "
        "--monitor does not improve.",
    ),
    setting("plateau_patience", "Epochs without improvement after which a plateau lowers the rate.", metavar="EPOCHS"),
    setting("plateau_factor", "What a plateau multiplies the learning rate by.", metavar="F"),
    setting("warmup", "Optimizer steps in which the learning rate rises linearly.", metavar="STEPS"),
    setting(
        "clip", "Scale the gradients down if the norm of all of them together is larger. [default: never]",
        metavar="NORM",
    ),
    setting("precision", "Arithmetic of a step; weights stay in float32."),
    setting("accumulate", "Average the gradients of this many batches for each optimizer step.", metavar="BATCHES"),
    setting(
        "ema", "Decay per step of a moving average of the weights, such as 0.999: measured and saved in their place. "
        "[default: no average]", metavar="DECAY",
    ),
    setting(
        "freeze", "Blocks that are not trained, by canonical name, such as inputs.user or level1.experts.shared.",
        multiple=True, metavar="NAME...",
    ),
    setting(
        "together", "Keep rows with one value of this column in the same batch, such as those of a request.",
        metavar="COLUMN",
    ),
    setting("patience", "Stop after this many epochs without improvement; 0: never stop early."),
    setting(
        "monitor",
        "The metric that must improve, such as validation/ctr/auc; the weights of its best epoch are kept. Of several "
        "(a,b) the first one decides which epoch is the best, and training stops when none improves. The default is "
        "the sum of the tasks' losses, each times its `weight`, without decay and balance.",
        metavar="METRIC,...",
    ),
    setting(
        "by", "In the end, also measure the validation rows with each value of this column alone, such as each scene.",
        metavar="COLUMN",
    ),
    setting("top", "k of NDCG@k and recall@k within the groups of --grouped-by.", metavar="K"),
    setting("log", "Also log losses and metrics, in RUN/log; a resumed run continues the log."),
    setting("interval", "Steps between checkpoints: the most that is lost if the process is killed."),
    setting("seed", "Seed of initial weights, order of rows, and dropout."),
    setting("devices", "Number of processes that train together."),
    setting("threads", "Threads per process. [default: torch's own]", metavar="N"),
    setting(
        "start", "Start from this run: its weights by name, its encodings, its vocabularies with the new values added.",
        option="--from", metavar="RUN",
    ),
    setting(
        "moved",
        "With --from: renamed blocks, such as ctr=click or level1.experts.shared=level1.experts.common.",
        multiple=True, metavar="OLD=NEW", callback=choices_of,
    ),
)  # fmt: skip


def recipe_options(command: Command) -> Command:
    """Adds the options for training: `--recipe`, and one for each field of a `Recipe`."""
    return applied(_OPTIONS, command)


def written_recipe(values: dict[str, Any]) -> WrittenRecipe:
    """The file of `--recipe`, or an empty one. Raises SpecError if it contains a mistake."""
    from archspec.runs.recipe_file import WrittenRecipe, read_recipe

    return WrittenRecipe({}, {}) if values["recipe"] is None else read_recipe(values["recipe"])


def recipe_of(context: click.Context, written: WrittenRecipe) -> Recipe:
    """Makes a Recipe: each setting from the command line, else from the file, else its default."""
    given = {field.name: context.params[field.name] for field in fields(Recipe)}
    unread = {name: value for name, value in written.values.items() if not _is_given(context, name)}
    return Recipe(**{**given, **unread})


def overridden(context: click.Context, written: WrittenRecipe) -> Iterator[Diagnostic]:
    """A note for each setting in the file that an option replaces with another value."""
    names = {option.name: option.opts[0] for option in context.command.params}
    for name, value in written.values.items():
        if _is_given(context, name) and context.params[name] != value:
            yield Diagnostic(
                "AS740", f"`{names[name]}` of the command line overrides `{name}` of the recipe", written.places[name],
                severity="note",
            )  # fmt: skip


def _is_given(context: click.Context, name: str) -> bool:
    """Whether a setting was given on the command line, or in the environment."""
    return context.get_parameter_source(name) is not ParameterSource.DEFAULT
