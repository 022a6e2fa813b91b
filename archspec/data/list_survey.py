"""How the lists of each column are written: decided once, over all files, before their items are read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from archspec.data.items import BRACKETED, PADDING, Between, ListForm, equal
from archspec.data.values import cleaned, floats, is_list, is_text, lists, missing, texts
from archspec.diagnostics import Diagnostic, Diagnostics

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from archspec.data.requirements import ColumnRequirement
    from archspec.data.tables import Chunk, Table
    from archspec.data.values import Array

_NUMBER: Final = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|nan|NaN|NA|null|None"
_NUMBERS: Final = rf"^[\s\[({{|;,]*(({_NUMBER})([\s|;,]+({_NUMBER}))*)?[\s\])}}|;,]*$"
_MARKS: Final[tuple[tuple[Between, str], ...]] = (("|", "|"), (";", ";"), (",", ","), ("tab", "\t"))
_SHARE: Final = 0.05
"""A value looks like padding only if at least this share of the lists ends (or begins) with it."""


@dataclass
class Ends:
    """How often a value occurs at an end of lists, and how often elsewhere: padding never occurs elsewhere."""

    value: str
    last: bool
    items: int = 0
    at_end: int = 0
    lists: int = 0
    several: int = 0

    def look(self, offsets: NDArray[np.int64], items: Array) -> None:
        """Adds the counts of the value in some lists."""
        places = np.arange(len(items))
        found = equal(items, self.value)
        starts, ends = offsets[:-1][np.diff(offsets) > 0], offsets[1:][np.diff(offsets) > 0]
        if self.last:
            others = np.maximum.accumulate(np.where(found, -1, places))[ends - 1]
            runs = ends - 1 - np.maximum(others, starts - 1)
        else:
            others = np.minimum.accumulate(np.where(found, len(items), places)[::-1])[::-1][starts]
            runs = np.minimum(others, ends) - starts
        self.items += int(found.sum())
        self.at_end += int(runs.sum())
        self.lists += int((runs > 0).sum())
        self.several += int((runs > 1).sum())

    def pads(self, lists: int) -> bool:
        """Whether the value looks like padding, given the number of lists."""
        return self.several > 0 and self.items == self.at_end and _SHARE * lists <= self.lists


@dataclass
class Marks:
    """The marks in the texts of a column of lists."""

    seen: bool = False
    plain: bool = False
    """Whether a list was written without brackets."""
    numbers: bool = True
    found: set[Between] = field(default_factory=set)
    names: bool = False
    """Whether some items of Arrow lists are texts and no numbers."""

    def look_at_items(self, array: Array) -> None:
        """Adds more lists that are not written as text, but whose items are."""
        items = lists(array)[1]
        self.names = self.names or bool((np.isnan(floats(items)[0]) & ~missing(items)).any())

    def look(self, array: Array) -> None:
        """Adds more lists. In brackets, marks have no meaning."""
        import pyarrow.compute as pc

        self.seen = True
        self.numbers = self.numbers and pc.all(pc.match_substring_regex(array, _NUMBERS)).as_py() is not False
        plain = array.filter(pc.invert(pc.match_substring_regex(array, BRACKETED)))
        self.plain |= len(plain) > 0
        for name, mark in _MARKS:
            if name not in self.found and pc.any(pc.match_substring(plain, mark)).as_py():
                self.found.add(name)

    def between(self) -> Between | None:
        """The separator of items: any of the marks between numbers, else the first of them that occurs."""
        if not self.seen:
            return None
        if self.numbers:
            return "any"
        return next((name for name, _ in _MARKS if name in self.found), "blank" if self.plain else "brackets")


@dataclass
class ListEnds:
    """The lengths of the lists of a column, and the values at their ends."""

    requirement: ColumnRequirement
    rows: int = 0
    shortest: int | None = None
    longest: int = 0
    ends: tuple[Ends, ...] = ()

    def look(self, array: Array) -> None:
        """Adds more lists, with their padding; empty ones do not count."""
        offsets, items = lists(array)
        items = cleaned(items)
        lengths = np.diff(offsets)
        lengths = lengths[lengths > 0]
        self.rows += len(lengths)
        if not len(lengths):
            return
        low, self.longest = int(lengths.min()), max(self.longest, int(lengths.max()))
        self.shortest = low if self.shortest is None else min(self.shortest, low)
        if not self.ends:
            self.ends = tuple(_most_frequent(offsets, items))
        for end in self.ends:
            end.look(offsets, items)

    def warn(self, diagnostics: Diagnostics, form: ListForm) -> None:
        """Warns if the ends look like padding: all lists have the same length, and the value occurs nowhere else."""
        if self.shortest != self.longest or self.longest < 2:  # noqa: PLR2004 - a list of one item is not padded
            return
        for end in self.ends:
            if end.pads(self.rows) and end.value not in form.padding:
                column, at = self.requirement.column, "end" if end.last else "begin"
                diagnostics.warning(
                    "AS725", f"column `{column}`: {end.lists / self.rows:.0%} of the lists, which all have "
                    f"{self.longest} items, {at} with `{end.value}`, which occurs nowhere else: it looks like padding, "
                    f"but {self.requirement.reader} reads it as an item",
                    help=f"if it is padding, add `--padding {column}={end.value}`; -1 is padding in every column",
                )  # fmt: skip
                return


def _most_frequent(offsets: NDArray[np.int64], items: Array) -> Iterator[Ends]:
    """The most frequent last and first items."""
    import pyarrow as pa

    filled = np.diff(offsets) > 0
    for last, places in ((True, offsets[1:][filled] - 1), (False, offsets[:-1][filled])):
        counts = texts(items.take(pa.array(places))).drop_null().value_counts()
        found = sorted(counts.to_pylist(), key=lambda item: (-item["counts"], item["values"]))
        if found:
            yield Ends(found[0]["values"], last)


def list_forms(
    tables: Iterable[Table],
    requirements: Mapping[str, ColumnRequirement],
    padding: Mapping[str, str],
    separators: Mapping[str, str] | None = None,
) -> dict[str, ListForm]:
    """How the lists of each column are written.

    Args:
        tables: all files, so that one decision holds for all; only columns of texts are read.
        requirements: the columns that the spec reads.
        padding: the padding item of a column, in addition to -1.
        separators: the separator of the lists of a column, if it is declared.
    """
    separators = separators or {}
    marks = {name: Marks() for name, requirement in requirements.items() if requirement.several}
    for table in tables if marks else ():
        for chunk in table.chunks(marks):
            written = {name: array for name, array in chunk.columns.items() if is_text(array)}
            for name, array in written.items():
                marks[name].look(cleaned(array))
            listed = {name: array for name, array in chunk.columns.items() if is_list(array) and is_text(array.values)}
            for name, array in listed.items():
                marks[name].look_at_items(array)
            if not written and not listed:
                break  # all chunks of a file have the same types
    forms = {}
    for name, mark in marks.items():
        more = (padding[name],) if name in padding else ()
        forms[name] = ListForm(
            between="any" if requirements[name].use in {"numbers", "amounts"} and mark.seen else mark.between(),
            padding=(PADDING, *more) if requirements[name].use == "lists" else (), separator=separators.get(name),
            names=mark.names or not mark.numbers,
        )  # fmt: skip
    return forms


def with_lists(chunk: Chunk, forms: Mapping[str, ListForm], *, padding: bool = False) -> Chunk:
    """A chunk in which texts of lists are parsed; with `padding`, padding items are kept."""
    columns = {
        name: form.whole(chunk.columns[name]) if padding else form.real(chunk.columns[name])
        for name, form in forms.items()
        if name in chunk.columns
    }
    return replace(chunk, columns={**chunk.columns, **columns})


def split_at_blanks(column: str, form: ListForm, longest: int) -> Iterator[Diagnostic]:
    """A warning if texts were split at blanks, which may be part of an item, for lack of a better separator."""
    if form.between == "blank" and form.separator is None and longest > 1:
        yield Diagnostic(
            "AS761",
            f"the lists of column `{column}` are split at blanks, since none of them has `|`, `;`, `,` or a tab: "
            "items of several words are also split",
            help=f'if each text is a single item, `--separator {column}=";"` keeps it whole; if blanks do separate '
            f"items, declare it with `--separator {column}=blank`", severity="warning",
        )  # fmt: skip
