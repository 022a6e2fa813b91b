"""The result shape of each operation, from its operands and weights; `()` if they do not fit together.

Shapes: `B` batch, `D` input width, `E` experts, `G` gates, `H` expert width, `T` tokens, `W` width. If a rule applies
to a stack, it may be a stack of rows `[E, B, W]` or of tokens `[E, B, T, W]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archspec.program.program import Dim, Op

    Shape = tuple[Dim, ...]
    Shapes = tuple[tuple[int, ...], ...]


def same(op: Op, _: Shapes) -> Shape:
    """The operand's shape."""
    return op.inputs[0].shape


def alike(op: Op, _: Shapes) -> Shape:
    """The shape that all operands have."""
    return op.inputs[0].shape if len({value.shape for value in op.inputs}) == 1 else ()


def declared(op: Op, _: Shapes) -> Shape:
    """The shape that the operation declares, since there is no rule for it."""
    return op.output.shape


def parameter(_: Op, weights: Shapes) -> Shape:
    """The weight's shape."""
    return weights[0]


def embed(op: Op, weights: Shapes) -> Shape:
    """The shape of the ids, followed by the width of the table."""
    return (*op.inputs[0].shape, weights[0][1])


def embed_list(op: Op, weights: Shapes) -> Shape:
    """Ids `[..., L]`, maybe with as many weights, to `[..., L, D]`."""
    rows, *factors = op.inputs
    return (*rows.shape, weights[0][1]) if all(value.shape == rows.shape for value in factors) else ()


def pool(op: Op, weights: Shapes) -> Shape:
    """Ids `[..., L]`, possibly with as many weights, to `[..., D]`."""
    rows, *factors = op.inputs
    return (*rows.shape[:-1], weights[0][1]) if all(value.shape == rows.shape for value in factors) else ()


def linear_pair(op: Op, weights: Shapes) -> Shape:
    """Rows `[..., D]` and tokens `[..., T, D]`, weights `[..., H, 4 D]` and biases `[..., H]`, to `[..., T, H]`."""
    query, tokens = op.inputs
    (*stack, out, width), *bias = weights
    legal = len(tokens.features) > 1 and query.shape == (*tokens.shape[:-2], tokens.width)
    legal = legal and width == 4 * tokens.width and bias in ([], [(*stack, out)])
    return (*tokens.shape[:-1], out) if legal and stack == [*tokens.shape[: tokens.batch_axis]] else ()


def attend(op: Op, _: Shapes) -> Shape:
    """Scores `[..., T]`, tokens `[..., T, W]` and maybe a mask `[..., T]`, to `[..., W]`."""
    scores, tokens, *masks = op.inputs
    legal = len(tokens.features) > 1 and {value.shape for value in (scores, *masks)} == {tokens.shape[:-1]}
    return (*tokens.shape[:-2], tokens.width) if legal else ()


def attention(op: Op, _: Shapes) -> Shape:
    """Queries, keys and values `[..., T, W]`, and maybe a mask `[..., T]`, to `[..., T, W]`."""
    query, key, value, *masks = op.inputs
    legal = len(query.features) > 1 and query.shape == key.shape == value.shape
    legal = legal and query.width % op.attr("heads") == 0 and all(mask.shape == query.shape[:-1] for mask in masks)
    return query.shape if legal else ()


def positions(op: Op, weights: Shapes) -> Shape:
    """Tokens `[..., T, W]` and weights `[..., T, W]` without the batch."""
    tokens = op.inputs[0]
    stack = tokens.shape[: tokens.batch_axis]
    return tokens.shape if len(tokens.features) > 1 and weights[0] == (*stack, *tokens.features) else ()


