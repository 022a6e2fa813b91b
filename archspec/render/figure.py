"""What one figure holds: blocks and arrows, with no word of any output format."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Final

DATA_ROLES: Final = ("output", "sees", "from", "of", "case", "residual")
CONTROL_ROLES: Final = ("selector", "switch", "modulate", "exclude")


@dataclass(frozen=True)
class Part:
    """One expert inside a group's block, or a count of them; `port` is None where it stands for all."""

    port: str | None
    title: str
    detail: str


@dataclass(frozen=True)
class Block:
    """One thing that is drawn: `form` is inputs, group, gate, feature_gate, tower, switch, case, fusion or output."""

    name: str
    form: str
    level: int
    owner: str | None
    title: str
    detail: str = ""
    parts: tuple[Part, ...] = ()
    within: str | None = None  # the tower that a case belongs to

    @property
    def ports(self) -> frozenset[str | None]:
        """What an arrow must start from to start from the whole block."""
        return frozenset(part.port for part in self.parts) or frozenset([None])


@dataclass(frozen=True)
class Arrow:
    """An arrow between two blocks, or one part of them; `own`: from the experts of an owner to the owner's gate."""

    tail: str
    head: str
    role: str
    detached: bool = False
    tail_port: str | None = None
    head_port: str | None = None
    own: bool = False

    @property
    def controls(self) -> bool:
        """Whether it steers the head (a selector, a switch, a kind's own) and is not what the head computes with."""
        return self.role not in DATA_ROLES


@dataclass(frozen=True)
class Figure:
    """All blocks and arrows of one model, in the order of its graph."""

    name: str
    about: str
    tasks: tuple[str, ...]
    levels: int
    blocks: dict[str, Block]
    arrows: tuple[Arrow, ...]

    def of_level(self, level: int, *forms: str) -> list[Block]:
        """The blocks of these forms at one level."""
        return [block for block in self.blocks.values() if block.level == level and block.form in forms]

    @cached_property
    def reads(self) -> dict[str, list[Arrow]]:
        """The arrows that end at each block."""
        found: dict[str, list[Arrow]] = {name: [] for name in self.blocks}
        for arrow in self.arrows:
            found[arrow.head].append(arrow)
        return found

    def place(self, block: Block) -> float:
        """Where a block stands from left to right: at its task's number, or in the middle of what it sees or of all."""
        if block.owner in self.tasks:
            return self.tasks.index(block.owner)
        seen = [self.blocks[arrow.tail] for arrow in self.reads[block.name] if arrow.role == "sees"]
        return fmean(map(self.place, seen)) if seen else (len(self.tasks) - 1) / 2

    @cached_property
    def fed(self) -> dict[str, list[str]]:
        """The groups and towers that each box of inputs feeds, from left to right."""
        found: dict[str, set[str]] = {block.name: set() for block in self.blocks.values() if block.form == "inputs"}
        for arrow in self.arrows:
            if arrow.tail in found and not arrow.controls and self.blocks[arrow.head].form in {"group", "tower"}:
                found[arrow.tail].add(arrow.head)
        order = sorted(self.blocks, key=lambda name: self.place(self.blocks[name]))
        return {box: [name for name in order if name in heads] for box, heads in found.items()}

    def rows(self, level: int) -> list[list[Block]]:
        """The blocks of one level from bottom to top: groups, gates, then gates that read gates of the level."""
        heights: dict[str, int] = {block.name: 0 for block in self.of_level(level, "group")}
        waiting = self.of_level(level, "gate")
        while waiting:  # gates of a checked graph read each other in no circle, so one of them can always be placed
            names = {gate.name for gate in waiting}
            for gate in waiting:
                tails = {arrow.tail for arrow in self.reads[gate.name]}
                if names.isdisjoint(tails):
                    heights[gate.name] = 1 + max((heights.get(tail, 0) for tail in tails), default=0)
            waiting = [gate for gate in waiting if gate.name not in heights]
        rows: list[list[Block]] = [[] for _ in range(1 + max(heights.values(), default=0))]
        for name, height in heights.items():
            rows[height].append(self.blocks[name])
        return [sorted(row, key=self.place) for row in rows if row]
