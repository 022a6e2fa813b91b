"""The table of operations: the shape that each must have, and what it costs.

Shapes: `B` batch, `D` input width, `E` experts, `H` expert width, `V` rows of a table. FLOPs are per row of the batch
and count one multiply-add as 2; an elementwise operation counts one per element, a table lookup none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archspec.program.program import Dim, Op

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_STACK = 3
"""Axes of a stack `[E, B, H]`; rows `[B, H]` have two."""

Shape = tuple[Dim, ...]
Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """What is legal for one kind of operation."""

    shape: Callable[[Op, Shapes], Shape]
    """The output's shape from the operation and the shapes of its weights."""
    weights: tuple[int, ...] = (0,)
    """Allowed numbers of weights."""
    flops: Callable[[Op], int] = lambda op: op.output.elements


def _same(op: Op, _: Shapes) -> Shape:
    return op.inputs[0].shape


def _declared(op: Op, _: Shapes) -> Shape:
    return op.output.shape


def _linear(op: Op, weights: Shapes) -> Shape:
    """Rows `[B, D]` have weights `[H, D]` and biases `[H]`, stacks `[E, B, D]` have `[E, D, H]` and `[E, H]`."""
    (*stack, out, width), *bias = weights
    if stack:
        out, width = width, out
    legal = op.inputs[0].width == width and bias in ([], [(*stack, out)])
    legal = legal and (not stack or op.inputs[0].shape[0] == stack[0])
    return (*op.inputs[0].shape[:-1], out) if legal else ()


def _norm(op: Op, weights: Shapes) -> Shape:
    shape = op.inputs[0].shape
    stack = (shape[0],) if len(shape) == _STACK else ()
    return shape if set(weights) == {(*stack, op.inputs[0].width)} else ()


def _lookup_tables(op: Op, weights: Shapes) -> Shape:
    offsets, ids = op.inputs
    count = int(ids.shape[0])
    return ("B", count * weights[0][1]) if offsets.shape == (count, 1) and ids.shape[1:] == ("B",) else ()


def _stack(op: Op, _: Shapes) -> Shape:
    return (len(op.inputs), *op.inputs[0].shape) if len({value.shape for value in op.inputs}) == 1 else ()


def _join(op: Op, _: Shapes) -> Shape:
    tails = {value.shape[1:] for value in op.inputs}
    return (sum(int(value.shape[0]) for value in op.inputs), *tails.pop()) if len(tails) == 1 else ()


def _members(op: Op, _: Shapes) -> Shape:
    start, stop = op.attr("start"), op.attr("stop")
    return (stop - start, *op.inputs[0].shape[1:]) if 0 <= start < stop <= int(op.inputs[0].shape[0]) else ()


def _member(op: Op, _: Shapes) -> Shape:
    return op.inputs[0].shape[1:] if 0 <= op.attr("index") < int(op.inputs[0].shape[0]) else ()


