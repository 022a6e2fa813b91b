"""Encodings that need no vocabulary: ids and keys from a hash that is the same on every machine and in every run."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from archspec.data.encodings import Encoded, Encoding
from archspec.data.values import NONE, NONE_OF_NAMES, Array, Mask, missing, texts, whole

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

_BYTES: Final = 8


def hashes(array: Array, none: Collection[str] = NONE) -> tuple[NDArray[np.uint64], Mask]:
    """A 64-bit hash of each value's text `[N]`, and which values are not missing; `none`: the texts of missing values.

    It is the first 8 bytes of BLAKE2b (RFC 7693) of the text in UTF-8, as a big-endian number. 12, 12.0 and `12` have
    the same text.
    """
    import pyarrow.compute as pc

    coded = texts(array, "texts", none).dictionary_encode()
    digests = (hashlib.blake2b(value.encode(), digest_size=_BYTES).digest() for value in coded.dictionary.to_pylist())
    found = np.asarray([*map(int.from_bytes, digests), 0], dtype=np.uint64)
    places = pc.fill_null(coded.indices, len(found) - 1).to_numpy(zero_copy_only=False)
    return found[places], coded.indices.is_valid().to_numpy(zero_copy_only=False)


class Hashed(Encoding):
    """Ids from a hash: 1 + a 64-bit hash of the value's text mod (high - 1); 0 is a missing value."""

    kind: Literal["hash"] = "hash"
    high: int
    values: int = 0
    """Number of distinct values in training rows."""
    colliding: int = 0
    """How many of them share their id with another value."""
    names: bool = False
    """Whether values are names, so that `NA` is a value and not missing."""

    @classmethod
    def of(cls, high: int, found: NDArray[np.uint64], *, names: bool = False) -> Hashed:
        """The encoding, with the collisions among the hashes of the distinct values of training rows."""
        _, counts = np.unique(found % np.uint64(high - 1), return_counts=True)
        return cls(high=high, values=len(found), colliding=int(counts[counts > 1].sum()), names=names)

    def encode(self, array: Array) -> tuple[Encoded, Mask]:
        """The id of each value; every value has one."""
        found, known = hashes(array, self.none)
        ids = 1 + (found % np.uint64(self.high - 1)).astype(np.int64)
        return np.where(known, ids, 0), np.ones(len(ids), dtype=np.bool_)

    @property
    def none(self) -> tuple[str, ...]:
        """The texts for a missing value, among names without `NA`."""
        return NONE_OF_NAMES if self.names else NONE

    def refusal(self) -> str:
        """Never used: every value has an id."""
        return "is unknown"

    def text(self) -> str:
        """The range of ids, and the collision rate."""
        rate = f"{self.colliding / max(self.values, 1):.1%}"
        return f"hash to ids 1..{self.high - 1:,}; {rate} of {self.values:,} values share an id with another"


class Key(Encoding):
    """A whole number for each value, equal for equal values: rows are grouped by it."""

    kind: Literal["key"] = "key"

    def encode(self, array: Array) -> tuple[Encoded, Mask]:
        """Whole numbers of any type as they are; texts, and numbers beyond 64 bits, as 63 bits of a hash."""
        import pyarrow as pa

        numbers, known = whole(array)
        if known.all() or pa.types.is_floating(array.type):
            return numbers, known
        found, _ = hashes(array)
        return np.where(known, numbers, (found >> np.uint64(1)).astype(np.int64)), ~missing(array)

    def refusal(self) -> str:
        """The values that it accepts."""
        return "is neither a whole number nor a text"

    def text(self) -> str:
        """Its purpose."""
        return "groups of rows"
