"""Which encoding a column gets: what was asked for, or what fits all of its values in the files to train on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from archspec.data.encodings import Buckets, Encoding, Flag, Ids, Key, Numbers, Standard, Vocabulary, Words
from archspec.data.labels import check_listed, label_encoding, learned_labels
from archspec.data.numerals import numeral
from archspec.data.sight import Sight
from archspec.data.values import is_list, is_text
from archspec.diagnostics import Diagnostic, Diagnostics, suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.data.demands import Demand
    from archspec.data.tables import Read
    from archspec.data.values import Array, Reading

_LARGE: Final = 2**31
"""Where all whole numbers are as large as that, they number no rows of a table."""
_BUCKETS: Final = 64
"""Buckets of a column whose input does not say how many ids there are."""

_FIXED: Final = {
    "numbers": "dense input", "class": "label", "label": "label", "weight": "weight", "space": "sample space",
    "column": "a loss reads it", "key": "groups rows",
}  # fmt: skip
"""Why columns have the encoding that they have whatever their values are, by use."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A decision for all columns that share their ids: the encoding, why, and how texts are read."""

    kind: str
    why: str
    reading: Reading = "texts"


@dataclass(frozen=True, slots=True)
class Learned:
    """What the rows to train on tell of each column."""

    encodings: Mapping[str, Encoding]
    longest: Mapping[str, int]
    """The longest list, of columns of lists."""
    found: Mapping[str, str]
    """What a column holds, in words, and"""
    why: Mapping[str, str]
    """why it is encoded as it is."""
    warnings: tuple[Diagnostic, ...]


def check_choices(choices: Mapping[str, str], demands: Mapping[str, Demand]) -> None:
    """Raises SpecError where an encoding is asked for that a column cannot have."""
    problems = Diagnostics()
    for column, kind in choices.items():
        if column not in demands:
            near = suggest(column, demands)
            problems.error(
                "AS705", f"the spec reads no column `{column}`",
                help=f"did you mean `{near}`?" if near else f"it reads {', '.join(demands)}",
            )  # fmt: skip
        elif kind.partition(":")[0] not in (able := demands[column].choices):
            has = f"takes {', '.join(able)}" if able else "is read as it is"
            reader = demands[column].reader
            problems.error("AS705", f"column `{column}` cannot be encoded as `{kind}`", help=f"{reader} {has}")
        elif ":" in kind:
            check_listed(demands[column], kind, problems)
    problems.raise_errors(status=2)


def learned(read: Read, demands: Mapping[str, Demand], choices: Mapping[str, str]) -> Learned:
    """Encodings by column: one decision for each column, over all rows to learn from.

    Args:
        read: gives some columns of the rows to learn from, piece by piece.
        demands: what the spec reads.
        choices: encodings that were asked for, by column; one holds for all columns that share its ids.

    Raises:
        SpecError: texts of which two are one number (AS711), ids that floats have rounded (AS712), where nothing was
            asked for.
    """
    by_home = {_home(demands[column]): kind for column, kind in choices.items()}
    by_home |= {_home(demand): "ids" for demand in demands.values() if demand.plain and demand.encodes}
    asked = {_home(demand): by_home.get(_home(demand)) for demand in demands.values()}
    sights = _seen(read, demands, asked)
    several = {_home(demand) for demand in demands.values() if demand.use == "lists"}
    problems = Diagnostics()
    found: dict[str, Encoding] = {}
    chosen: dict[str, Choice] = {}
    for name, demand in demands.items():
        home = _home(demand)
        sight = sights.get(home, Sight())
        if home not in chosen:
            chosen[home] = _choice(demand, asked[home], sight, several=home in several)
            if home in sights:
                _check(problems, name, chosen[home], sight, asked=asked[home] is not None)
        found[name] = _encoding(demand, chosen[home], sight)
        _check_domain(problems, name, found[name], sight)
    problems.raise_errors(status=2)
    found |= learned_labels(read, demands, choices)
    looked = [name for name, demand in demands.items() if _home(demand) in sights]
    return Learned(
        found,
        {name: sights[_home(demands[name])].longest for name in looked if demands[name].use == "lists"},
        {name: _found(demand, sights.get(_home(demand))) for name, demand in demands.items()},
        {name: chosen[_home(demand)].why for name, demand in demands.items()},
        tuple(problems.items),
    )


