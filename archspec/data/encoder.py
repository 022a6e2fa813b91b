"""Encodes chunks of a table as the columns of a batch, and finds values that do not fit."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from archspec.data.encodings import Encoding, Numbers
from archspec.data.faults import MISSING, Fault
from archspec.data.hashing import Key
from archspec.data.items import ListForm
from archspec.data.labels import Labels, inside, label_encoding, reasons
from archspec.data.list_survey import list_forms, with_lists
from archspec.data.moments import Moment
from archspec.data.requirements import group_requirement
from archspec.data.serialization import ENCODINGS
from archspec.data.side_by_side import Lists, aligned, amounts
from archspec.data.values import floats, lists, missing
from archspec.program.columns import NO_GROUP, as_written

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from archspec.data.encodings import Encoded
    from archspec.data.requirements import ColumnRequirement
    from archspec.data.survey import Learned
    from archspec.data.tables import Chunk, Sources, Table
    from archspec.data.values import Array, Mask

Columns = dict[str, "Encoded"]
"""Column -> ids or numbers, `[N]` or `[N, width]`."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """The columns that a spec requires, and their encodings. `widths` is the longest list, or the number of values."""

    requirements: Mapping[str, ColumnRequirement]
    encodings: Mapping[str, Encoding]
    widths: Mapping[str, int] = field(default_factory=dict)
    forms: Mapping[str, ListForm] = field(default_factory=dict)
    """How lists are written, by column."""
    sources: Sources = field(default_factory=dict)
    """The columns of the files that columns are read from, if their names differ."""
    none: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Texts for a missing value in a column, in addition to the usual ones."""

    @classmethod
    def of(
        cls,
        learned: Learned,
        requirements: Mapping[str, ColumnRequirement],
        forms: Mapping[str, ListForm],
        sources: Sources | None = None,
        none: Mapping[str, tuple[str, ...]] | None = None,
    ) -> Encoder:
        """An encoder with the learned vocabularies, buckets and means."""
        widths = {name: d.width for name, d in requirements.items() if d.width is not None and d.several}
        longest = {name: max(length, 1) for name, length in learned.longest.items()} | widths
        beside = {name: longest[d.beside] for name, d in requirements.items() if d.use == "amounts"}
        return cls(requirements, learned.encodings, longest | beside, forms, sources or {}, none or {})

    @classmethod
    def from_text(cls, text: str, requirements: Mapping[str, ColumnRequirement]) -> Encoder:
        """The encoder that `text()` wrote, without columns that are no longer required."""
        data = json.loads(text)
        encodings = ENCODINGS.validate_python(data["columns"])
        forms = {name: ListForm.model_validate(form) for name, form in data.get("lists", {}).items()}
        lists = {name: forms.get(name, ListForm()) for name, requirement in requirements.items() if requirement.several}
        sources, none = (
            {name: tuple(map(str, texts)) for name, texts in data.get(key, {}).items()}
            for key in ("sources", "missing")
        )
        used = {name: encodings[name] for name in requirements}
        return cls(requirements, used, data["widths"], lists, sources, none)

    def of_inputs(self) -> Encoder:
        """The encoder without the columns of tasks: for rows that have no labels."""
        used = {
            name: replace(requirement, also=(), groups=False)
            for name, requirement in self.requirements.items()
            if requirement.of_input
        }
        return replace(self, requirements=used)

    def timed(self) -> set[str]:
        """The columns whose values are read as dates and times."""
        return {name for name, encoding in self.encodings.items() if isinstance(encoding, Moment)}

    def for_tables(self, tables: Iterable[Table]) -> Encoder:
        """The encoder for files whose lists have a form that was not seen in training: texts, or no brackets."""
        open_forms = {
            name: form
            for name, form in self.forms.items()
            if form.between in {None, "brackets"} and form.separator is None
        }
        found = list_forms(tables, {name: d for name, d in self.requirements.items() if name in open_forms}, {})
        forms = {
            name: self.forms[name].model_copy(update={"between": form.between})
            for name, form in found.items()
            if form.between is not None
        }
        return replace(self, forms={**self.forms, **forms})

    def text(self) -> str:
        """The encodings as JSON."""
        data = {
            "columns": {name: encoding.model_dump(mode="json") for name, encoding in self.encodings.items()},
            "widths": dict(self.widths),
            "lists": {name: form.model_dump(mode="json") for name, form in self.forms.items()},
            "sources": dict(self.sources),
            "missing": dict(self.none),
        }
        return json.dumps(data, indent=1, ensure_ascii=False) + "\n"

    def encode(self, chunk: Chunk) -> tuple[Columns, Mask, list[Fault]]:
        """The columns of a chunk, which of its rows fit in every column, and the values that do not fit.

        The types of its columns must be ones that `check_types` accepts.
        """
        whole = chunk
        chunk = with_lists(chunk, {name: form for name, form in self.forms.items() if name in self.requirements})
        chunk, good, faults = self._aligned(whole, chunk)
        columns: Columns = {}
        for name, requirement in self.requirements.items():
            array = chunk.columns[name]
            columns[name], fits, words = self._column(requirement, array)
            uses = [(requirement, self.encodings[name], fits, words)]
            if requirement.groups:
                keys, fits = Key().encode(array)
                absent = missing(array)
                columns[as_written(name)] = np.where(absent, NO_GROUP, keys)
                uses.append((group_requirement(name), Key(), fits | absent, Key().refusal()))
            for other in requirement.also:
                encoding = _fixed(other)
                uses.append((other, encoding, encoding.encode(array)[1], encoding.refusal()))
            for use, encoding, fits, words in uses:
                right = fits if use.space is None else fits | ~inside(chunk.columns[use.space])
                if not right.all():
                    faults += _faults(chunk, use, encoding, right, words)
                    good &= right
            if requirement.use == "space":
                faults += _odd_flags(chunk, requirement)
        return columns, good, faults

    def _aligned(self, whole: Chunk, chunk: Chunk) -> tuple[Chunk, Mask, list[Fault]]:
        """The chunk with aligned lists, which of its rows fit, and the diagnostics of the others.

        Columns of the same events have one item per event, and columns of weights one per id.

        Args:
            whole: the chunk with padding in its lists.
            chunk: the chunk without padding in its lists.
        """
        good, faults, columns = np.ones(chunk.rows, dtype=np.bool_), list[Fault](), dict(chunk.columns)
        read: dict[str, Lists] = {}
        for group in {requirement.events: None for requirement in self.requirements.values() if requirement.events}:
            found, fitting = aligned([Lists.of(self.forms[name], whole.columns[name]) for name in group])
            read |= zip(group, found, strict=True)
            for name, fits in zip(group, fitting, strict=True):
                columns[name] = read[name].array()
                words = f"has a different number of items than `{group[0]}`, although they are read together"
                hint = "write an item, or an empty one, for each event in both; `--bad skip` leaves such rows out"
                faults += _fault(whole, self.requirements[name], ~fits, words, hint)
                good &= fits
        for name, requirement in self.requirements.items():
            if requirement.use == "amounts":
                ids = requirement.beside
                beside = read[ids] if ids in read else Lists.of(self.forms[ids], whole.columns[ids])
                columns[name], fits = amounts(beside, chunk.columns[name])
                words = f"does not have one number for each item of `{ids}`"
                faults += _faults(chunk, requirement, self.encodings[name], fits, words)
                good &= fits
        return replace(chunk, columns=columns), good, faults

    def _column(self, requirement: ColumnRequirement, array: Array) -> tuple[Encoded, Mask, str]:
        """A column's values, which rows fit, and the reason why the others do not."""
        encoding, width = self.encodings[requirement.column], self.widths.get(requirement.column)
        if width is None:
            return *encoding.encode(array), encoding.refusal()
        offsets, items = lists(array)
        values, fits = encoding.encode(items)
        if requirement.use == "lists" and items.null_count:  # events that other columns have an item for
            gone = items.is_null().to_numpy(zero_copy_only=False)
            values, fits = np.where(gone, -1, values), fits | gone
        if requirement.use in {"lists", "amounts"}:
            nothing = -1 if requirement.use == "lists" else 0
            return *_padded(offsets, values, fits, width, nothing), f"has an item that {encoding.refusal()}"
        right = np.diff(offsets) == width
        out = np.zeros((len(array), width), dtype=np.float32)
        places = offsets[:-1][right, None] + np.arange(width)
        out[right] = values[places]
        rows = right.copy()
        rows[right] = fits[places].all(1)
        return out, rows, f"is not a list of {width} finite numbers"


