"""The columns that a spec requires in a table: their contents, and what reads them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from archspec.contract import ColumnName, GroupName, selects_rows
from archspec.data.side_by_side import events
from archspec.diagnostics import Diagnostics, suggest
from archspec.graph.construct.wiring import settings_names
from archspec.program.columns import as_written
from archspec.program.nodes import NodeName

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from archspec.contract import InputKind
    from archspec.diagnostics import Diagnostic
    from archspec.graph.graph import Graph
    from archspec.program.columns import Column

Use = Literal["ids", "lists", "amounts", "numbers", "class", "label", "space", "weight", "column", "key"]
"""`ids` one per row, `lists` of ids, `amounts` (one number per id of a list), `numbers` for a dense input; for tasks:
`class` (a label that is an index), `label`, `space` (`when`), `weight`, `column` (numbers that a loss reads); `key`
groups rows and accepts any values."""


@dataclass(frozen=True, slots=True)
class ColumnRequirement:
    """One column that a spec reads.

    `width` is the number of values in a row, or the longest list (None: any length); `high` the first id, class or
    label that is too high; `low` the lowest label that is no class; `words` the names of ids. Columns of one
    `family` have the same ids. A label counts only in rows where the column `space` is 1.
    """

    column: str
    use: Use
    reader: str
    """The reader in words: "input `user`"."""
    width: int | None = 1
    high: int | None = None
    words: tuple[str, ...] = ()
    family: str = ""
    low: float | None = None
    space: str | None = None
    optional: bool = False
    """Whether a label may be missing in any row: its loss determines which rows have one."""
    masked: bool = False
    """Whether rows without the label are outside the task's sample space."""
    tasks: tuple[str, ...] = ()
    """The tasks whose label it is."""
    plain: bool = False
    """Whether values must not be encoded, because the column also has another use."""
    also: tuple[ColumnRequirement, ...] = ()
    """Requirements of other uses that the values must also satisfy."""
    beside: str = ""
    """For `amounts`: the column with the lists of ids that they belong to."""
    events: tuple[str, ...] = ()
    """For `lists`: all columns of the same events, this one included; each has one item per event."""
    groups: bool = False
    """Whether its original values also group rows; after encoding, all unknown values would be one group."""

    @property
    def encodes(self) -> bool:
        """Whether values become ids, rather than staying the numbers they are."""
        return self.use in {"ids", "lists"}

    @property
    def of_input(self) -> bool:
        """Whether the model reads the column."""
        return self.use in _OF_INPUTS

    @property
    def several(self) -> bool:
        """Whether a row contains several items."""
        return self.use in {"lists", "amounts"} or (self.use == "numbers" and self.width != 1)

    @property
    def choices(self) -> tuple[str, ...]:
        """The encodings that can be requested."""
        if self.words:
            return ()
        if self.plain:
            return ("ids",) if self.encodes else ()
        if self.use in {"label", "class"} and self.high is not None:
            return ("classes", "soft") if self.use == "label" and not self.optional else ("classes",)
        if self.use == "numbers" and self.width == 1:
            return "numbers", "standard", "log1p", "age"
        hashed = ("hash",) if self.high is not None else ()
        if self.use == "ids":
            return "ids", "vocabulary", *hashed, "buckets", "hour", "weekday"
        return ("ids", "vocabulary", *hashed) if self.use == "lists" else ()


def column_requirements(graph: Graph, *grouping: str | None) -> dict[str, ColumnRequirement]:
    """The columns that a checked spec requires: first those of its inputs, then those of its tasks.

    Args:
        graph: the graph; inputs that nothing reads require no column.
        grouping: further columns, whose values group rows in metrics or batches.
    """
    found: dict[str, ColumnRequirement] = {}
    for requirement in (*_of_inputs(graph), *_of_tasks(graph)):
        known = found.get(requirement.column)
        found[requirement.column] = requirement if known is None else _both(known, requirement)
    highs: dict[str, int] = {}
    for requirement in found.values():
        if requirement.high is not None and requirement.family:
            highs[requirement.family] = min(requirement.high, highs.get(requirement.family, requirement.high))
    found = {
        name: replace(requirement, high=highs.get(requirement.family, requirement.high))
        for name, requirement in found.items()
    }
    for column in grouping:
        if column in found:
            found[column] = replace(found[column], groups=found[column].use != "key")
        elif column is not None:
            found[column] = group_requirement(column)
    return found


def group_requirement(column: str, reader: str = "the groups of rows") -> ColumnRequirement:
    """The requirement for a column that groups rows."""
    return ColumnRequirement(column, "key", reader)


def by_requirement(column: str) -> dict[str, ColumnRequirement]:
    """The requirement for a column by whose values rows are measured; it is read without encoding."""
    return {column: group_requirement(column, "`--by`")}


def group_column(found: Mapping[str, ColumnRequirement], grouped_by: str | None) -> str | None:
    """The column of a batch with the groups: a separate one if the spec also reads the file's column."""
    return as_written(grouped_by) if grouped_by is not None and found[grouped_by].groups else grouped_by


_OF_INPUTS: Final = frozenset({"ids", "lists", "amounts", "numbers"})
_STRICTEST: tuple[Use, ...] = (
    "ids", "lists", "numbers", "amounts", "class", "label", "weight", "column", "space", "key"
)  # fmt: skip