def unflatten(op: Op, _: Shapes) -> Shape:
    """`[..., n W] -> [..., n, W]`."""
    count, x = op.attr("count"), op.inputs[0]
    legal = len(x.features) == 1 and count > 0 and x.width % count == 0
    return (*x.shape[:-1], count, x.width // count) if legal else ()


def flatten(op: Op, _: Shapes) -> Shape:
    """`[..., T, W] -> [..., T W]`."""
    x = op.inputs[0]
    return (*x.shape[:-2], int(x.shape[-2]) * x.width) if len(x.features) > 1 else ()


def pool_tokens(op: Op, _: Shapes) -> Shape:
    """Tokens `[..., T, W]`, maybe with a mask `[..., T]`, to `[..., W]`."""
    tokens, *masks = op.inputs
    legal = len(tokens.features) > 1 and all(mask.shape == tokens.shape[:-1] for mask in masks)
    return (*tokens.shape[:-2], tokens.width) if legal else ()


def ids(op: Op, _: Shapes) -> Shape:
    """One row per column of the batch: `[N, B]`."""
    return (len(op.attr("keys")), "B")


def lookup_tables(op: Op, weights: Shapes) -> Shape:
    """Offsets `[N, 1]`, ids `[N, B]` to `[B, N D]`."""
    offsets, rows = op.inputs
    count = int(rows.shape[0])
    return ("B", count * weights[0][1]) if offsets.shape == (count, 1) and rows.shape[1:] == ("B",) else ()


def linear(op: Op, weights: Shapes) -> Shape:
    """`[..., D]` has weights `[H, D]` (transposed `[D, H]`) and biases `[H]`; `[E, ..., D]`: `[E, D, H]`, `[E, H]`."""
    (*stack, out, width), *bias = weights
    x = op.inputs[0]
    if bool(stack) != x.is_stack:
        return ()
    if stack or op.attr("transposed"):
        out, width = width, out
    legal = x.width == width and bias in ([], [(*stack, out)]) and (not stack or x.shape[0] == stack[0])
    return (*x.shape[:-1], out) if legal else ()


def norm(op: Op, weights: Shapes) -> Shape:
    """`[..., W]` has weights `[W]` such as scales and shifts, a stack has `[E, W]`."""
    x = op.inputs[0]
    stack = (x.shape[0],) if x.is_stack else ()
    return x.shape if set(weights) == {(*stack, x.width)} else ()


def stack(op: Op, _: Shapes) -> Shape:
    """E values of the same shape: `[E, ...]`."""
    return (len(op.inputs), *op.inputs[0].shape) if len({value.shape for value in op.inputs}) == 1 else ()


def join(op: Op, _: Shapes) -> Shape:
    """Concatenated stacks whose members have the same shape."""
    tails = {value.shape[1:] for value in op.inputs}
    return (sum(int(value.shape[0]) for value in op.inputs), *tails.pop()) if len(tails) == 1 else ()


def members(op: Op, _: Shapes) -> Shape:
    """Members start to stop of a stack."""
    start, stop = op.attr("start"), op.attr("stop")
    return (stop - start, *op.inputs[0].shape[1:]) if 0 <= start < stop <= int(op.inputs[0].shape[0]) else ()


def member(op: Op, _: Shapes) -> Shape:
    """One member of a stack."""
    return op.inputs[0].shape[1:] if 0 <= op.attr("index") < int(op.inputs[0].shape[0]) else ()


def fold(op: Op, _: Shapes) -> Shape:
    """`[..., n W] -> [n, ..., W]`; a stack `[S, ..., n W] -> [S n, ..., W]`."""
    count, x = op.attr("count"), op.inputs[0]
    size, rows = (int(x.shape[0]), x.shape[1:-1]) if x.is_stack else (1, x.shape[:-1])
    return (size * count, *rows, x.width // count) if count > 0 and x.width % count == 0 else ()


def unfold(op: Op, _: Shapes) -> Shape:
    """A stack `[n, ..., W] -> [..., n W]`."""
    count, *rows, width = op.inputs[0].shape
    return (*rows, int(count) * int(width)) if op.inputs[0].is_stack else ()


def mix(op: Op, _: Shapes) -> Shape:
    """Weights `[B, E]` or `[E]`, experts E times `[B, H]` or `[B, T, H]`, to one of that shape."""
    weights, *experts = op.inputs
    legal = len({expert.shape for expert in experts}) == 1 and weights.shape in {("B", len(experts)), (len(experts),)}
    return experts[0].shape if legal else ()


def mix_all(op: Op, _: Shapes) -> Shape:
    """Weights `[G, B, E]`, experts `[E, B, H]`, to `[G, B, H]`."""
    weights, experts = op.inputs
    legal = weights.is_stack and experts.is_stack and weights.width == experts.shape[0]
    return (weights.shape[0], *experts.shape[1:]) if legal else ()


def mix_seen(op: Op, _: Shapes) -> Shape:
    """Weights `[G, B, n]` and parts of a stack of experts; the gates' own experts are ordered by gate."""
    weights, *parts = op.inputs
    owned = op.attr("own")
    if len(owned) != len(parts) or not weights.is_stack or len({part.shape[1:] for part in parts}) != 1:
        return ()
    gates = int(weights.shape[0])
    counts = [int(part.shape[0]) / (gates if own else 1) for part, own in zip(parts, owned, strict=True)]
    return (gates, *parts[0].shape[1:]) if sum(counts) == weights.width else ()


def mix_chosen(op: Op, weights: Shapes) -> Shape:
    """x `[B, D]` and G times weights `[B, E]`, through layers of `[E, H, D]`, to `[G, B, H]`."""
    x, *gates = op.inputs
    count, width, left = gates[0].width, x.width, list(weights)
    legal = x.is_rows and {gate.shape for gate in gates} == {("B", count)}
    for size, _ in op.attr("layers"):
        taken, left = left[:size], left[size:]
        legal = (
            legal and len(taken) == size and taken[0][::2] == (count, width) and taken[1:] == [taken[0][:2]][: size - 1]
        )
        width = taken[0][1] if taken else width
    return (len(gates), "B", width) if legal and not left else ()


def select(op: Op, _: Shapes) -> Shape:
    """Ids `[B]`, cases V times `[B, H]`, to `[B, H]`."""
    rows, *cases = op.inputs
    return cases[0].shape if rows.shape == ("B",) and len({case.shape for case in cases}) == 1 else ()


def lookup(op: Op, _: Shapes) -> Shape:
    """The shape of the ids, followed by the columns of the table."""
    rows, table = op.inputs
    return (*rows.shape, *table.shape[1:])


def broadcast(op: Op, _: Shapes) -> Shape:
    """The common shape of operands, aligned at their last axes, as in torch."""
    rank = max(len(value.shape) for value in op.inputs)
    shapes = [(1,) * (rank - len(value.shape)) + value.shape for value in op.inputs]
    shape: list[Dim] = []
    for dims in zip(*shapes, strict=True):
        wide = {dim for dim in dims if dim != 1} or {1}
        if len(wide) > 1:
            return ()
        shape.append(wide.pop())
    return tuple(shape)


def concat(op: Op, _: Shapes) -> Shape:
    """Values concatenated along the last axis."""
    rows = {value.shape[:-1] for value in op.inputs}
    return (*rows.pop(), sum(value.width for value in op.inputs)) if len(rows) == 1 else ()


def slice(op: Op, _: Shapes) -> Shape:  # noqa: A001 - the operation's name
    """Columns start to stop."""
    start, stop = op.attr("start"), op.attr("stop")
    return (*op.inputs[0].shape[:-1], stop - start) if 0 <= start < stop <= op.inputs[0].width else ()


def squeeze(op: Op, _: Shapes) -> Shape:
    """`[..., 1] -> [...]`."""
    return op.inputs[0].shape[:-1] if op.inputs[0].shape[-1:] == (1,) else ()
