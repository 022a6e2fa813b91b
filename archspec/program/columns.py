"""The columns that a batch must contain for an input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from archspec.program.program import Dim

NO_GROUP: Final = -(2**63)
"""The key of a row without a group, in a column that groups rows."""


def as_written(column: str) -> str:
    """The name of a batch's column with a key for each original value of a file's column."""
    return f"{column} as written"


def numbered(column: str) -> str:
    """The name of a batch's column with a number for each distinct value of a file's column, from 0."""
    return f"{column} numbered"


@dataclass(frozen=True, slots=True)
class Column:
    """One tensor of a batch: floats, or int64 ids with `low <= id < high` (`high` None: no bound).

    `words` are the names of the ids in order, if they have names; `table` is the input whose table the ids index, if it
    is another one. Both are used by the code that turns data into ids.
    """

    dtype: Literal["float", "int"]
    shape: tuple[Dim, ...]
    low: int = 0
    high: int | None = None
    words: tuple[str, ...] = ()
    table: str | None = None
    beside: bool = False
    """Whether these are floats that belong to the ids of the input's own column, one for each id of a list."""

    @property
    def several(self) -> bool:
        """Whether a row has several items: a list of ids, or numbers of a width other than 1."""
        return len(self.shape) > 1 and (self.dtype == "int" or self.beside or self.shape[1] != 1)