def _both(one: ColumnRequirement, other: ColumnRequirement) -> ColumnRequirement:
    """A requirement that satisfies both readers of one column."""
    one, other = sorted((one, other), key=lambda requirement: _STRICTEST.index(requirement.use))
    if one.use != other.use:
        return _of_two_uses(one, other)
    highs = [requirement.high for requirement in (one, other) if requirement.high is not None]
    widths = [requirement.width for requirement in (one, other) if requirement.width is not None]
    return replace(
        one,
        high=min(highs, default=None),
        width=min(widths, default=None),
        space=one.space if one.space == other.space else None,
        optional=one.optional and other.optional,
        masked=one.masked and other.masked,
        low=max((low for low in (one.low, other.low) if low is not None), default=None),
        groups=one.groups or other.groups,
        tasks=(*one.tasks, *other.tasks),
        plain=one.plain or other.plain,
        also=(*one.also, *other.also),
    )


def _of_two_uses(one: ColumnRequirement, other: ColumnRequirement) -> ColumnRequirement:
    """A requirement that satisfies readers of two uses: values are not encoded, and must fit both."""
    if one.use in _OF_INPUTS and other.use in _OF_INPUTS:
        return one
    if other.use == "key":
        return replace(one, groups=True)
    checked = other.use in {"class", "label", "weight"}
    narrowed = one.use in _OF_INPUTS or checked
    return replace(
        one,
        plain=one.plain or narrowed,
        masked=one.masked and not narrowed,
        also=(*one.also, replace(other, plain=True, masked=False)) if checked else one.also,
    )


def _of_inputs(graph: Graph) -> Iterator[ColumnRequirement]:
    inputs = graph.spec.inputs
    settings: Mapping[str, InputKind] = {name: block.settings for name, block in inputs.items()}
    columns: dict[str, Column] = {name: block.settings.column(settings) for name, block in inputs.items()}
    read = {edge.source for edge in graph.edges}
    keys = {name: block.common.column or name for name, block in inputs.items()}
    families = _families(keys, columns)
    beside = events(graph, keys)
    for name, block in inputs.items():
        if NodeName("inputs", name) not in read:
            continue
        reader, kind = f"input `{name}`", block.settings
        own = _of_column(keys[name], columns[name], reader, families[name])
        yield replace(own, events=beside.get(keys[name], ())) if own.use == "lists" else own
        for setting, column in kind.columns(settings).items():
            key = getattr(kind, setting)
            if key is not None:
                further = _of_column(str(key), column, f"`{setting}` of {reader}", str(key))
                yield replace(further, beside=keys[name]) if column.beside else further


def _of_column(key: str, column: Column, reader: str, family: str) -> ColumnRequirement:
    """The requirement for one column of an input."""
    width = column.shape[1] if len(column.shape) > 1 else 1
    if column.beside:
        return ColumnRequirement(key, "amounts", reader, width if isinstance(width, int) else None)
    if column.dtype == "float":
        return ColumnRequirement(key, "numbers", reader, int(width))
    if len(column.shape) == 1:
        return ColumnRequirement(key, "ids", reader, 1, column.high, column.words, family)
    return ColumnRequirement(key, "lists", reader, width if isinstance(width, int) else None, column.high, (), family)


def _families(keys: Mapping[str, str], columns: Mapping[str, Column]) -> dict[str, str]:
    """Input -> the column whose ids it shares, through a shared table or because it reads the same column."""
    family = dict(keys)
    for name, column in columns.items():
        if column.table is not None:
            old, new = family[name], family[column.table]
            family = {other: new if known == old else known for other, known in family.items()}
    return family


def _of_tasks(graph: Graph) -> Iterator[ColumnRequirement]:
    for name, block in graph.spec.tasks.items():
        task, reader = block.task, f"task `{name}`"
        use: Use = "class" if block.settings.whole else "label"
        if task.when is not None:
            yield ColumnRequirement(task.when, "space", f"the sample space of {reader}")
        label = task.label or name
        yield ColumnRequirement(
            label, use, reader, high=block.settings.class_count(), low=block.settings.lowest, space=task.when,
            optional=any(selects_rows(loss.settings) for loss in block.losses),
            masked=task.missing_labels == "mask", tasks=(name,),
        )  # fmt: skip
        if task.weight_column is not None:
            yield ColumnRequirement(task.weight_column, "weight", f"the rows' weights in {reader}", space=task.when)
        for loss in block.losses:
            for _, column in settings_names(loss.settings, ColumnName):
                yield ColumnRequirement(str(column), "column", f"the loss `{loss.kind}` of {reader}", space=task.when)
            for _, column in settings_names(loss.settings, GroupName):
                yield group_requirement(str(column), f"the loss `{loss.kind}` of {reader}")


def groups_of_losses(graph: Graph) -> dict[str, str]:
    """The columns whose groups losses compare -> the first of these losses, in words."""
    found: dict[str, str] = {}
    for requirement in _of_tasks(graph):
        if requirement.use == "key":
            found.setdefault(requirement.column, requirement.reader)
    return found


def nearest_column(column: str, known: Collection[str], reads: str) -> str:
    """The help for an unknown column: the nearest known one, or else `reads` followed by all known ones."""
    near = suggest(column, known)
    return f"did you mean `{near}`?" if near else f"{reads} {', '.join(known) or 'no column'}"


def leaks(requirements: Mapping[str, ColumnRequirement]) -> tuple[Diagnostic, ...]:
    """Warnings about labels that the model reads as inputs: it would see the value that it must predict."""
    problems = Diagnostics()
    for name, requirement in requirements.items():
        for other in requirement.also if requirement.of_input else ():
            if other.tasks:
                problems.warning(
                    "AS726", f"column `{name}` is read by {requirement.reader}, but is also the label of "
                    f"{other.reader}: the model sees what it must predict",
                    help="give one of them another `column` or `label`",
                )  # fmt: skip
    return tuple(problems.items)
