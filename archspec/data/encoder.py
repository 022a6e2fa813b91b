"""Pieces of a table as the columns of a batch, and the values that do not fit."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from archspec.data.encodings import ENCODINGS, Encoding, Flag
from archspec.data.faults import Fault
from archspec.data.survey import learned
from archspec.data.values import lists

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from archspec.data.demands import Demand
    from archspec.data.encodings import Encoded
    from archspec.data.survey import Read
    from archspec.data.tables import Piece
    from archspec.data.values import Array, Mask

Columns = dict[str, "Encoded"]
"""Column -> ids or numbers, `[N]` or `[N, width]`."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """What a spec asks of data, and how each column is encoded. `widths` has the longest list, or how many numbers."""

    demands: Mapping[str, Demand]
    encodings: Mapping[str, Encoding]
    widths: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def learn(cls, read: Read, demands: Mapping[str, Demand], choices: Mapping[str, str]) -> Encoder:
        """An encoder whose vocabularies, buckets and means come from the pieces that `read` gives for some columns."""
        encodings, longest = learned(read, demands, choices)
        widths = {name: d.width for name, d in demands.items() if d.width is not None and d.several}
        return cls(demands, encodings, {name: max(length, 1) for name, length in longest.items()} | widths)

    @classmethod
    def from_text(cls, text: str, demands: Mapping[str, Demand]) -> Encoder:
        """The encoder that `text()` wrote; columns that are asked for no more are left out."""
        data = json.loads(text)
        encodings = ENCODINGS.validate_python(data["columns"])
        return cls(demands, {name: encodings[name] for name in demands}, data["widths"])

    def of_inputs(self) -> Encoder:
        """The encoder without the columns of tasks: for rows that have no labels."""
        used = {name: demand for name, demand in self.demands.items() if demand.use in {"ids", "lists", "numbers"}}
        return Encoder(used, self.encodings, self.widths)

    def text(self) -> str:
        """The encodings as JSON."""
        columns = {name: encoding.model_dump(mode="json") for name, encoding in self.encodings.items()}
        return json.dumps({"columns": columns, "widths": dict(self.widths)}, indent=1, ensure_ascii=False) + "\n"

    def encode(self, piece: Piece) -> tuple[Columns, Mask, list[Fault]]:
        """The columns of a piece, which of its rows fit in every column, and what does not fit.

        The types of its columns must be those that `check_types` lets pass.
        """
        columns: Columns = {}
        faults: list[Fault] = []
        good = np.ones(piece.rows, dtype=np.bool_)
        for name, demand in self.demands.items():
            array = piece.columns[name]
            columns[name], fits, words = self._column(demand, array)
            if demand.space is not None:
                fits |= ~self._inside(piece, demand.space)
            if demand.optional:
                fits[:] = True
            if not fits.all():
                faults += _faults(piece, demand, fits, words)
                good &= fits
        return columns, good, faults

    def _inside(self, piece: Piece, space: str) -> Mask:
        """Which rows belong to a task's sample space."""
        flags, _ = Flag().encode(piece.columns[space])
        inside: Mask = flags == 1
        return inside

    def _column(self, demand: Demand, array: Array) -> tuple[Encoded, Mask, str]:
        """A column's values, which rows fit, and what is said of the others."""
        encoding, width = self.encodings[demand.column], self.widths.get(demand.column)
        if width is None:
            return *encoding.encode(array), encoding.refusal()
        offsets, items = lists(array)
        values, fits = encoding.encode(items)
        if demand.use == "lists":
            return *_padded(offsets, values, fits, width), f"holds an item that {encoding.refusal()}"
        right = np.diff(offsets) == width
        out = np.zeros((len(array), width), dtype=np.float32)
        places = offsets[:-1][right, None] + np.arange(width)
        out[right] = values[places]
        rows = right.copy()
        rows[right] = fits[places].all(1)
        return out, rows, f"is no list of {width} finite numbers"


def _padded(offsets: Any, values: Encoded, fits: Mask, width: int) -> tuple[Encoded, Mask]:  # noqa: ANN401 - int64 array
    """Lists `[N, width]`, padded with -1; of a longer one the last items, which are the latest of a history."""
    ends = offsets[1:]
    starts = np.maximum(offsets[:-1], ends - width)
    places = starts[:, None] + np.arange(width)
    real = places < ends[:, None]
    if not len(values):
        return np.full(real.shape, -1, dtype=np.int64), np.ones(len(ends), dtype=np.bool_)
    safe = np.where(real, places, 0)
    return np.where(real, values[safe], -1), (fits[safe] | ~real).all(1)


def _faults(piece: Piece, demand: Demand, fits: Mask, words: str) -> Iterator[Fault]:
    """The values of a column that do not fit: those that are missing, and the others."""
    array = piece.columns[demand.column]
    missing = array.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    for rows, reason in ((~fits & missing, "no value"), (~fits & ~missing, words)):
        if rows.any():
            first = int(np.flatnonzero(rows)[0])
            text = str(array[first].as_py())
            shown = f"`{text[:_SHOWN]}{'...' * (len(text) > _SHOWN)}` "
            told = reason if reason == "no value" else shown + reason
            yield Fault(piece.file, demand, reason, told, piece.first + first + 1, int(rows.sum()))


_SHOWN = 40
"""Characters of a value in a message."""