def _fold(op: Op, _: Shapes) -> Shape:
    """`[B, n W] -> [n, B, W]`; a stack `[S, B, n W] -> [S n, B, W]`."""
    count, (*stack, rows, width) = op.attr("count"), op.inputs[0].shape
    size = int(stack[0]) if stack else 1
    return (size * count, rows, int(width) // count) if int(width) % count == 0 else ()


def _unfold(op: Op, _: Shapes) -> Shape:
    count, rows, width = op.inputs[0].shape
    return (rows, int(count) * int(width))


def _mix_all(op: Op, _: Shapes) -> Shape:
    weights, experts = op.inputs
    return (weights.shape[0], *experts.shape[1:]) if weights.width == experts.shape[0] else ()


def _mix_seen(op: Op, _: Shapes) -> Shape:
    """Gates' own experts stand one gate after the other, equally many each."""
    weights, *parts = op.inputs
    gates = int(weights.shape[0])
    counts = [int(part.shape[0]) / (gates if own else 1) for part, own in zip(parts, op.attr("own"), strict=True)]
    return (gates, *parts[0].shape[1:]) if sum(counts) == weights.width else ()


def _broadcast(op: Op, _: Shapes) -> Shape:
    rank = max(len(value.shape) for value in op.inputs)
    shapes = [(1,) * (rank - len(value.shape)) + value.shape for value in op.inputs]
    shape: list[Dim] = []
    for dims in zip(*shapes, strict=True):
        wide = {dim for dim in dims if dim != 1} or {1}
        if len(wide) > 1:
            return ()
        shape.append(wide.pop())
    return tuple(shape)


def _concat(op: Op, _: Shapes) -> Shape:
    rows = {value.shape[:-1] for value in op.inputs}
    return (*rows.pop(), sum(value.width for value in op.inputs)) if len(rows) == 1 else ()


def _slice(op: Op, _: Shapes) -> Shape:
    start, stop = op.attr("start"), op.attr("stop")
    return (*op.inputs[0].shape[:-1], stop - start) if 0 <= start < stop <= op.inputs[0].width else ()


def _mix(op: Op, _: Shapes) -> Shape:
    weights, *experts = op.inputs
    legal = len({expert.shape for expert in experts}) == 1 and weights.width == len(experts)
    return experts[0].shape if legal else ()


def _select(op: Op, _: Shapes) -> Shape:
    _ids, *cases = op.inputs
    return cases[0].shape if len({case.shape for case in cases}) == 1 else ()


def _lookup(op: Op, _: Shapes) -> Shape:
    ids, table = op.inputs
    return (*ids.shape, table.width)


def _free(_: Op) -> int:
    return 0


OPERATIONS: Mapping[str, Operation] = {
    "column": Operation(_declared, flops=_free),
    "parameter": Operation(lambda _, weights: weights[0], (1,), flops=_free),
    "constant": Operation(_declared, flops=_free),
    "embed": Operation(lambda op, weights: (*op.inputs[0].shape, weights[0][1]), (1,), flops=_free),
    "pool": Operation(
        lambda op, weights: (*op.inputs[0].shape[:-1], weights[0][1]),
        (1,),
        flops=lambda op: op.inputs[0].elements * op.output.width,
    ),
    "ids": Operation(lambda op, _: (len(op.attr("keys")), "B"), flops=_free),
    "lookup_tables": Operation(_lookup_tables, (1,), flops=_free),
    "linear": Operation(_linear, (1, 2), flops=lambda op: 2 * op.inputs[0].width * op.output.elements),
    "activation": Operation(_same),
    "batch_norm": Operation(_norm, (4,), flops=lambda op: 2 * op.output.elements),
    "layer_norm": Operation(_norm, (2,), flops=lambda op: 5 * op.output.elements),
    "dropout": Operation(_same, flops=_free),
    "softmax": Operation(_same, flops=lambda op: 3 * op.output.elements),
    "scale": Operation(_same),
    "product": Operation(_broadcast, flops=lambda op: (len(op.inputs) - 1) * op.output.elements),
    "sum": Operation(_broadcast, flops=lambda op: (len(op.inputs) - 1) * op.output.elements),
    "concat": Operation(_concat, flops=_free),
    "slice": Operation(_slice, flops=_free),
    "detach": Operation(_same, flops=_free),
    "lookup": Operation(_lookup, flops=_free),
    "mix": Operation(_mix, flops=lambda op: 2 * (len(op.inputs) - 1) * op.output.elements),
    "mix_all": Operation(_mix_all, flops=lambda op: 2 * op.inputs[0].width * op.output.elements),
    "mix_chosen": Operation(_declared, tuple(range(1, 65))),
    "mix_seen": Operation(_mix_seen, flops=lambda op: 2 * op.inputs[0].width * op.output.elements),
    "select": Operation(_select, flops=_free),
    "stack": Operation(_stack, flops=_free),
    "join": Operation(_join, flops=_free),
    "members": Operation(_members, flops=_free),
    "member": Operation(_member, flops=_free),
    "fold": Operation(_fold, flops=_free),
    "unfold": Operation(_unfold, flops=_free),
    "squeeze": Operation(lambda op, _: op.inputs[0].shape[:-1], flops=_free),
    "apply": Operation(_declared),
    "call": Operation(_declared, flops=_free),
}
"""Every kind of operation. A new one needs a line here and one in `archspec.compiler.expressions`."""
