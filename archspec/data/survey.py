"""Chooses the encoding of each column: the requested one, or one that fits all its values in the training files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from archspec.data.choices import by_family, families, family_of, least_count
from archspec.data.encodings import Buckets, Encoding, Flag, Ids, Log, Numbers, Standard, Vocabulary, Words
from archspec.data.hashing import Hashed, Key
from archspec.data.labels import label_encoding, learned_labels
from archspec.data.moments import MOMENTS, Age, Hour, Weekday, moment_of
from archspec.data.numerals import numeral
from archspec.data.profiles import Profile
from archspec.data.values import is_list, is_text
from archspec.diagnostics import Diagnostic, Diagnostics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.data.requirements import ColumnRequirement
    from archspec.data.tables import Read
    from archspec.data.values import Array, Reading

_LARGE: Final = 2**31
"""If all whole numbers are at least this large, they are not read as rows of a table."""
_BUCKETS: Final = 64
"""Number of buckets of a column whose input has no `vocab`."""

_FIXED: Final = {
    "numbers": "dense input", "amounts": "a number for each item", "class": "label", "label": "label",
    "weight": "weight", "space": "sample space", "column": "a loss reads it", "key": "groups rows",
}  # fmt: skip
"""The reason for encodings that do not depend on values, by use."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The decision for all columns that share their ids: the encoding, the reason, and how texts are read."""

    kind: str
    why: str
    reading: Reading = "texts"


@dataclass(frozen=True, slots=True)
class Learned:
    """The result of surveying the training rows."""

    encodings: Mapping[str, Encoding]
    longest: Mapping[str, int]
    """The longest list of each column of lists."""
    found: Mapping[str, str]
    """The contents of each column, in words."""
    why: Mapping[str, str]
    """The reason for each column's encoding."""
    warnings: tuple[Diagnostic, ...]


def learned(
    read: Read,
    requirements: Mapping[str, ColumnRequirement],
    choices: Mapping[str, str],
    min_counts: Mapping[str, int] | None = None,
) -> Learned:
    """Encodings by column: one decision for each column, over all training rows.

    Args:
        read: returns some columns of the training rows, chunk by chunk.
        requirements: the columns that the spec reads.
        choices: requested encodings, by column; each applies to all columns that share ids with it.
        min_counts: how often a value must occur to be in a vocabulary, by column; `*` is for all others.

    Raises:
        SpecError: without a requested encoding, two texts are the same number (AS711), or floats have rounded ids
            (AS712); or a minimum count is given for a column without a vocabulary.
    """
    requested = by_family(choices, requirements)
    profiles = _seen(read, requirements, requested)
    members = families(requirements)
    several = {family_of(requirement) for requirement in requirements.values() if requirement.use == "lists"}
    problems = Diagnostics()
    found: dict[str, Encoding] = {}
    chosen: dict[str, Choice] = {}
    for name, requirement in requirements.items():
        family = family_of(requirement)
        profile = profiles.get(family, Profile())
        if family not in chosen:
            chosen[family] = _choice(requirement, requested[family], profile, several=family in several)
            if family in profiles:
                _check(problems, name, chosen[family], profile, requested=requested[family] is not None)
        least = least_count(requirement, members[family], min_counts or {})
        found[name] = _encoding(requirement, chosen[family], profile, least)
        _check_domain(problems, name, found[name], profile)
        if name in (min_counts or {}):
            _check_counted(problems, requirement, found[name])
    problems.raise_errors(status=2)
    found |= learned_labels(read, requirements, choices)
    looked = [name for name, requirement in requirements.items() if family_of(requirement) in profiles]
    return Learned(
        found,
        {name: profiles[family_of(requirements[name])].longest for name in looked if requirements[name].use == "lists"},
        {name: _found(requirement, profiles.get(family_of(requirement))) for name, requirement in requirements.items()},
        {name: chosen[family_of(requirement)].why for name, requirement in requirements.items()},
        tuple(problems.items),
    )


# -- looking -----------------------------------------------------------------------------------------------------------


