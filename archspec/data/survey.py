"""Chooses the encoding of each column: the requested one, or one that fits all its values in the training files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from archspec.data.encodings import Buckets, Encoding, Flag, Ids, Key, Numbers, Standard, Vocabulary, Words
from archspec.data.labels import check_listed, label_encoding, learned_labels
from archspec.data.numerals import numeral
from archspec.data.profiles import Profile
from archspec.data.requirements import nearest_column
from archspec.data.values import is_list, is_text
from archspec.diagnostics import Diagnostic, Diagnostics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.data.requirements import ColumnRequirement
    from archspec.data.tables import Read
    from archspec.data.values import Array, Reading

_LARGE: Final = 2**31
"""If all whole numbers are at least this large, they are not rows of a table."""
_BUCKETS: Final = 64
"""Number of buckets of a column whose input has no number of ids."""

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


def check_choices(choices: Mapping[str, str], requirements: Mapping[str, ColumnRequirement]) -> None:
    """Raises SpecError if an encoding is requested that a column cannot have."""
    problems = Diagnostics()
    for column, kind in choices.items():
        if column not in requirements:
            message = f"the spec reads no column `{column}`"
            problems.error("AS705", message, help=nearest_column(column, requirements, "it reads"))
        elif kind.partition(":")[0] not in (able := requirements[column].choices):
            has = f"takes {', '.join(able)}" if able else "is read as it is"
            reader = requirements[column].reader
            problems.error("AS705", f"column `{column}` cannot be encoded as `{kind}`", help=f"{reader} {has}")
        elif ":" in kind:
            check_listed(requirements[column], kind, problems)
    problems.raise_errors(status=2)


def learned(read: Read, requirements: Mapping[str, ColumnRequirement], choices: Mapping[str, str]) -> Learned:
    """Encodings by column: one decision for each column, over all training rows.

    Args:
        read: returns some columns of the training rows, chunk by chunk.
        requirements: the columns that the spec reads.
        choices: requested encodings, by column; each applies to all columns that share its ids.

    Raises:
        SpecError: without a requested encoding, two texts are the same number (AS711), or floats have rounded ids
            (AS712).
    """
    by_family = {_family(requirements[column]): kind for column, kind in choices.items()}
    by_family |= {
        _family(requirement): "ids"
        for requirement in requirements.values()
        if requirement.plain and requirement.encodes
    }
    requested = {_family(requirement): by_family.get(_family(requirement)) for requirement in requirements.values()}
    profiles = _seen(read, requirements, requested)
    several = {_family(requirement) for requirement in requirements.values() if requirement.use == "lists"}
    problems = Diagnostics()
    found: dict[str, Encoding] = {}
    chosen: dict[str, Choice] = {}
    for name, requirement in requirements.items():
        family = _family(requirement)
        profile = profiles.get(family, Profile())
        if family not in chosen:
            chosen[family] = _choice(requirement, requested[family], profile, several=family in several)
            if family in profiles:
                _check(problems, name, chosen[family], profile, requested=requested[family] is not None)
        found[name] = _encoding(requirement, chosen[family], profile)
        _check_domain(problems, name, found[name], profile)
    problems.raise_errors(status=2)
    found |= learned_labels(read, requirements, choices)
    looked = [name for name, requirement in requirements.items() if _family(requirement) in profiles]
    return Learned(
        found,
        {name: profiles[_family(requirements[name])].longest for name in looked if requirements[name].use == "lists"},
        {name: _found(requirement, profiles.get(_family(requirement))) for name, requirement in requirements.items()},
        {name: chosen[_family(requirement)].why for name, requirement in requirements.items()},
        tuple(problems.items),
    )


def _family(requirement: ColumnRequirement) -> str:
    return requirement.family or requirement.column


# -- looking -----------------------------------------------------------------------------------------------------------


def _seen(
    read: Read, requirements: Mapping[str, ColumnRequirement], requested: Mapping[str, str | None]
) -> dict[str, Profile]:
    """The profile of each family whose encoding depends on its values.

    Texts are counted at once. Numbers are counted in a second pass, and only if the family also has texts: there may be
    too many plain ids to store.
    """
    families = {name: _family(requirement) for name, requirement in requirements.items()}
    looked = {name for name in families if requirements[name].encodes or requested[families[name]] == "standard"}
    profiles = {families[name]: Profile() for name in looked}
    for chunk in read(looked) if looked else ():
        for name in looked:
            array, kind = chunk.columns[name], requested[families[name]]
            counted = kind == "vocabulary" or (kind is None and _texts(array))
            profiles[families[name]].look(array, counted=counted)
    several = {families[name] for name, requirement in requirements.items() if requirement.use == "lists"}
    again = {
        name
        for name in looked
        if profiles[families[name]].uncounted and requested[families[name]] is None
        and _counts(requirements[name], profiles[families[name]], several=families[name] in several)
    }  # fmt: skip
    for name in again:
        profiles[families[name]].counts.clear()
    for chunk in read(again) if again else ():
        for name in again:
            profiles[families[name]].count(chunk.columns[name])
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
    """Reports ids that may or may not be equal."""
    if choice.kind in {"ids", "vocabulary"} and profile.only_numbers and not requested and (twins := profile.twins):
        one = f"`--encode {column}=ids` makes them one id, " if profile.only_whole else "write them alike, or "
        problems.error(
            "AS711", f"column `{column}` holds `{twins[0]}` and `{twins[1]}`: two texts, but one number",
            help=f"{one}`--encode {column}=vocabulary` two",
        )  # fmt: skip
    if choice.kind in {"ids", "vocabulary"} and profile.only_numbers and profile.rounded is not None:
        message = (
            f"column `{column}` holds ids beyond 2^53 in floats, such as {profile.rounded:.17g}: they have lost their "
            "last digits, and several ids may have become one"
        )
        if requested:
            problems.warning("AS712", message, help="write them as integers or as texts")
        else:
            problems.error(
                "AS712", message,
                help=f"write them as integers or as texts; `--encode {column}=vocabulary` numbers what is left of them",
            )  # fmt: skip
    if not (profile.texts or profile.typed):
        problems.warning("AS713", f"column `{column}` holds no value in any row to train on")


def _check_domain(problems: Diagnostics, column: str, encoding: Encoding, profile: Profile) -> None:
    """Warns how numbers are mapped to the values of a domain, if the mapping is not the usual one."""
    if not isinstance(encoding, Words) or encoding.first is None or not 0 < profile.low <= len(encoding.words):
        return
    words, last = encoding.words, encoding.first + len(encoding.words) - 1
    counted = f"counted from {encoding.first}: {encoding.first} is `{words[0]}`, {last} is `{words[-1]}`"
    problems.warning(
        "AS716",
        f"column `{column}` holds numbers from {profile.low:.0f} to {profile.high:.0f}, {counted}",
        help=f"if that is not what is meant, write the names: {', '.join(words)}",
    )  # fmt: skip


def _found(requirement: ColumnRequirement, profile: Profile | None) -> str:
    """The contents of a column, in words."""
    if profile is None:
        words = {"class": "whole numbers", "key": "anything"}.get(requirement.use, "numbers")
    elif profile.only_numbers:
        words = "whole numbers" if profile.only_whole else "numbers"
        words = words if profile.texts or profile.typed else "no values"
    else:
        words = "texts and numbers" if profile.typed else "texts"
    return f"lists of {words}" if requirement.several else words


def _encoding(requirement: ColumnRequirement, choice: Choice, profile: Profile) -> Encoding:
    """The encoding of a column, by its use."""
    if requirement.encodes:
        return (
            _of_words(requirement.words, profile) if requirement.words else _of_ids(choice, profile, requirement.high)
        )
    if choice.kind == "standard":
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


def _of_ids(choice: Choice, profile: Profile, high: int | None) -> Encoding:
    if choice.kind == "buckets":
        return Buckets(edges=profile.edges((high or _BUCKETS) - 1))
    if choice.kind == "ids":
        return Ids(high=high)
    counts = profile.as_numbers() if choice.reading == "numbers" else profile.counts
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    room = len(ranked) + 1 if high is None else high - 1
    # A missing value replaces the rarest value if it is more frequent.
    absent = profile.missing > 0 and (len(ranked) < room or (room > 0 and profile.missing > ranked[room - 1][1]))
    values = tuple(value for value, _ in ranked[: room - absent])
    return Vocabulary(values=values, others=len(ranked) - len(values), reading=choice.reading, missing=absent)
