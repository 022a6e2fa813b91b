"""The contents of a figure: blocks and arrows, independent of any output format."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DATA_ROLES: Final = ("output", "sees", "from", "of", "residual")
"""Roles in which a block reads data; in all other roles it reads a stream that controls it."""


@dataclass(frozen=True)
class Part:
    """One expert of a group, or one case of a switch; `port` is None if it represents all of them."""

    port: str | None
    title: str
    detail: str
    words: tuple[str, ...] = ()
    members: tuple[str, ...] = ()  # canonical names
    change: str = ""  # added, removed or changed, in a figure of two specs


@dataclass(frozen=True)
class Block:
    """One box of a figure.

    `form` is inputs, feature_gate, block, group, gate, tower, switch, fusion, penalty (adds to the loss) or output.
    """

    name: str
    form: str
    level: int
    owner: str | None
    title: str
    detail: str = ""
    parts: tuple[Part, ...] = ()
    words: tuple[str, ...] = ()  # settings that differ from the defaults
    notes: tuple[str, ...] = ()  # the stream that determines a gate's weights, if no arrow shows it
    trained: tuple[str, ...] = ()  # the tasks whose loss reaches it
    many: str = ""  # how many tasks train it, if they are not drawn one by one
    members: tuple[str, ...] = ()  # canonical names of the nodes that it shows
    tokens: int = 0  # how many tokens a list has; 0: rows, -1: any number
    times: int = 1  # how many blocks of equal structure it represents
    change: str = ""  # added, removed or changed, in a figure of two specs

    @property
    def small(self) -> tuple[str, ...]:
        """The lines below the title."""
        return tuple(line for line in (self.detail, *self.words, *self.notes) if line)

    @property
    def alone(self) -> bool:
        """Whether no other task's loss than its owner's trains it."""
        return self.trained in {(self.owner,), ()} and not self.many

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
    change: str = ""

    @property
    def controls(self) -> bool:
        """Whether it controls the head (a selector, a switch, a kind's own role) rather than being its data."""
        return self.role not in DATA_ROLES


@dataclass(frozen=True)
class Figure:
    """All blocks and arrows of one model, in the order of its graph. `remarks` are sentences for the caption."""

    name: str
    about: str
    tasks: tuple[str, ...]
    levels: int
    blocks: dict[str, Block]
    arrows: tuple[Arrow, ...]
    remarks: tuple[str, ...] = ()
    spans: Mapping[int, int] = field(default_factory=dict)
    """A level that represents several equal ones -> the last of them."""

    def level_name(self, level: int) -> str:
        """`Level 2`, or `Levels 2 to 4` if it represents several equal ones."""
        last = self.spans.get(level)
        return f"Level {level}" if last is None else f"Levels {level} to {last}"

    def of_level(self, level: int, *forms: str) -> list[Block]:
        """The blocks of these forms at one level."""
        return [block for block in self.blocks.values() if block.level == level and block.form in forms]

    def of_form(self, *forms: str) -> list[Block]:
        """The blocks of these forms."""
        return [block for block in self.blocks.values() if block.form in forms]

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
        """The horizontal position of each block: its task's number, else the middle of the blocks that it feeds.

        A stream that goes on under its own name stays below itself, whatever else reads it.
        """
        found: dict[str, float] = {}

        def place(name: str) -> float:
            if name not in found:
                owner, readers = self.blocks[name].owner, self.readers[name]
                same = [reader for reader in readers if _last(reader) == _last(name)]
                if owner in self.tasks:
                    found[name] = self.tasks.index(owner)
                else:
                    found[name] = fmean(map(place, same or readers)) if readers else (len(self.tasks) - 1) / 2
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

    def rows(self, level: int) -> list[list[Block]]:
        """The blocks of one level from bottom to top: each above those that it reads, gates above groups."""
        return self._heaped(self.of_level(level, "group", "gate"))

    def bottom(self) -> list[list[Block]]:
        """Feature gates and blocks below the first level, from bottom to top."""
        return self._heaped(self.of_form("feature_gate", "block"))

    def towers(self) -> list[list[Block]]:
        """The towers from bottom to top: each above the towers that it reads."""
        return self._heaped(self.of_form("tower", "switch"))

    def top(self) -> list[list[Block]]:
        """Fusions, each above those that it reads, then the outputs."""
        return [*self._heaped(self.of_form("fusion", "penalty")), self.across(self.of_form("output"))]

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
        rows: list[list[Block]] = [[] for _ in range(1 + max(heights.values(), default=-1))]
        for name, height in heights.items():
            rows[height].append(self.blocks[name])
        return [self.across(row) for row in rows if row]


def _last(name: str) -> str:
    return name.rpartition(".")[2]
