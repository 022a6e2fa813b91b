"""Canonical names of nodes: their parts, their text, and how to parse a text.

A NodeName is a string that also knows its section, level and other parts, so that other code never splits names. Only
`NodeName.parse` parses text, for names that people write in specs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, Self, cast, get_args

from archspec.diagnostics import suggest

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

Section = Literal[
    "inputs", "groups", "feature_gates", "blocks", "experts", "gates", "towers", "fusion", "tasks", "scores", ""
]  # fmt: skip
"""The section of a name. Groups of inputs and scores are not nodes; a name without a section is only a part."""

_LEVELLED: Final = ("experts", "gates")
_NAMED: Final = "|".join(section for section in get_args(Section) if section and section not in _LEVELLED)
_WRITTEN: Final = re.compile(
    rf"(?:level(?P<level>[1-9][0-9]{{0,8}})\.(?P<inner>{'|'.join(_LEVELLED)})|(?P<outer>{_NAMED}))"
    r"\.(?P<name>[a-z0-9_]+)(?:\.(?P<number>[0-9]{1,9})|\.cases\.(?P<case>[a-z0-9_]+))?"
)


class NodeName(str):
    """The canonical name of a node, such as `level1.experts.shared.0`, or of a part of one.

    It equals its text, so that it can be looked up in a mapping by text. `NodeName("towers", "ctr", case="home")` is
    `towers.ctr.cases.home`.

    Args:
        section: the section that contains the node.
        name: the node's own name; for an expert, its group's.
        level: the level of an expert or gate, from 1; 0 for nodes without a level.
        number: which expert of its group, from 0; None for the group as a whole, and for all other nodes.
        case: the domain value of a switch's case.
        part: a path inside the node, such as `modulate.0`; empty for the whole node.
    """

    __slots__ = ("case", "level", "name", "number", "part", "section")

    section: Section
    name: str
    level: int
    number: int | None
    case: str | None
    part: str

    def __new__(  # noqa: PLR0913 - a name has this many parts
        cls,
        section: Section = "",
        name: str = "",
        *,
        level: int = 0,
        number: int | None = None,
        case: str | None = None,
        part: str = "",
    ) -> Self:
        """Joins the parts."""
        pieces = (
            f"level{level}" if level else "", section, name, "" if number is None else str(number),
            "" if case is None else f"cases.{case}", part,
        )  # fmt: skip
        made = super().__new__(cls, ".".join(piece for piece in pieces if piece))
        made.section, made.name, made.level, made.number, made.case, made.part = (
            section, name, level, number, case, part,
        )  # fmt: skip
        return made

    def __getnewargs_ex__(self) -> tuple[tuple[Section, str], dict[str, int | str | None]]:
        """The arguments for a copy or an unpickled name."""
        others = {"level": self.level, "number": self.number, "case": self.case, "part": self.part}
        return (self.section, self.name), others

    def __getstate__(self) -> None:
        """None, since the arguments contain the whole state."""

    @property
    def node(self) -> NodeName:
        """The node that this is a part of; itself for a whole node."""
        if not self.part:
            return self
        return NodeName(self.section, self.name, level=self.level, number=self.number, case=self.case)

    @property
    def whole(self) -> NodeName:
        """The group that an expert belongs to, `towers.ctr.cases` for a case of a switch; another node itself."""
        if self.case is not None:
            return NodeName(self.section, self.name, part="cases")
        return NodeName(self.section, self.name, level=self.level)

    def is_in(self, text: str) -> bool:
        """Whether a text is this name, or the name of something that this is a part, an expert or a case of."""
        return self == text or self.startswith(f"{text}.")

    def child(self, part: str) -> NodeName:
        """A part of this."""
        path = f"{self.part}.{part}" if self.part else part
        return NodeName(self.section, self.name, level=self.level, number=self.number, case=self.case, part=path)

    def sibling(self, name: str) -> NodeName:
        """Another node of the same section and level."""
        return NodeName(self.section, name, level=self.level)

    def member(self, number: int) -> NodeName:
        """One expert of this group."""
        return NodeName(self.section, self.name, level=self.level, number=number)

    @classmethod
    def parse(cls, text: str) -> NodeName | None:
        """The name that a text from outside spells out in full; None if it is not such a name."""
        match = _WRITTEN.fullmatch(text)
        if match is None:
            return None
        section = cast("Section", match["inner"] or match["outer"])
        level, number = int(match["level"] or 0), match["number"]
        if (number is not None and section != "experts") or (match["case"] is not None and section != "towers"):
            return None
        return NodeName(
            section, match["name"], level=level, number=None if number is None else int(number), case=match["case"]
        )


def owner_of(name: str, nodes: Container[str]) -> str | None:
    """The node with the longest canonical name that is a prefix of another name, such as that of a weight."""
    while name and name not in nodes:
        name = name.rpartition(".")[0]
    return name or None


def path_in(owner: str, weight: str) -> tuple[str, ...]:
    """The path of a weight inside the node that owns it: `("layers", "0", "weight")`."""
    return tuple(weight.removeprefix(f"{owner}.").split("."))


class UnknownBlockError(ValueError):
    """No weight is in a block of this name; the message suggests one."""

    def __init__(self, block: str, owners: Iterable[NodeName]) -> None:
        parts = [str(owner).split(".") for owner in owners]
        known = dict.fromkeys(".".join(names[:length]) for names in parts for length in range(1, len(names) + 1))
        near = suggest(block, known)
        found = f"did you mean `{near}`?" if near else "known: " + ", ".join(name for name in known if "." not in name)
        super().__init__(f"`{block}` is not the name of a block with weights: {found}")


def innermost(owners: Mapping[str, NodeName], blocks: Iterable[str]) -> dict[str, str]:
    """The innermost of some blocks that each weight is in; without the weights that are in none of them.

    Args:
        owners: weight -> the node that owns it, by canonical names.
        blocks: canonical names of blocks, groups of experts, levels or sections; or of weights.

    Raises:
        UnknownBlockError: a block has no weight.
    """
    found: dict[str, str] = {}
    for block in sorted(blocks, key=len):
        inside = [weight for weight, owner in owners.items() if owner.is_in(block) or weight == block]
        if not inside:
            raise UnknownBlockError(block, owners.values())
        found |= dict.fromkeys(inside, block)
    return found
