"""Storage of encodings in a run, as JSON by column."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter

from archspec.data.encodings import Buckets, Flag, Ids, Log, Numbers, Standard, Vocabulary, Words
from archspec.data.hashing import Hashed, Key
from archspec.data.labels import Labels
from archspec.data.moments import Age, Hour, Weekday

AnyEncoding = Annotated[
    Ids | Vocabulary | Hashed | Buckets | Words | Numbers | Log | Standard | Hour | Weekday | Age | Labels | Flag | Key,
    Field(discriminator="kind"),
]
ENCODINGS: TypeAdapter[dict[str, AnyEncoding]] = TypeAdapter(dict[str, AnyEncoding])
"""Reads and writes the encodings of a table, by column."""
