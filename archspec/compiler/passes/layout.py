"""Where values are stored once operations are batched, and how to combine several into one tensor without a copy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from archspec.program import Op, Value
from archspec.program.nodes import NodeName

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Place:
    """A value inside a container: columns `start` to `stop` of rows or tokens, or of one member of a stack of them.

    A value `[B]` may be a member of `[E, B]`; its columns are 0 to 1.
    """

    container: Value
    member: int | None
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Grid:
    """Neighbours of equal shape in a container: `count` runs of `width` columns in members `first` to `last`."""

    container: Value
    first: int | None
    last: int | None
    start: int
    width: int
    count: int

    def follows(self, other: Grid) -> bool:
        """Whether this grid has the same columns in the next member."""
        return (
            self.first is not None
            and other.last is not None
            and (self.container, self.start, self.width, self.count)
            == (other.container, other.start, other.width, other.count)
            and self.first == other.last + 1
        )


class Layout:
    """The places of values; `ops` collects operations, including those that take values out or combine them."""

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self.places: dict[str, Place] = {}
        self.made: set[str] = set()
        self.stacks: dict[tuple[str, ...], Value] = {}
        self.moved: dict[object, Value] = {}
        self.hints: dict[str, str] = {}
        self.node = NodeName()

    def emit(self, op: Op) -> Value:
        """Adds an operation."""
        self.ops.append(op)
        self.made.add(op.output.name)
        return op.output

    def op(self, kind: str, inputs: Sequence[Value], shape: Sequence[int | str], **attrs: int) -> Value:
        """Adds an operation that only moves data; an equal one is added only once."""
        key = (kind, tuple(value.name for value in inputs), tuple(attrs.items()))
        if key not in self.moved:
            name = f"{inputs[0].name}~{kind}" + "".join(f"~{value}" for value in attrs.values())
            while name in self.made:
                name += "+"
            output = Value(name, tuple(shape), inputs[0].dtype)
            self.moved[key] = self.emit(Op(kind, tuple(inputs), output, (), tuple(attrs.items()), self.node))
        return self.moved[key]

    # -- taking out ---------------------------------------------------------------------------------------------------

    def single(self, value: Value) -> Value:
        """The value as a separate tensor."""
        place = self.places.get(value.name)
        if place is None or value.name in self.made:
            return value
        whole = place.container
        if place.member is None and (place.start, place.stop) == (0, whole.width):
            return whole
        if place.member is not None:
            if self.is_whole(place):
                return self.emit(Op("member", (whole,), value, (), (("index", place.member),), self.node))
            whole = self.op("member", (whole,), whole.shape[1:], index=place.member)
        attrs = (("start", place.start), ("stop", place.stop))
        return self.emit(Op("slice", (whole,), value, (), attrs, self.node))

    @staticmethod
    def is_whole(place: Place) -> bool:
        """Whether the value is a whole member."""
        return not place.container.features or (place.start, place.stop) == (0, place.container.width)

    def put(self, value: Value, container: Value, member: int | None, start: int, stop: int) -> None:
        """Records where a value is stored from now on."""
        self.places[value.name] = Place(container, member, start, stop)

    def cut(self, op: Op) -> None:
        """Records the place of a slice, without adding an operation."""
        source = self.places.get(op.inputs[0].name) or Place(op.inputs[0], None, 0, op.inputs[0].width)
        start, stop = source.start + op.attr("start"), source.start + op.attr("stop")
        self.places[op.output.name] = replace(source, start=start, stop=stop)

    def joined_columns(self, values: Sequence[Value]) -> list[Value]:
        """The values, with those that are already adjacent joined into one."""
        found: list[Value] = []
        for value in values:
            place = self.places.get(value.name)
            last = self.places.get(found[-1].name) if found else None
            if (
                place is not None
                and last is not None
                and (place.container, place.member, place.start) == (last.container, last.member, last.stop)
                and place.container.features
            ):
                shape = (*value.shape[:-1], found[-1].width + value.width)
                both = Value(f"{found[-1].name}+{value.name}", shape, value.dtype)
                self.places[both.name] = replace(last, stop=place.stop)
                found[-1] = both
                continue
            found.append(value)
        return found

    # -- putting together ---------------------------------------------------------------------------------------------

    def grids(self, values: Sequence[Value]) -> list[Grid | Value]:
        """The values in as few grids as possible; values that are not in a container stay as they are."""
        runs: list[Grid | Value] = []
        for value in values:
            place = self.places.get(value.name)
            if place is None or not place.container.features:
                runs.append(value)
                continue
            width = place.stop - place.start
            last = runs[-1] if runs else None
            if (
                isinstance(last, Grid)
                and (last.container, last.last, last.width) == (place.container, place.member, width)
                and last.start + last.count * width == place.start
            ):
                runs[-1] = replace(last, count=last.count + 1)
            else:
                runs.append(Grid(place.container, place.member, place.member, place.start, width, 1))
        return _merged(runs)

    def rows(self, values: Sequence[Value]) -> Value | None:
        """The concatenated values `[..., E W]` if they are already adjacent, else None."""
        runs = self.grids(values)
        if len(runs) != 1 or not isinstance(runs[0], Grid) or runs[0].first is not None:
            return None
        return self._columns(runs[0].container, runs[0])

    def stack(self, values: Sequence[Value]) -> Value:
        """Values of the same shape as a stack `[E, ...]`: a view if they are neighbours, else a copy."""
        key = tuple(value.name for value in values)
        if key not in self.stacks:
            parts: list[Value] = []
            alone: list[Value] = []
            for run in [*self.grids(values), None]:
                if isinstance(run, Value):
                    alone.append(self.single(run))
                    continue
                if alone:
                    parts.append(self.op("stack", alone, (len(alone), *alone[0].shape)))
                    alone = []
                if run is not None:
                    parts.append(self._folded(run))
            self.stacks[key] = parts[0] if len(parts) == 1 else self._joined(parts)
        return self.stacks[key]

    def _joined(self, parts: list[Value]) -> Value:
        return self.op("join", parts, (sum(int(part.shape[0]) for part in parts), *parts[0].shape[1:]))

    def _folded(self, grid: Grid) -> Value:
        value = grid.container
        if grid.first is not None and grid.last is not None:
            count = grid.last + 1 - grid.first
            if count < int(value.shape[0]):
                value = self.op("members", (value,), (count, *value.shape[1:]), start=grid.first, stop=grid.last + 1)
        value = self._columns(value, grid)
        size = int(value.shape[0]) if grid.first is not None else 1
        if grid.count == 1 and grid.first is not None:
            return value
        rows = value.shape[1:-1] if value.is_stack else value.shape[:-1]
        return self.op("fold", (value,), (size * grid.count, *rows, grid.width), count=grid.count)

    def _columns(self, value: Value, grid: Grid) -> Value:
        stop = grid.start + grid.count * grid.width
        if (grid.start, stop) == (0, value.width):
            return value
        return self.op("slice", (value,), (*value.shape[:-1], stop - grid.start), start=grid.start, stop=stop)


def _merged(runs: list[Grid | Value]) -> list[Grid | Value]:
    """Merges grids of neighbouring members."""
    merged: list[Grid | Value] = []
    for run in runs:
        last = merged[-1] if merged else None
        if isinstance(run, Grid) and isinstance(last, Grid) and run.follows(last):
            merged[-1] = replace(last, last=run.last)
        else:
            merged.append(run)
    return merged
