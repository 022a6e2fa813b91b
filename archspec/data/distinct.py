"""Numbers for the distinct values of a column whose rows are measured value by value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from archspec.data.values import texts
from archspec.diagnostics import unusable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from archspec.data.encodings import Encoding
    from archspec.data.values import Array

MOST: Final = 1000
"""The largest number of values: each is measured alone."""


class DistinctValues:
    """The values of a column as texts, numbered from 0 in the order in which they occur; None is a missing value.

    Args:
        encoding: how the run reads the column, if it does: among names, `NA` is a value.
    """

    def __init__(self, encoding: Encoding | None) -> None:
        self.encoding = encoding
        self._numbers: dict[str | None, int] = {}

    def values(self) -> list[str | None]:
        """The values, by number."""
        return list(self._numbers)

    def numbered(self, array: Array) -> NDArray[np.int64]:
        """The number of each row's value, `[N]`.

        Raises:
            SpecError: AS703: a row has a list or another nested value; AS804: there are too many values.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        if pa.types.is_nested(array.type):
            unusable(
                "AS703", f"the column to group by has the type {array.type}, but a group has one value",
                help="name a column with one value per row",
            )  # fmt: skip
        coded = (texts(array) if self.encoding is None else self.encoding.texts(array)).dictionary_encode()
        names = [*coded.dictionary.to_pylist(), None]
        places = pc.fill_null(coded.indices, len(names) - 1).to_numpy(zero_copy_only=False)
        _, first, inverse = np.unique(places, return_index=True, return_inverse=True)
        numbers = np.zeros(len(first), dtype=np.int64)
        for place in np.argsort(first):
            numbers[place] = self._numbers.setdefault(names[places[first[place]]], len(self._numbers))
        if len(self._numbers) > MOST:
            unusable(
                "AS804", f"the column to group by has more than {MOST:,} values",
                help="name a column with fewer values; a run trained with `--grouped-by` measures AUC within any group",
            )  # fmt: skip
        return numbers[inverse]
