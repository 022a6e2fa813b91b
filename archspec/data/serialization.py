"""Storage of encodings in a run, as JSON by column."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter

from archspec.data.encodings import Buckets, Flag, Ids, Key, Numbers, Standard, Vocabulary, Words
from archspec.data.labels import Labels

AnyEncoding = Annotated[
    Ids | Vocabulary | Buckets | Words | Numbers | Standard | Labels | Flag | Key, Field(discriminator="kind")
]
ENCODINGS: TypeAdapter[dict[str, AnyEncoding]] = TypeAdapter(dict[str, AnyEncoding])
"""Reads and writes the encodings of a table, by column."""
