"""Encodings of an earlier run that a new run continues with: every known value keeps its id."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from archspec.data.choices import families
from archspec.data.encodings import Buckets, Ids, Log, Numbers, Standard, Vocabulary, Words
from archspec.data.hashing import Hashed
from archspec.data.items import PADDING
from archspec.data.labels import Labels
from archspec.data.moments import Age, Hour, Weekday
from archspec.data.numerals import numeral
from archspec.program.nodes import NodeName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from archspec.data.encoder import Encoder
    from archspec.data.encodings import Encoding
    from archspec.data.prepare import Source
    from archspec.data.requirements import ColumnRequirement
    from archspec.data.survey import Learned
    from archspec.graph.graph import Graph

_REQUESTED: Final = (Ids, Vocabulary, Hashed, Buckets, Hour, Weekday, Numbers, Standard, Log, Age)
"""Encodings that `--encode` can request, by their `kind`."""
_OF_IDS: Final = (Ids, Vocabulary, Hashed, Buckets, Words, Hour, Weekday)


@dataclass(frozen=True, slots=True)
class Before:
    """The encodings of an earlier run.

    Args:
        encoder: its encoder, with the names that the new spec gives to columns.
        name: the run in words, for the table of columns.
        extend: whether vocabularies get the new values of the training rows; else those are unknown.
    """

    encoder: Encoder
    name: str
    extend: bool = True

    def source(self, source: Source, requirements: Mapping[str, ColumnRequirement]) -> Source:
        """The files with the encodings, names, padding and separators of the run, unless others are requested."""
        kept = self.kept(source.choices, requirements)
        choices = {name: _request(encoding) for name, encoding in kept.items()}
        able = {
            name: kind
            for name, kind in choices.items()
            if kind is not None and kind.partition(":")[0] in requirements[name].choices
        }
        forms = {name: form for name, form in self.encoder.forms.items() if name in requirements}
        padding = {name: form.padding[-1] for name, form in forms.items() if set(form.padding) - {PADDING}}
        separators = {name: form.separator for name, form in forms.items() if form.separator is not None}
        none = {name: texts for name, texts in self.encoder.none.items() if name in requirements}
        columns = {name: names[0] for name, names in self.encoder.sources.items() if name in requirements}
        return replace(
            source, choices={**able, **source.choices}, padding={**padding, **source.padding},
            separators={**separators, **source.separators}, columns={**columns, **source.columns},
            missing={**none, **source.missing},
        )  # fmt: skip

    def kept(self, requested: Mapping[str, str], requirements: Mapping[str, ColumnRequirement]) -> dict[str, Encoding]:
        """The run's encodings of the new spec's columns; of columns that share ids, that of the table's owner.

        A column for which another encoding is requested is left out, and so are those that share its ids.
        """
        known = self.encoder.encodings
        found: dict[str, Encoding] = {}
        for family, columns in families(requirements).items():
            members = [family, *columns]
            old = next((known[member] for member in members if member in known), None)
            asked = {requested[member] for member in members if member in requested}
            if old is not None and asked <= {_request(old)} - {"buckets", "standard", "age"}:
                found |= dict.fromkeys(columns, old)
        return {name: found[name] for name in requirements if name in found}

    def learned(
        self, fresh: Learned, requested: Mapping[str, str], requirements: Mapping[str, ColumnRequirement]
    ) -> Learned:
        """The encodings learned from training rows, replaced by those of the run if these are kept."""
        kept = self.kept(requested, requirements)
        encodings = {
            name: extended(kept[name], encoding, requirements[name].high, extend=self.extend)
            if name in kept
            else encoding
            for name, encoding in fresh.encodings.items()
        }
        why = {name: f"as in {self.name}" if name in kept else why for name, why in fresh.why.items()}
        longest = {
            name: max(length, self.encoder.widths.get(name, 0)) if name in kept else length
            for name, length in fresh.longest.items()
        }
        return replace(fresh, encodings=encodings, why=why, longest=longest)


def extended(old: Encoding, fresh: Encoding, high: int | None, *, extend: bool) -> Encoding:
    """The encoding of an earlier run for new rows.

    Args:
        old: the run's encoding.
        fresh: the one learned from the new rows alone.
        high: the first id that the new spec's table does not have; None: any number.
        extend: whether a vocabulary gets the new values, after its own.
    """
    match old, fresh:
        case Vocabulary(), Vocabulary():
            return _extended(old, fresh, high, extend=extend)
        case Buckets(), Buckets() if high is None or len(old.edges) + 1 < high:
            return old
        case (Standard(), Standard()) | (Age(), Age()):
            return old
        case Words(), Words():
            return fresh.model_copy(update={"first": old.first})
        case Labels(), Labels() if old.high == fresh.high and not fresh.values:
            return fresh.model_copy(update={"values": old.values, "soft": old.soft or fresh.soft})
        case _:
            return fresh


def _extended(old: Vocabulary, fresh: Vocabulary, high: int | None, *, extend: bool) -> Vocabulary:
    """The old values with their ids, then new ones, the most frequent first, until no ids are left."""
    known = set(old.values)
    values = fresh.values if fresh.reading == old.reading or old.reading != "numbers" else map(numeral, fresh.values)
    new = [value for value in dict.fromkeys(values) if value not in known] if extend else []
    absent = old.missing or (fresh.missing and extend)
    room = len(known) + len(new) if high is None else max(high - 1 - absent, 0)
    return Vocabulary(
        values=(*old.values, *new)[:room], others=fresh.others + max(len(known) + len(new) - room, 0),
        reading=old.reading, missing=absent and (high is None or high > 1), names=old.names,
    )  # fmt: skip


def places(old: Encoding | None, new: Encoding | None, rows: tuple[int, int]) -> NDArray[np.int64]:
    """For each row of a new table, the row of the old one with the same meaning, `[new rows]`; -1: none.

    Args:
        old: the encoding of the old table's ids; None: they are not encoded.
        new: that of the new table's ids.
        rows: the numbers of rows of both tables.
    """
    before, now = rows
    same = np.where(np.arange(now) < before, np.arange(now), -1)
    match old, new:
        case Vocabulary(), Vocabulary():
            found = _of_values(old, new, now)
        case Words(), Words():
            found = np.asarray([old.words.index(word) if word in old.words else -1 for word in new.words])
        case _ if _alike(old, new):
            return same
        case _:
            return np.full(now, -1, dtype=np.int64)
    return np.where(found < before, found, -1)


def _of_values(old: Vocabulary, new: Vocabulary, rows: int) -> NDArray[np.int64]:
    """By value; id 0 means all other values; ids without a value map to any row."""
    ids = {value: number for number, value in enumerate(old.values, 1)}
    found = np.arange(rows)  # rows beyond both vocabularies keep their random values
    last = max(len(old.values) + old.missing, len(new.values) + new.missing)
    found[1 : last + 1] = -1
    found[1 : len(new.values) + 1] = [ids.get(value, -1) for value in new.values][: max(rows - 1, 0)]
    if new.missing and len(new.values) + 1 < rows:
        found[len(new.values) + 1] = len(old.values) + 1 if old.missing else -1
    return found


def _alike(old: Encoding | None, new: Encoding | None) -> bool:
    """Whether both give the same id to each value that both know."""
    if isinstance(old, Ids) and isinstance(new, Ids):
        return True
    if isinstance(old, Hashed) and isinstance(new, Hashed):
        return old.high == new.high
    return old == new


def _request(encoding: Encoding) -> str | None:
    """The name of an encoding in `--encode`; None: it cannot be requested."""
    if not isinstance(encoding, _REQUESTED):
        return None
    return f"{encoding.kind}:{encoding.column}" if isinstance(encoding, Age) and encoding.column else encoding.kind


def table_encodings(graph: Graph, encodings: Mapping[str, Encoding]) -> dict[str, Encoding]:
    """Canonical name of each embedding table -> the encoding of its ids; columns that share a table share it."""
    found: dict[str, Encoding] = {}
    for name, block in graph.spec.inputs.items():
        column = block.common.column or name
        if column in encodings and isinstance(encodings[column], _OF_IDS):
            table = NodeName("inputs", block.settings.shared_table() or name).child("weight")
            found.setdefault(table, encodings[column])
    return found


def digests(graph: Graph, encodings: Mapping[str, Encoding]) -> dict[str, str]:
    """Canonical name of each embedding table -> a digest of the meaning of its ids."""
    found = {}
    for name, encoding in table_encodings(graph, encodings).items():
        meaning = encoding.model_dump_json(
            exclude={"others", "values", "colliding"} if isinstance(encoding, Hashed) else {"others"}
        )
        found[name] = hashlib.sha256(meaning.encode()).hexdigest()[:16]
    return found
