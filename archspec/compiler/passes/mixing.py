"""Fuses gates at the same distance from the inputs that mix the same experts, grouped by how they see them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from archspec.program import Op, Value

if TYPE_CHECKING:
    from archspec.compiler.passes.layout import Layout, Place

MOST_OWN = 4
"""The most columns with gates' own experts; each costs one multiply-add over all gates."""
MOST_PARTS = 4
"""The most runs of neighbouring experts that a gate may see."""
FEW = 4
"""Up to this many shared experts, fused multiply-adds are as fast as a batched matmul."""


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring experts that gates see in neighbouring columns of their weights, starting at `column`.

    With `own`, the experts of gate g start at first + g * count; otherwise those of every gate start at first.
    """

    column: int
    first: int
    count: int
    own: bool


class Mixing:
    """Fuses mixes; returns those that fit no pattern, and adds the reasons to the remarks."""

    def __init__(self, layout: Layout, rewrites: list[str], remarks: list[str]) -> None:
        self.layout, self.rewrites, self.remarks = layout, rewrites, remarks

    def fuse(self, mixes: list[Op]) -> list[Op]:
        """Fuses what can be fused among mixes that are independent of each other; returns the others."""
        left: list[Op] = []
        groups: dict[object, list[Op]] = {}
        for op in mixes:
            weights, *experts = op.inputs
            if weights.is_rows and op.output.is_rows and all(self.in_stack(expert) for expert in experts):
                groups.setdefault((weights.width, op.output.shape), []).append(op)
            else:
                self.remarks.append(
                    f"{op.output.name}: its experts are not in a stack, or its weights are the same for all rows"
                )
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
        """The distinct experts of each width, in the order in which they are stored."""
        found: dict[int, dict[str, Value]] = {}
        for value in values:
            found.setdefault(value.width, {})[value.name] = value
        containers = {name: index for index, name in enumerate(dict.fromkeys(op.output.name for op in self.layout.ops))}

        def place_of(value: Value) -> tuple[int, int, int]:
            place = self.layout.places[value.name]
            return containers.get(place.container.name, 0), _member(place), place.start

        return {width: sorted(named.values(), key=place_of) for width, named in found.items()}

    def group(self, group: list[Op], experts: list[Value]) -> list[Op]:
        """Fuses a group of gates if there is a pattern; else each gate that sees only a few runs of neighbours."""
        runs = runs_of(group, experts)
        if runs is None:
            if len(group) == 1:
                self.remarks.append(f"{group[0].output.name}: it sees experts in no regular order")
                return group
            return [op for single in group for op in self.group([single], experts)]
        head = group[0]
        self.layout.node = head.node
        weights = self.layout.stack([op.inputs[0] for op in group])
        stack = self.layout.stack(experts)
        output = Value(f"{head.output.name}~all", (len(group), *head.output.shape))
        self.layout.hints[output.name] = "streams"
        self.mixed(runs, weights, stack, output)
        for index, op in enumerate(group):
            self.layout.put(op.output, output, index, 0, op.output.width)
        self.rewrites.append(f"{len(group)} gates mix {len(experts)} experts in one product: {head.output.name} ...")
        return []

    def mixed(self, runs: list[Run], weights: Value, stack: Value, output: Value) -> None:
        """The mix: one batched matmul for each run of many shared experts, the others one by one; then their sum."""
        gates = int(weights.shape[0])
        terms: list[list[Run]] = []
        for run in runs:
            if terms and not _is_product(run, runs) and not _is_product(terms[-1][-1], runs):
                terms[-1].append(run)
            else:
                terms.append([run])
        parts = []
        for number, term in enumerate(terms):
            part = output if len(terms) == 1 else Value(f"{output.name}~{number}", output.shape)
            width = sum(run.count for run in term)
            columns = self.columns(weights, term[0].column, term[0].column + width)
            product = _is_product(term[0], runs)
            attrs = () if product else (("own", tuple(run.own for run in term)),)
            inputs = (columns, *(self.seen(stack, run, gates) for run in term))
            op = Op("mix_all" if product else "mix_seen", inputs, part, (), attrs, self.layout.node)
            parts.append(self.layout.emit(op))
        if len(parts) > 1:
            self.layout.emit(Op("sum", tuple(parts), output, (), (), self.layout.node))

    def columns(self, weights: Value, start: int, stop: int) -> Value:
        """Some columns of the weights `[G, B, n]`."""
        if (start, stop) == (0, weights.width):
            return weights
        value = self.layout.op("slice", (weights,), (*weights.shape[:-1], stop - start), start=start, stop=stop)
        self.layout.hints[value.name] = "weights"
        return value

    def seen(self, stack: Value, run: Run, gates: int) -> Value:
        """The experts of a run, as a part of the stack."""
        count = run.count * gates if run.own else run.count
        if count == stack.shape[0]:
            return stack
        start, stop = run.first, run.first + count
        value = self.layout.op("members", (stack,), (count, *stack.shape[1:]), start=start, stop=stop)
        self.layout.hints[value.name] = "own_experts" if run.own else "shared_experts"
        return value


def runs_of(group: list[Op], experts: list[Value]) -> list[Run] | None:
    """The runs of experts that gates see, by column; None if there is no pattern."""
    index = {value.name: i for i, value in enumerate(experts)}
    seen = [[index[value.name] for value in op.inputs[1:]] for op in group]
    runs: list[Run] = []
    for column, column_experts in enumerate(zip(*seen, strict=True)):
        steps = {right - left for left, right in pairwise(column_experts)} or {0}
        own = steps != {0}
        last = runs[-1] if runs else None
        if last is not None and last.own == own and column_experts[0] == last.first + last.count:
            runs[-1] = Run(last.column, last.first, last.count + 1, own)
        else:
            runs.append(Run(column, column_experts[0], 1, own))
    for run in runs:
        count = run.count if run.own else 0
        wanted = [[run.first + g * count + i for i in range(run.count)] for g in range(len(group))]
        if wanted != [row[run.column : run.column + run.count] for row in seen]:
            return None
    few = sum(run.count for run in runs if run.own) <= MOST_OWN and len(runs) <= MOST_PARTS
    return runs if few else None


def _is_product(run: Run, runs: list[Run]) -> bool:
    """Whether a run of shared experts is mixed by a matmul, rather than one by one with the gates' own experts."""
    return not run.own and (len(runs) == 1 or run.count > FEW)


def _member(place: Place) -> int:
    return -1 if place.member is None else place.member