def _home(demand: Demand) -> str:
    return demand.family or demand.column


# -- looking -----------------------------------------------------------------------------------------------------------


def _seen(read: Read, demands: Mapping[str, Demand], asked: Mapping[str, str | None]) -> dict[str, Sight]:
    """What was seen of each home whose encoding depends on its values.

    Texts are counted at once. Numbers are counted in a second reading, and only where texts turn out to be among them:
    ids that stay as they are may be too many to keep.
    """
    looked = {name for name, demand in demands.items() if demand.encodes or asked[_home(demand)] == "standard"}
    sights = {_home(demands[name]): Sight() for name in looked}
    for piece in read(looked) if looked else ():
        for name in looked:
            array, kind = piece.columns[name], asked[_home(demands[name])]
            counted = kind == "vocabulary" or (kind is None and _texts(array))
            sights[_home(demands[name])].look(array, counted=counted)
    several = {_home(demand) for demand in demands.values() if demand.use == "lists"}
    again = {
        name
        for name in looked
        if sights[_home(demands[name])].uncounted and asked[_home(demands[name])] is None
        and _counts(demands[name], sights[_home(demands[name])], several=_home(demands[name]) in several)
    }  # fmt: skip
    for name in again:
        sights[_home(demands[name])].counts.clear()
    for piece in read(again) if again else ():
        for name in again:
            sights[_home(demands[name])].count(piece.columns[name])
    return sights


def _counts(demand: Demand, sight: Sight, *, several: bool) -> bool:
    """Whether the decision needs every distinct value."""
    kind, _ = _natural(demand, sight, several=several)
    return kind == "vocabulary" or any(numeral(text) != text for text in sight.counts)


def _texts(array: Array) -> bool:
    return is_text(array.values if is_list(array) else array)


# -- deciding ----------------------------------------------------------------------------------------------------------


def _natural(demand: Demand, sight: Sight, *, several: bool) -> tuple[str, str]:
    """What ids are where nothing was asked, and why: whole numbers stay, others fall in buckets, texts are words."""
    high = demand.high or 0
    if not sight.only_numbers:
        return "vocabulary", "not all are numbers"
    if not sight.only_whole:
        return ("vocabulary" if several else "buckets"), "not all are whole"
    if max(high, _LARGE) <= sight.least < np.inf:
        return "vocabulary", "too large for ids"
    if sight.high >= high > 0 and (code := _code(sight)) is not None:
        return "vocabulary", f"codes such as {code}"
    return "ids", "all are whole"


def _code(sight: Sight) -> str | None:
    """A number with zeros before it, of a column of texts; beside numbers, the zeros cannot mean anything."""
    return None if sight.typed else sight.padded()


def _choice(demand: Demand, asked: str | None, sight: Sight, *, several: bool) -> Choice:
    """The decision for a column, and for those that share its ids."""
    if not demand.encodes:
        return Choice(asked or demand.use, "--encode" if asked else _FIXED[demand.use])
    if demand.words:
        return Choice("words", "values of the domain")
    kind, why = (asked, "--encode") if asked else _natural(demand, sight, several=several)
    if demand.plain:
        why = "a task reads it, too"
    names = not sight.only_numbers or _code(sight) is not None or sight.twins is not None
    return Choice(kind, why, "texts" if names else "numbers")