def _seen(
    read: Read, requirements: Mapping[str, ColumnRequirement], requested: Mapping[str, str | None]
) -> dict[str, Profile]:
    """The profile of each family whose encoding depends on its values.

    Texts are counted at once. Numbers are counted in a second pass, and only if the family also has texts: there may be
    too many plain ids to store.
    """
    family = {name: family_of(requirement) for name, requirement in requirements.items()}
    # In the spec's order: sums of floats depend on it.
    looked = [name for name in family if requirements[name].encodes or requested[family[name]] in {"standard", "age"}]
    profiles = {family[name]: Profile() for name in looked}
    for chunk in read(looked) if looked else ():
        for name in looked:
            array, kind = chunk.columns[name], requested[family[name]]
            if kind in MOMENTS:
                profiles[family[name]].look_at_moments(array)
                continue
            if kind == "hash":
                profiles[family[name]].hash(array)
            counted = kind == "vocabulary" or (kind is None and _texts(array))
            profiles[family[name]].look(array, counted=counted)
    several = {family[name] for name, requirement in requirements.items() if requirement.use == "lists"}
    again = {
        name
        for name in looked
        if profiles[family[name]].uncounted and requested[family[name]] is None
        and _counts(requirements[name], profiles[family[name]], several=family[name] in several)
    }  # fmt: skip
    for name in again:
        profiles[family[name]].counts.clear()
    for chunk in read(again) if again else ():
        for name in again:
            profiles[family[name]].count(chunk.columns[name])
    return profiles


def _counts(requirement: ColumnRequirement, profile: Profile, *, several: bool) -> bool:
    """Whether the decision needs every distinct value."""
    kind, _ = _natural(requirement, profile, several=several)
    return kind == "vocabulary" or any(numeral(text) != text for text in profile.counts)


def _texts(array: Array) -> bool:
    return is_text(array.values if is_list(array) else array)


# -- deciding ----------------------------------------------------------------------------------------------------------


def _natural(requirement: ColumnRequirement, profile: Profile, *, several: bool) -> tuple[str, str]:
    """The default encoding of ids, and the reason: whole numbers are ids, others get buckets, texts a vocabulary."""
    high = requirement.high or 0
    if not profile.only_numbers:
        return "vocabulary", "not all are numbers"
    if not profile.only_whole:
        return ("vocabulary" if several else "buckets"), "not all are whole"
    if max(high, _LARGE) <= profile.least < np.inf:
        return "vocabulary", "too large for ids"
    if profile.high >= high > 0 and (code := _code(profile)) is not None:
        return "vocabulary", f"codes such as {code}"
    return "ids", "all are whole"


def _code(profile: Profile) -> str | None:
    """A number with leading zeros in a column of texts; next to numbers, leading zeros have no meaning."""
    return None if profile.typed else profile.padded()


def _choice(requirement: ColumnRequirement, requested: str | None, profile: Profile, *, several: bool) -> Choice:
    """The decision for a column, and for those that share its ids."""
    if not requirement.encodes:
        return Choice(requested or requirement.use, "--encode" if requested else _FIXED[requirement.use])
    if requirement.words:
        return Choice("words", "values of the domain")
    kind, why = (requested, "--encode") if requested else _natural(requirement, profile, several=several)
    if requirement.plain:
        why = "a task reads it, too"
    names = not profile.only_numbers or _code(profile) is not None or profile.twins is not None
    return Choice(kind, why, "texts" if names else "numbers")


def _check(problems: Diagnostics, column: str, choice: Choice, profile: Profile, *, requested: bool) -> None:
    """Reports ids of which archspec cannot decide whether they are equal."""
    if choice.kind in {"ids", "vocabulary"} and profile.only_numbers and not requested and (twins := profile.twins):
        one = f"`--encode {column}=ids` reads them as one id" if profile.only_whole else "write them in one way"
        problems.error(
            "AS711", f"column `{column}` has `{twins[0]}` and `{twins[1]}`: two texts, but one number",
            help=f"{one}; `--encode {column}=vocabulary` reads them as two ids",
        )  # fmt: skip
    if choice.kind in {"ids", "vocabulary", "hash"} and profile.only_numbers and profile.rounded is not None:
        message = (
            f"column `{column}` has ids beyond 2^53 in floats, such as {profile.rounded:.17g}: they have lost their "
            "last digits, and several ids may have become one"
        )
        if requested:
            problems.warning("AS712", message, help="write them as integers or as texts")
        else:
            problems.error(
                "AS712", message,
                help=f"write them as integers or as texts; `--encode {column}=vocabulary` numbers the rounded values",
            )  # fmt: skip
    if not (profile.texts or profile.typed):
        problems.warning("AS713", f"column `{column}` has no value in any row to train on")


