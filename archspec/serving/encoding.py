"""The encoding of a run as JSON for other programs: from which column each input is made, and how."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from archspec.data.encodings import Buckets, Ids, Log, Numbers, Standard, Vocabulary, Words
from archspec.data.hashing import Hashed
from archspec.data.moments import Age, Hour, Weekday
from archspec.data.numerals import numeral

if TYPE_CHECKING:
    from archspec.data.encoder import Encoder
    from archspec.data.encodings import Encoding
    from archspec.data.requirements import ColumnRequirement
    from archspec.spec.spec import Spec

FORMAT: Final = 1
"""The version of the format; readers refuse a higher one."""


def encoding_text(encoder: Encoder, spec: Spec) -> str:
    """The encodings of the columns that a model reads, as JSON; docs/after_training.md describes the format."""
    inputs = [_column(encoder, name, requirement) for name, requirement in encoder.of_inputs().requirements.items()]
    data = {"format": FORMAT, "spec": spec.name, "digest": spec.digest, "inputs": inputs}
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _column(encoder: Encoder, name: str, requirement: ColumnRequirement) -> dict[str, Any]:
    """What one tensor of the model is made from, and how."""
    columns, lists = list(encoder.sources.get(name, (name,))), requirement.use == "lists"
    found = {
        "name": name,
        "from": columns,
        "dtype": "int64" if requirement.encodes else "float32",
        "length": encoder.widths.get(name) if requirement.several else None,
        "pad": -1 if lists else 0.0 if requirement.beside else None,
        "beside": _beside(encoder, name, requirement),
        "none": _none(encoder, name) if lists or not requirement.several else [],
        **_rule(encoder.encodings[name]),
    }
    return {**found, "absent": -1} if lists else found


def _beside(encoder: Encoder, name: str, requirement: ColumnRequirement) -> dict[str, list[str]]:
    """The columns of lists that decide which items are there, and their texts for missing ones."""
    if not requirement.several:
        return {}
    ids = requirement.beside or name
    columns = encoder.requirements[ids].events or (ids,)
    return {encoder.sources.get(each, (each,))[0]: _none(encoder, each) for each in columns}


def _none(encoder: Encoder, name: str) -> list[str]:
    """The texts for a missing value in a column, and for padding in lists; none of a list of numbers."""
    form, requirement = encoder.forms.get(name), encoder.requirements[name]
    if form is not None:
        return [*form.none, *form.padding] if requirement.use == "lists" else []
    return [*encoder.encodings[name].none, *encoder.none.get(name, ())]


def _rule(encoding: Encoding) -> dict[str, Any]:
    """How one value is encoded; `absent` is the id or number of a missing value, None if there is none."""
    match encoding:
        case Vocabulary():
            absent = len(encoding.values) + 1 if encoding.missing else 0
            rule: dict[str, Any] = {"kind": "lookup", "ids": _ids(encoding), "unknown": 0, "absent": absent}
        case Words():
            rule = {"kind": "lookup", "ids": _words(encoding), "unknown": None, "absent": None}
        case Hashed():
            rule = {"kind": "hash", "high": encoding.high, "absent": 0}
        case Buckets():
            rule = {"kind": "buckets", "edges": list(encoding.edges), "absent": 0}
        case Age():
            rule = {"kind": "age", "until": encoding.until, "absent": None}
        case Standard():
            rule = {"kind": "standard", "mean": encoding.mean, "deviation": encoding.deviation, "absent": 0.0}
        case Hour() | Weekday() | Ids() | Numbers() | Log():
            rule = {"kind": encoding.kind, "absent": 0 if isinstance(encoding, Hour | Weekday) else None}
        case _:
            raise TypeError(f"no input is encoded as {type(encoding).__name__}")
    return rule


def _ids(encoding: Vocabulary) -> dict[str, int]:
    """Value -> id; among numbers, booleans are 1 and 0."""
    ids = {value: number for number, value in enumerate(encoding.values, 1)}
    truth = {"true": "1", "false": "0"} if encoding.reading == "numbers" else {}
    return ids | {word: ids[number] for word, number in truth.items() if number in ids}


def _words(encoding: Words) -> dict[str, int]:
    """Name of a domain's value, or its number -> index."""
    ids = {word: index for index, word in enumerate(encoding.words)}
    if encoding.first is None:
        return {numeral(word): index for word, index in ids.items()} | ids
    return {str(encoding.first + index): index for index in range(len(encoding.words))} | ids
