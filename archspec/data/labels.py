"""Labels: their encoding, and the messages about those that do not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from archspec.data.encodings import Encoded, Encoding, indices
from archspec.data.faults import MISSING
from archspec.data.numerals import spelled
from archspec.data.values import Array, Mask, floats, missing, texts
from archspec.diagnostics import Diagnostics

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from archspec.data.requirements import ColumnRequirement
    from archspec.data.tables import Read
    from archspec.diagnostics import Span

CLASSES: Final = "classes"
SOFT: Final = "soft"
"""Encodings of labels that can be requested: classes by their values in the column; labels between 0 and 1."""
_ABSENT: Final = -1
_SHOWN: Final = 8
"""How many values a message lists."""


class Labels(Encoding):
    """Labels of a task: numbers, or classes from 0 to `high - 1`.

    Empty fields are missing labels and, except for regression, so is -1. With `masked` they become NaN (-1 with
    `index`), for `missing_labels: mask`; otherwise they do not fit.
    """

    kind: Literal["labels"] = "labels"
    high: int | None = None
    """Number of classes, 2 for a binary task; None: any finite number."""
    low: float | None = None
    """The lowest legal label, if labels are not classes; None: any number."""
    index: bool = False
    """Whether classes become int64, as a multiclass task reads them."""
    values: tuple[str, ...] = ()
    """The value of each class in the column; empty: its number."""
    soft: bool = False
    """Whether a binary label may be between 0 and 1."""
    masked: bool = False

    @property
    def signed(self) -> bool:
        """Whether -1 is a label, rather than missing."""
        return self.high is None and self.low is None

    def encode(self, array: Array) -> tuple[Encoded, Mask]:
        """Labels in float32, or classes in int64."""
        numbers, fits = self._numbers(array)
        unlabeled = self.absent(array)
        values = np.where(fits, numbers, 0)
        if self.masked:
            fits = fits | unlabeled
            values = np.where(unlabeled, _ABSENT if self.index else np.nan, values)
        else:
            fits = fits & ~unlabeled
        return values.astype(np.int64 if self.index else np.float32), fits

    def absent(self, array: Array) -> Mask:
        """Which labels are missing."""
        return missing_labels(array, classes=not self.signed)

    def _numbers(self, array: Array) -> tuple[Encoded, Mask]:
        """The labels as numbers, and which of them the task can learn."""
        if self.values:
            classes = indices(self.texts(array), self.values)
            return classes, classes >= 0
        numbers, known = floats(array)
        fits = known & (np.abs(numbers) <= np.finfo(np.float32).max)
        if self.low is not None:
            fits &= numbers >= self.low
        if self.high is not None:
            fits &= (numbers >= 0) & (numbers <= self.high - 1) & (self.soft | (numbers == np.floor(numbers)))
        return numbers, fits

    def refusal(self) -> str:
        """The range."""
        if self.values:
            return f"is not one of {', '.join(self.values)}"
        if self.high is None:
            return "is not a finite number" if self.low is None else f"is not a finite number of at least {self.low:g}"
        if self.index:
            return f"is not a class in 0..{self.high - 1}"
        return "is outside 0..1" if self.soft else "is neither 0 nor 1"

    def text(self) -> str:
        """How labels are encoded."""
        masked = "; missing ones are masked" if self.masked else ""
        if self.values:
            return "classes: " + ", ".join(f"{value} is {number}" for number, value in enumerate(self.values)) + masked
        if self.soft:
            return f"soft labels from 0 to 1 (AUC counts those above one half as positive){masked}"
        return ("unchanged numbers" if self.high is None else f"classes 0..{self.high - 1}") + masked


def missing_labels(array: Array, *, classes: bool) -> Mask:
    """Which rows of a column have no label, `[N]`: an empty field or NaN; for classes, also -1."""
    absent = missing(array)
    return absent | (floats(array)[0] == _ABSENT) if classes else absent


def learned_labels(
    read: Read, requirements: Mapping[str, ColumnRequirement], choices: Mapping[str, str]
) -> dict[str, Labels]:
    """The encodings of the columns of labels; the values of classes are collected from the training rows.

    Args:
        read: returns some columns of the training rows, chunk by chunk.
        requirements: the columns that the spec reads.
        choices: requested encodings, by column.

    Raises:
        SpecError: a column has more classes than its task.
    """
    labels = {name: requirement for name, requirement in requirements.items() if requirement.use in {"label", "class"}}
    requested = {name: requirement for name, requirement in labels.items() if choices.get(name) == CLASSES}
    counts: dict[str, set[str]] = {name: set() for name in requested}
    spaces = {requirement.space for requirement in requested.values() if requirement.space is not None}
    for chunk in read({*requested, *spaces}) if requested else ():
        for name, requirement in requested.items():
            array = chunk.columns[name]
            if requirement.space is not None:
                import pyarrow as pa

                array = array.filter(pa.array(inside(chunk.columns[requirement.space])))
            counts[name] |= set(texts(array).unique().drop_null().to_pylist())
    problems = Diagnostics()
    for name, requirement in requested.items():
        _check_count(requirement, counts[name], problems)
    problems.raise_errors(status=2)
    return {
        name: label_encoding(requirement, choices.get(name), counts.get(name, ()))
        for name, requirement in labels.items()
    }


def inside(space: Array) -> Mask:
    """Which rows belong to a sample space: those where its column is 1."""
    numbers, known = floats(space)
    rows: Mask = known & (numbers == 1)
    return rows


def label_encoding(requirement: ColumnRequirement, kind: str | None, found: Iterable[str] = ()) -> Labels:
    """The encoding of a column of labels.

    Args:
        requirement: the column.
        kind: the requested encoding: `soft`, `classes`, or `classes:` and the value of each class, in order.
        found: the distinct values of training rows, if `kind` is `classes`.
    """
    name, _, listed = (kind or "").partition(":")
    values = _listed(listed) if listed else ()
    if name == CLASSES and not values and requirement.high is not None:
        values = _in_order(found, requirement.high)
    return Labels(
        high=requirement.high, low=requirement.low, index=requirement.use == "class", values=values, soft=name == SOFT,
        masked=requirement.masked or requirement.optional,
    )  # fmt: skip


def check_listed(requirement: ColumnRequirement, kind: str, problems: Diagnostics, span: Span | None = None) -> None:
    """Adds an error if `classes:A,B,...` does not list one value for each class."""
    name, _, listed = kind.partition(":")
    values = _listed(listed)
    if name != CLASSES or len(set(values)) != requirement.high or len(values) != requirement.high or not all(values):
        problems.error(
            "AS705", f"column `{requirement.column}` cannot be encoded as `{kind}`", span,
            help=f"after `{CLASSES}:`, list the value of each of the {requirement.high} classes, in order, "
            "separated by commas",
        )  # fmt: skip


def _listed(text: str) -> tuple[str, ...]:
    return tuple(spelled(value.strip()) for value in text.split(","))


def _check_count(requirement: ColumnRequirement, found: Iterable[str], problems: Diagnostics) -> None:
    """Adds an error if there are more values than classes."""
    values = sorted(value for value in found if value != str(_ABSENT))
    if requirement.high is not None and len(values) > requirement.high:
        some = ", ".join(f"`{value}`" for value in values[:_SHOWN]) + ", ..." * (len(values) > _SHOWN)
        problems.error(
            "AS722", f"column `{requirement.column}` has {len(values):,} values, {some}; {requirement.reader} has "
            f"{requirement.high} classes", help="write `kind: multiclass` with as many `classes` in the spec, or "
            "choose another column with `label:`",
        )  # fmt: skip


def _in_order(counts: Iterable[str], classes: int) -> tuple[str, ...]:
    """The value of each class: whole numbers by size, without gaps if there is room; texts alphabetically."""
    written = [value for value in counts if value != str(_ABSENT)]
    if not all(value.isdecimal() and str(int(value)) == value for value in written):
        try:
            return tuple(sorted(written, key=float))
        except ValueError:
            return tuple(sorted(written))
    numbers = sorted(map(int, written)) or [0]
    for first in (min(numbers[0], 1), numbers[0]):
        if numbers[-1] < first + classes:
            return tuple(str(number) for number in range(first, first + classes))
    return tuple(map(str, numbers))


def reasons(
    requirement: ColumnRequirement, encoding: Labels, array: Array, fits: Mask
) -> Iterator[tuple[Mask, str, str]]:
    """Which labels `[N]` do not fit, the reasons, and how to fix them."""
    classes, skip = not encoding.signed, "`--bad skip` leaves such rows out of all tasks"
    absent = missing(array)
    unlabeled = missing_labels(array, classes=classes)
    numbers, known = floats(array)
    inner = known & (numbers > 0) & (numbers < 1) & (encoding.high == 2) & (not encoding.values)  # noqa: PLR2004
    others = ~fits & ~unlabeled & ~inner
    mask = _mask_help(requirement)
    yield ~fits & absent, MISSING, f"{mask}; {skip}"
    yield ~fits & unlabeled & ~absent, "is not a label", f"{mask}; {skip}"
    soft = [f"`--encode {requirement.column}=soft` takes labels from 0 to 1"] if SOFT in requirement.choices else []
    yield ~fits & inner, encoding.refusal(), "; ".join([*soft, skip])
    ways = [skip]
    if CLASSES in requirement.choices:
        listed = f"`--encode {requirement.column}=classes:A,B,...` lists the values of class 0, 1, ..."
        found = f"`--encode {requirement.column}=classes` numbers the values found, in order, from 0"
        ways = [f"classes count from 0: {found}", listed, skip] if not encoding.values else [listed, skip]
    yield others, encoding.refusal(), "; ".join(ways)


def _mask_help(requirement: ColumnRequirement) -> str:
    """How to keep the rows for other tasks."""
    sets = " ".join(f"--set tasks.{task}.missing_labels=mask" for task in requirement.tasks)
    named = " and ".join(f"`{task}`" for task in requirement.tasks)
    own, in_tasks = ("that task", "task") if len(requirement.tasks) == 1 else ("those tasks", "tasks")
    return (
        f"`missing_labels: mask` in {in_tasks} {named} of the spec (or `{sets}`) leaves such rows out of {own} only, "
        "and so does `when: COLUMN` with a column that is 1 in rows that have the label"
    )