def _check_counted(problems: Diagnostics, requirement: ColumnRequirement, encoding: Encoding) -> None:
    """Adds an error if a minimum count is given for a column without a vocabulary."""
    if isinstance(encoding, Vocabulary):
        return
    column, able = requirement.column, "vocabulary" in requirement.choices
    problems.error(
        "AS705", f"`--min-count {column}=...`: column `{column}` has no vocabulary: {encoding.text()}",
        help=f"`--encode {column}=vocabulary` gives it one" if able else "leave it out",
    )  # fmt: skip


def _check_domain(problems: Diagnostics, column: str, encoding: Encoding, profile: Profile) -> None:
    """Warns about numbers that index the values of a domain if they might count from 0 or from 1."""
    if not isinstance(encoding, Words) or encoding.first is None or not 0 < profile.low <= len(encoding.words):
        return
    words, last = encoding.words, encoding.first + len(encoding.words) - 1
    counted = f"counted from {encoding.first}: {encoding.first} is `{words[0]}`, {last} is `{words[-1]}`"
    problems.warning(
        "AS716",
        f"column `{column}` has numbers from {profile.low:.0f} to {profile.high:.0f}, {counted}",
        help=f"if that is wrong, write the names: {', '.join(words)}",
    )  # fmt: skip


def _found(requirement: ColumnRequirement, profile: Profile | None) -> str:
    """The contents of a column, in words."""
    if profile is None:
        words = {"class": "whole numbers", "key": "anything"}.get(requirement.use, "numbers")
    elif profile.moments:
        words = "dates and times" if profile.typed else "no values"
    elif profile.only_numbers:
        words = "whole numbers" if profile.only_whole else "numbers"
        words = words if profile.texts or profile.typed else "no values"
    else:
        words = "texts and numbers" if profile.typed else "texts"
    return f"lists of {words}" if requirement.several else words


def _encoding(requirement: ColumnRequirement, choice: Choice, profile: Profile, least: int) -> Encoding:
    """The encoding of a column, by its use; vocabularies leave out values in fewer than `least` rows."""
    if requirement.words:
        return _of_words(requirement.words, profile)
    if requirement.encodes:
        return _of_ids(choice, profile, requirement.high, least)
    kind, _, more = choice.kind.partition(":")
    if kind == "age":
        until = moment_of(more) if more else profile.latest
        return Age(until=until, column=more if until is None else "")
    if kind == "log1p":
        return Log()
    if kind == "standard":
        return Standard(mean=profile.mean, deviation=(profile.squares / max(profile.total, 1)) ** 0.5 or 1.0)
    fixed: dict[str, Encoding] = {
        "numbers": Numbers(),
        "amounts": Numbers(),
        "weight": Numbers(low=0),
        "space": Flag(),
        "column": Numbers(),
        "key": Key(),
    }
    return label_encoding(requirement, None) if requirement.tasks else fixed[requirement.use]


def _of_words(words: tuple[str, ...], profile: Profile) -> Words:
    """Encoding by names or numbers: numbers are names if the words are numbers, else they count from 0 or from 1."""
    if any(numeral(word).removeprefix("-").isdecimal() for word in words):
        return Words(words=words, first=None)
    return Words(words=words, first=1 if profile.high == len(words) and profile.low > 0 else 0)


def _of_ids(choice: Choice, profile: Profile, high: int | None, least: int) -> Encoding:
    if choice.kind in {"hour", "weekday"}:
        return Hour() if choice.kind == "hour" else Weekday()
    if choice.kind == "hash" and high is not None:
        return Hashed.of(high, profile.hashes(), names=profile.names)
    if choice.kind == "buckets":
        return Buckets(edges=profile.edges((high or _BUCKETS) - 1))
    if choice.kind == "ids":
        return Ids(high=high)
    counts, missing = profile.values(choice.reading), profile.absent()
    kept = [item for item in counts.items() if item[1] >= least]
    ranked = sorted(kept, key=lambda item: (-item[1], item[0]))
    room = len(ranked) + 1 if high is None else high - 1
    # A missing value replaces the rarest value if it is more frequent.
    absent = missing > 0 and (len(ranked) < room or (room > 0 and missing > ranked[room - 1][1]))
    values = tuple(value for value, _ in ranked[: room - absent])
    return Vocabulary(
        values=values, others=len(counts) - len(values), reading=choice.reading, missing=absent, names=profile.names
    )