def _padded(offsets: NDArray[np.int64], values: Encoded, fits: Mask, width: int, nothing: int) -> tuple[Encoded, Mask]:
    """Lists `[N, width]`, padded with `nothing`; longer ones keep the last items, the latest ones of a history."""
    ends = offsets[1:]
    starts = np.maximum(offsets[:-1], ends - width)
    places = starts[:, None] + np.arange(width)
    real = places < ends[:, None]
    if not len(values):
        return np.full(real.shape, nothing, dtype=values.dtype), np.ones(len(ends), dtype=np.bool_)
    safe = np.where(real, places, 0)
    return np.where(real, values[safe], values.dtype.type(nothing)), np.all(fits[safe] | ~real, axis=1)


def _fixed(requirement: ColumnRequirement) -> Encoding:
    """The encoding that checks the values of a column which is also read in another way."""
    return Numbers(low=0) if requirement.use == "weight" else label_encoding(requirement, None)


def _faults(
    chunk: Chunk, requirement: ColumnRequirement, encoding: Encoding, fits: Mask, words: str
) -> Iterator[Fault]:
    """The values of a column that do not fit: those that are missing, and the others."""
    array = chunk.columns[requirement.column]
    if isinstance(encoding, Labels):
        for rows, reason, hint in reasons(requirement, encoding, array, fits):
            yield from _fault(chunk, requirement, rows, reason, hint)
        return
    absent = missing(array)
    yield from _fault(chunk, requirement, ~fits & absent, MISSING)
    yield from _fault(chunk, requirement, ~fits & ~absent, words)


def _fault(chunk: Chunk, requirement: ColumnRequirement, rows: Mask, reason: str, hint: str = "") -> Iterator[Fault]:
    """A fault with the first of some rows and their count, if there are any."""
    if rows.any():
        first = int(np.flatnonzero(rows)[0])
        text = str(chunk.columns[requirement.column][first].as_py())
        shown = f"`{text[:_SHOWN]}{'...' * (len(text) > _SHOWN)}` "
        words = reason if reason == MISSING else shown + reason
        yield Fault(chunk.file, requirement, reason, words, chunk.first + first + 1, int(rows.sum()), hint)


def _odd_flags(chunk: Chunk, requirement: ColumnRequirement) -> Iterator[Fault]:
    """Values of a sample space's column that are neither 0 nor 1; their rows are outside the sample space."""
    numbers, known = floats(chunk.columns[requirement.column])
    odd = known & (numbers != 0) & (numbers != 1)
    reason, hint = (
        f"is not 1, so that the row is outside {requirement.reader}",
        "write 1 in its rows and 0 in all others",
    )
    for fault in _fault(chunk, requirement, odd, reason, hint):
        yield replace(fault, legal=True)


_SHOWN = 40
"""How many characters of a value a message shows."""
