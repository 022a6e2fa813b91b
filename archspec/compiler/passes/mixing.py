"""All gates of one distance that mix the same experts become one batched product, grouped by how they see them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from archspec.program import Op, Value

if TYPE_CHECKING:
    from archspec.compiler.passes.layout import Layout, Place

MOST_OWN = 4
"""Columns in which each gate sees an expert of its own; each costs one multiply-add over all gates."""


@dataclass(frozen=True, slots=True)
class Sight:
    """How gates see a stack of experts.

    `columns` first to last of the weights mix experts from `shared` on for every gate; `own` are (column, start, step):
    gate g sees expert start + g * step there.
    """

    columns: tuple[int, int]
    shared: int
    own: tuple[tuple[int, int, int], ...]


class Mixing:
    """Fuses mixes; those that do not fit a pattern are given back, with the reason among the misses."""

    def __init__(self, layout: Layout, rewrites: list[str], misses: list[str]) -> None:
        self.layout, self.rewrites, self.misses = layout, rewrites, misses

    def fuse(self, mixes: list[Op]) -> list[Op]:
        """Fuses what can be fused among mixes that are independent of each other; gives back the others."""
        left: list[Op] = []
        groups: dict[object, list[Op]] = {}
        for op in mixes:
            weights, *experts = op.inputs
            if len(weights.shape) == 2 and all(self.in_stack(expert) for expert in experts):  # noqa: PLR2004 - [B, E]
                groups.setdefault((weights.width, op.output.shape), []).append(op)
            else:
                self.misses.append(f"{op.output.name}: its experts or weights stand alone")
                left.append(op)
        together = [op for group in groups.values() for op in group]
        by_width = self.experts([value for op in together for value in op.inputs[1:]])
        for group in groups.values():
            left += self.group(group, by_width[group[0].output.width])
        return left

    def in_stack(self, value: Value) -> bool:
        """Whether an expert is part of some container."""
        return value.name in self.layout.places

    def experts(self, values: list[Value]) -> dict[int, list[Value]]:
        """The different experts of each width, in the order in which they stand."""
        found: dict[int, dict[str, Value]] = {}
        for value in values:
            found.setdefault(value.width, {})[value.name] = value
        containers = {name: index for index, name in enumerate(dict.fromkeys(op.output.name for op in self.layout.ops))}

        def place_of(value: Value) -> tuple[int, int, int]:
            place = self.layout.places[value.name]
            return containers.get(place.container.name, 0), _member(place), place.start

        return {width: sorted(named.values(), key=place_of) for width, named in found.items()}

    def group(self, group: list[Op], experts: list[Value]) -> list[Op]:
        """One class of gates: all of them if there is a pattern, else each one that sees a plain range."""
        sight = sight_of(group, experts)
        if sight is None:
            if len(group) == 1:
                self.misses.append(f"{group[0].output.name}: sees experts in no regular order")
                return group
            return [op for single in group for op in self.group([single], experts)]
        head = group[0]
        self.layout.node = head.node
        weights = self.layout.stack([op.inputs[0] for op in group])
        stack = self.layout.stack(experts)
        output = Value(f"{head.output.name}~all", (len(group), *head.output.shape))
        attrs = (("columns", sight.columns), ("shared", sight.shared), ("own", sight.own))
        self.layout.hints[output.name] = "streams"
        self.layout.emit(Op("mix_seen", (weights, stack), output, (), attrs, head.node))
        for index, op in enumerate(group):
            self.layout.put(op.output, output, index, 0, op.output.width)
        self.rewrites.append(f"{len(group)} gates mix {len(experts)} experts in one product: {head.output.name} ...")
        return []


def _member(place: Place) -> int:
    return -1 if place.member is None else place.member


def sight_of(group: list[Op], experts: list[Value]) -> Sight | None:
    """The pattern in which gates see experts, None where there is none."""
    index = {value.name: i for i, value in enumerate(experts)}
    seen = [[index[value.name] for value in op.inputs[1:]] for op in group]
    common, own = [], []
    for column, sights in enumerate(zip(*seen, strict=True)):
        steps = {right - left for left, right in pairwise(sights)} or {0}
        if steps == {0}:
            common.append(column)
        elif len(steps) == 1 and min(steps) > 0:
            own.append((column, sights[0], steps.pop()))
        else:
            return None
    first, last = (common[0], common[-1] + 1) if common else (0, 0)
    shared = seen[0][first] if common else 0
    if common != list(range(first, last)) or [seen[0][c] for c in common] != list(range(shared, shared + len(common))):
        return None
    return Sight((first, last), shared, tuple(own)) if len(own) <= MOST_OWN else None
