"""The requested encodings by column: checks them, and applies them to columns that share ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Final

from archspec.data.labels import check_listed
from archspec.data.moments import LEAST, MOMENTS, moment_of
from archspec.data.requirements import nearest_column
from archspec.diagnostics import Diagnostics, Span, suggest

if TYPE_CHECKING:
    from collections.abc import Collection

    from archspec.data.requirements import ColumnRequirement
    from archspec.data.tables import Sources

EVERY: Final = "*"
"""Key of `min_counts` for all columns with a vocabulary."""
_ALIKE: Final = frozenset({"hash", "hour", "weekday"})
"""Encodings that each column that shares ids must request, because they do not learn from all of those columns."""


Spans = Mapping[tuple[str, str], Span]
"""(Field of `Requests`, column) -> its place in the file."""


@dataclass(frozen=True, slots=True)
class Requests:
    """The requested settings by column; each field is one of `Source`, which describes it."""

    choices: Mapping[str, str] = field(default_factory=dict)
    padding: Mapping[str, str] = field(default_factory=dict)
    separators: Mapping[str, str] = field(default_factory=dict)
    min_counts: Mapping[str, int] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, source: object) -> Requests:
        """The requests of a `Source`."""
        return cls(**{each.name: getattr(source, each.name) for each in fields(cls)})

    def check(
        self,
        requirements: Mapping[str, ColumnRequirement],
        problems: Diagnostics,
        spans: Spans | None = None,
    ) -> None:
        """Adds an error for each impossible request: unknown columns, encodings that a column cannot have.

        Args:
            requirements: the columns that the spec reads.
            problems: where to report.
            spans: (field, column) -> its place, if it is in a file.
        """
        at = dict(spans or {})
        for name in (each.name for each in fields(self)):
            for column in getattr(self, name):
                if column != EVERY or name != "min_counts":
                    known(column, requirements, problems, at.get((name, column)))
        for column, kind in self.choices.items():
            if column in requirements:
                check_choice(requirements[column], kind, problems, at.get(("choices", column)))
        _check_alike(self.choices, requirements, problems, at)
        _check_min_counts(self.min_counts, requirements, problems, at)
        _check_lists(self, requirements, problems, at)


def known(
    column: str, requirements: Mapping[str, ColumnRequirement], problems: Diagnostics, span: Span | None = None
) -> bool:
    """Whether the spec reads a column; if not, adds an error."""
    if column not in requirements:
        message = f"the spec reads no column `{column}`"
        problems.error("AS705", message, span, help=nearest_column(column, requirements, "it reads"))
    return column in requirements


def check_choice(requirement: ColumnRequirement, choice: str, problems: Diagnostics, span: Span | None = None) -> None:
    """Adds an error if a column cannot have an encoding."""
    kind, colon, more = choice.partition(":")
    able, column, high = requirement.choices, requirement.column, requirement.high
    cannot = f"column `{column}` cannot be encoded as `{choice}`"
    if kind not in able:
        has = f"takes {', '.join(able)}" if able else "is read as it is"
        near = suggest(kind, able)
        guess = f"did you mean `{near}`? " if near else ""
        problems.error("AS705", cannot, span, help=f"{guess}{requirement.reader} {has}")
    elif kind == "age":
        if colon and not more:
            problems.error(
                "AS705", cannot, span, help="`age:` is followed by a date, such as `age:2026-01-31`, or a column"
            )
    elif colon:
        check_listed(requirement, choice, problems, span)
    elif high is not None and high < (least := LEAST.get(kind, 2 if kind == "hash" else 0)):
        message = f"{cannot}: {requirement.reader} has {high} ids"
        problems.error("AS705", message, span, help=f"write `vocab: {least}`")


def _check_alike(
    choices: Mapping[str, str], requirements: Mapping[str, ColumnRequirement], problems: Diagnostics, at: Spans
) -> None:
    """Adds an error for each set of columns that share their ids but would be encoded differently."""
    for members in families(requirements).values():
        names = [name for name in members if requirements[name].encodes]
        asked = {name: choices[name] for name in names if name in choices}
        kinds, rest = set(asked.values()), [name for name in names if name not in asked]
        if len(kinds) < 2 and not (rest and kinds & _ALIKE):  # noqa: PLR2004 - they differ
            continue
        first, kind = next(((name, kind) for name, kind in asked.items() if kind in _ALIKE), next(iter(asked.items())))
        other = next(name for name in names if choices.get(name) != kind)
        instead = f"is to be encoded as `{asked[other]}`" if other in asked else "gets a shared vocabulary"
        both = " ".join(f"--encode {name}={kind}" for name in names)
        problems.error(
            "AS760", f"`--encode {first}={kind}`: `{first}` shares its ids with `{other}`, which {instead}",
            at.get(("choices", first)),
            help=f"`{both}` encodes them alike; or give {requirements[other].reader} a table of its own, with `vocab` "
            "and `dim`",
        )  # fmt: skip


def family_of(requirement: ColumnRequirement) -> str:
    """The name of the columns that share their ids with this one."""
    return requirement.family or requirement.column


def families(requirements: Mapping[str, ColumnRequirement]) -> dict[str, list[str]]:
    """The name of each family, and the columns in it."""
    found: dict[str, list[str]] = {}
    for name, requirement in requirements.items():
        found.setdefault(family_of(requirement), []).append(name)
    return found


def by_family(choices: Mapping[str, str], requirements: Mapping[str, ColumnRequirement]) -> dict[str, str | None]:
    """The requested encoding of each family; a column that a task reads, too, is not encoded."""
    found = {family_of(requirements[column]): kind for column, kind in choices.items()}
    found |= {
        family_of(requirement): "ids"
        for requirement in requirements.values()
        if requirement.plain and requirement.encodes
    }
    return {family: found.get(family) for family in families(requirements)}


def _check_min_counts(
    min_counts: Mapping[str, int], requirements: Mapping[str, ColumnRequirement], problems: Diagnostics, at: Spans
) -> None:
    """Adds an error if two columns that share their ids have different numbers."""
    seen: dict[str, str] = {}
    for column, count in min_counts.items():
        if column not in requirements:
            continue
        other = seen.setdefault(family_of(requirements[column]), column)
        if min_counts[other] != count:
            problems.error(
                "AS760", f"`--min-count {column}={count}`: `{column}` shares its vocabulary with `{other}`, whose rare "
                f"values are those of fewer than {min_counts[other]} rows", at.get(("min_counts", column)),
                help="give both the same number",
            )  # fmt: skip


def _check_lists(
    requests: Requests, requirements: Mapping[str, ColumnRequirement], problems: Diagnostics, at: Spans
) -> None:
    """Adds an error for a request about lists for another column, or about single values for a list."""
    lists = [name for name, requirement in requirements.items() if requirement.use == "lists"]
    several = [name for name, requirement in requirements.items() if requirement.several]
    for kind, able in (("padding", lists), ("separators", several)):
        for column in getattr(requests, kind):
            if column in requirements and column not in able:
                message = f"the spec reads no lists from the column `{column}`"
                helps = nearest_column(column, able, "it reads lists from")
                problems.error("AS705", message, at.get((kind, column)), help=helps)
    for column, values in requests.missing.items():
        if column in several:
            problems.error(
                "AS705", f"`--missing {column}={','.join(values)}`: {requirements[column].reader} reads lists",
                at.get(("missing", column)), help=f"`--padding {column}={values[0]}` leaves such items out of them",
            )  # fmt: skip


def least_count(requirement: ColumnRequirement, members: Collection[str], min_counts: Mapping[str, int]) -> int:
    """How often a value of a column must occur to be in its vocabulary; `members` are the columns that share it."""
    given = [min_counts[name] for name in members if name in min_counts]
    return given[0] if given else min_counts.get(EVERY, 1) if requirement.encodes else 1


def sources_of(columns: Mapping[str, str], choices: Mapping[str, str]) -> Sources:
    """The columns of the files that columns of the spec are read from, if they are not the ones of the same name."""
    found: dict[str, tuple[str, ...]] = {name: (column,) for name, column in columns.items()}
    for name, choice in choices.items():
        kind, _, more = choice.partition(":")
        if kind == "age" and more and moment_of(more) is None:
            found[name] = (columns.get(name, name), more)
    return found


def timed(choices: Mapping[str, str]) -> set[str]:
    """The columns whose values are read as dates and times."""
    return {name for name, choice in choices.items() if choice.partition(":")[0] in MOMENTS}
