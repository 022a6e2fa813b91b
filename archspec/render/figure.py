"""The contents of a figure: blocks and arrows, independent of any output format."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

DATA_ROLES: Final = ("output", "sees", "from", "of", "case", "residual")
CONTROL_ROLES: Final = ("selector", "switch", "modulate", "exclude", "only")


@dataclass(frozen=True)
class Part:
    """One expert inside a group's block, or a count of them; `port` is None if it represents all."""

    port: str | None
    title: str
    detail: str


@dataclass(frozen=True)
class Block:
    """One box of a figure.

    `form` is inputs, group, gate, tower, switch, case, fusion, output, penalty (adds to the loss only), or any
    other block.
    """

    name: str
    form: str
    level: int
    owner: str | None
    title: str
    detail: str = ""
    parts: tuple[Part, ...] = ()
    within: str | None = None  # the tower that a case belongs to
    notes: tuple[str, ...] = ()  # further lines of details: a gate's name, and the stream that determines its weights

    @property
    def small(self) -> tuple[str, ...]:
        """The lines below the title."""
        return tuple(line for line in (self.detail, *self.notes) if line)

    @property
    def ports(self) -> frozenset[str | None]:
        """The ports from which an arrow must start to represent the whole block."""
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
        """Whether it controls the head (a selector, a switch, a kind's own role) rather than being its data."""
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

    @cached_property
    def readers(self) -> dict[str, list[str]]:
        """The blocks that read each block's result."""
        found: dict[str, list[str]] = {name: [] for name in self.blocks}
        for arrow in self.arrows:
            if not arrow.controls and self.blocks[arrow.head].form != "penalty":
                found[arrow.tail].append(arrow.head)
        return found

    @cached_property
    def places(self) -> dict[str, float]:
        """The horizontal position of each block: its task's number, else the middle of the blocks that it feeds."""
        found: dict[str, float] = {}

        def place(name: str) -> float:
            if name not in found:
                owner, readers = self.blocks[name].owner, self.readers[name]
                if owner in self.tasks:
                    found[name] = self.tasks.index(owner)
                else:
                    found[name] = fmean(map(place, readers)) if readers else (len(self.tasks) - 1) / 2
            return found[name]

        for name in sorted(self.blocks, key=lambda name: -self.blocks[name].level):  # from the top: no deep recursion
            place(name)
        for name, block in self.blocks.items():  # a block that reads several towers is placed between them
            if block.form in {"fusion", "penalty"} and self.reads[name]:
                between = fmean(found[arrow.tail] for arrow in self.reads[name])
                found |= dict.fromkeys((name, *self.readers[name]), between)
        return found

    def across(self, blocks: Iterable[Block]) -> list[Block]:
        """Blocks from left to right; among those with the same position, those that feed a higher level come last."""

        def order(block: Block) -> tuple[float, int]:
            return self.places[block.name], max(
                (self.blocks[name].level for name in self.readers[block.name]), default=0
            )

        return sorted(blocks, key=order)

    @cached_property
    def bar(self) -> tuple[str, list[str]] | None:
        """The one box of inputs that feeds several blocks of the first row, and these blocks from left to right."""
        rows = self.rows(1) if self.levels else self.towers()
        row = [block.name for block in rows[0]] if rows else []
        fed = {box.name: [name for name in row if name in self.readers[box.name]] for box in self.of_level(0, "inputs")}
        wide = [(name, heads) for name, heads in fed.items() if len(heads) > 1]
        return wide[0] if len(wide) == 1 else None  # the arrows of two adjacent bars would cross

    def rows(self, level: int) -> list[list[Block]]:
        """The blocks of one level from bottom to top: each above those that it reads, gates above groups."""
        return self._heaped(self.of_level(level, "group", "gate"))

    def towers(self) -> list[list[Block]]:
        """The towers that are not a switch, from bottom to top: each above the towers that it reads."""
        return self._heaped([block for block in self.blocks.values() if block.form == "tower"])

    def _heaped(self, waiting: list[Block]) -> list[list[Block]]:
        heights: dict[str, int] = {}
        while waiting:  # blocks of a checked graph form no cycle, so one of them can always be placed
            names = {block.name for block in waiting}
            for block in waiting:
                tails = {arrow.tail for arrow in self.reads[block.name]}
                if names.isdisjoint(tails):
                    below = max((heights[tail] for tail in tails if tail in heights), default=-1)
                    heights[block.name] = max(below + 1, int(block.form == "gate"))
            waiting = [block for block in waiting if block.name not in heights]
        rows: list[list[Block]] = [[] for _ in range(1 + max(heights.values(), default=0))]
        for name, height in heights.items():
            rows[height].append(self.blocks[name])
        return [self.across(row) for row in rows if row]