def _check(problems: Diagnostics, column: str, choice: Choice, sight: Sight, *, asked: bool) -> None:
    """Reports ids of which nobody can say whether they are the same."""
    if choice.kind in {"ids", "vocabulary"} and sight.only_numbers and not asked and (twins := sight.twins):
        one = f"`--encode {column}=ids` makes them one id, " if sight.only_whole else "write them alike, or "
        problems.error(
            "AS711", f"column `{column}` holds `{twins[0]}` and `{twins[1]}`: two texts, but one number",
            help=f"{one}`--encode {column}=vocabulary` two",
        )  # fmt: skip
    if choice.kind in {"ids", "vocabulary"} and sight.only_numbers and sight.rounded is not None:
        message = (
            f"column `{column}` holds ids beyond 2^53 in floats, such as {sight.rounded:.17g}: they have lost their "
            "last digits, and several ids may have become one"
        )
        if asked:
            problems.warning("AS712", message, help="write them as integers or as texts")
        else:
            problems.error(
                "AS712", message,
                help=f"write them as integers or as texts; `--encode {column}=vocabulary` numbers what is left of them",
            )  # fmt: skip
    if not (sight.texts or sight.typed):
        problems.warning("AS713", f"column `{column}` holds no value in any row to train on")


def _check_domain(problems: Diagnostics, column: str, encoding: Encoding, sight: Sight) -> None:
    """Says how numbers are mapped to the values of a domain, where they may have been meant otherwise."""
    if not isinstance(encoding, Words) or encoding.first is None or not 0 < sight.low <= len(encoding.words):
        return
    words, last = encoding.words, encoding.first + len(encoding.words) - 1
    counted = f"counted from {encoding.first}: {encoding.first} is `{words[0]}`, {last} is `{words[-1]}`"
    problems.warning(
        "AS716",
        f"column `{column}` holds numbers from {sight.low:.0f} to {sight.high:.0f}, {counted}",
        help=f"if that is not what is meant, write the names: {', '.join(words)}",
    )  # fmt: skip


def _found(demand: Demand, sight: Sight | None) -> str:
    """What a column holds, in words."""
    if sight is None:
        words = {"class": "whole numbers", "key": "anything"}.get(demand.use, "numbers")
    elif sight.only_numbers:
        words = "whole numbers" if sight.only_whole else "numbers"
        words = words if sight.texts or sight.typed else "no values"
    else:
        words = "texts and numbers" if sight.typed else "texts"
    return f"lists of {words}" if demand.several else words


def _encoding(demand: Demand, choice: Choice, sight: Sight) -> Encoding:
    """The encoding of a column of given use."""
    if demand.encodes:
        return _of_words(demand.words, sight) if demand.words else _of_ids(choice, sight, demand.high)
    if choice.kind == "standard":
        return Standard(mean=sight.mean, deviation=(sight.squares / max(sight.total, 1)) ** 0.5 or 1.0)
    fixed: dict[str, Encoding] = {
        "numbers": Numbers(),
        "weight": Numbers(low=0),
        "space": Flag(),
        "column": Numbers(),
        "key": Key(),
    }
    return label_encoding(demand, None) if demand.tasks else fixed[demand.use]


def _of_words(words: tuple[str, ...], sight: Sight) -> Words:
    """Names, or numbers: names where the words are numbers themselves, else counted from 0 or from 1."""
    if any(numeral(word).removeprefix("-").isdecimal() for word in words):
        return Words(words=words, first=None)
    return Words(words=words, first=1 if sight.high == len(words) and sight.low > 0 else 0)


def _of_ids(choice: Choice, sight: Sight, high: int | None) -> Encoding:
    if choice.kind == "buckets":
        return Buckets(edges=sight.edges((high or _BUCKETS) - 1))
    if choice.kind == "ids":
        return Ids(high=high)
    counts = sight.as_numbers() if choice.reading == "numbers" else sight.counts
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    room = len(ranked) + 1 if high is None else high - 1
    # No value takes the place of the rarest one where it is more frequent.
    absent = sight.missing > 0 and (len(ranked) < room or (room > 0 and sight.missing > ranked[room - 1][1]))
    values = tuple(value for value, _ in ranked[: room - absent])
    return Vocabulary(values=values, others=len(ranked) - len(values), reading=choice.reading, missing=absent)
