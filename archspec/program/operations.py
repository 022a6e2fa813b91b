"""The table of operations: their operands, results and costs.

FLOPs are per row of the batch; a multiply-add counts as 2, an elementwise operation as one per element, and a table
lookup as zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from archspec.program import shapes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from archspec.program.program import Op
    from archspec.program.shapes import Shape, Shapes

FUNCTIONS: Final = frozenset(
    "relu silu gelu tanh sigmoid leaky_relu elu softplus logsigmoid log1p sqrt exp sin cos".split()  # noqa: SIM905 - names read best as words
)
"""Elementwise functions: the values of `fn` of an activation."""

POOLS: Final = frozenset({"mean", "sum", "max", "last"})
"""How the rows of a list become one: the values of `how` of a pool."""

PRECISIONS: Final = frozenset({"bf16"})
"""The precisions to which the factors of a matmul may be rounded."""


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: object) -> bool:
    return isinstance(value, str)


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _tuple(value: object) -> bool:
    return isinstance(value, tuple)


def _share(value: object) -> bool:
    return isinstance(value, float) and 0 < value < 1


def _one_of(*known: str) -> Callable[[object], bool]:
    return lambda value: value in known


@dataclass(frozen=True, slots=True)
class Operation:
    """The rules for one kind of operation."""

    shape: Callable[[Op, Shapes], Shape]
    """The output's shape from the operation and the shapes of its weights; `()` if they do not fit."""
    operands: tuple[int, int | None] = (1, 1)
    """The smallest and the largest number of operands; None: any."""
    reads: tuple[str, ...] = ("float",)
    """The type of each operand; `any` accepts all; the last one also applies to further operands."""
    gives: str = "float"
    """The output's type: a type, `same` (that of the last operand), or `any`."""
    weights: tuple[int, ...] = (0,)
    """Allowed numbers of weights."""
    required: Mapping[str, Callable[[object], bool]] = field(default_factory=dict)
    """Required attributes, and checks of their values."""
    optional: Mapping[str, Callable[[object], bool]] = field(default_factory=dict)
    """Optional attributes, and checks of their values."""
    flops: Callable[[Op], int] = lambda op: op.output.elements
    multiplies: bool = False
    """Whether it multiplies by weights, in which case the factors may be rounded."""


def _free(_: Op) -> int:
    return 0


def _per_pair(op: Op) -> int:
    """The matrix of a row, and the products of its tokens with it."""
    tokens, width = op.inputs[1], op.output.width
    return 2 * tokens.elements * width + 4 * tokens.width * width


def _per_operand(op: Op) -> int:
    return (len(op.inputs) - 1) * op.output.elements


def _per_layer(op: Op) -> int:
    """Upper bound: every expert runs on every row."""
    return 2 * sum(gate.width for gate in op.inputs[1:]) * op.output.width


_RANGE: Final = {"start": _whole, "stop": _whole}
_SPARSE: Final = {"sparse": _flag}

OPERATIONS: Mapping[str, Operation] = {
    # sources of a program
    "column": Operation(
        shapes.declared, (0, 0), gives="any", required={"key": _text, "source": _one_of("batch", "logits")}, flops=_free
    ),
    "parameter": Operation(shapes.parameter, (0, 0), weights=(1,), flops=_free),
    "weight": Operation(shapes.declared, (0, 0), required={"weight": _text}, flops=_free),
    "constant": Operation(shapes.declared, (0, 0), gives="any", required={"data": _tuple}, flops=_free),
    "ids": Operation(shapes.ids, (0, 0), gives="int", required={"keys": _tuple}, flops=_free),
    # tables
    "embed": Operation(shapes.embed, reads=("int",), weights=(1,), optional=_SPARSE, flops=_free),
    "embed_list": Operation(
        shapes.embed_list, (1, 2), ("int", "float"), weights=(1,), optional=_SPARSE,
        flops=lambda op: op.output.elements if len(op.inputs) > 1 else 0,
    ),
    "pool": Operation(
        shapes.pool, (1, 2), ("int", "float"), weights=(1,), required={"how": _one_of(*POOLS)}, optional=_SPARSE,
        flops=lambda op: 0 if op.attr("how") == "last" else len(op.inputs) * op.inputs[0].elements * op.output.width,
    ),
    "linear_pair": Operation(shapes.linear_pair, (2, 2), weights=(1, 2), flops=_per_pair),
    "attend": Operation(
        shapes.attend, (2, 3), ("float", "float", "bool"), required={"softmax": _flag},
        flops=lambda op: 2 * op.inputs[1].elements + (3 * op.inputs[0].elements if op.attr("softmax") else 0),
    ),
    "attention": Operation(
        shapes.attention, (3, 4), ("float", "float", "float", "bool"), required={"heads": _whole, "scaled": _flag},
        flops=lambda op: int(op.output.shape[-2]) ** 2 * (4 * op.output.width + 3 * op.attr("heads")),
    ),
    "positions": Operation(shapes.positions, weights=(1,)),
    "unflatten": Operation(shapes.unflatten, required={"count": _whole}, flops=_free),
    "flatten": Operation(shapes.flatten, flops=_free),
    "pool_tokens": Operation(
        shapes.pool_tokens, (1, 2), ("float", "bool"), required={"how": _one_of(*POOLS)},
        flops=lambda op: 0 if op.attr("how") == "last" else op.inputs[0].elements,
    ),
    "lookup_tables": Operation(
        shapes.lookup_tables, (2, 2), ("int",), weights=(1,), optional=_SPARSE, flops=_free
    ),
    "lookup": Operation(shapes.lookup, (2, 2), ("int", "any"), "same", flops=_free),
    # layers
    "linear": Operation(
        shapes.linear, weights=(1, 2),
        optional={"precision": _one_of(*PRECISIONS), "rounded": _flag, "plan": _tuple, "transposed": _flag},
        flops=lambda op: 2 * op.inputs[0].width * op.output.elements, multiplies=True,
    ),
    "activation": Operation(
        shapes.same, required={"fn": _one_of(*FUNCTIONS)}, optional={"slope": _number, "in_place": _flag}
    ),
    "prelu": Operation(shapes.norm, weights=(1,), flops=lambda op: 2 * op.output.elements),
    "dice": Operation(
        shapes.norm, weights=(3,), optional={"momentum": _number}, flops=lambda op: 7 * op.output.elements
    ),
    "batch_norm": Operation(
        shapes.norm, weights=(4,), optional={"eps": _number, "momentum": _number},
        flops=lambda op: 2 * op.output.elements,
    ),
    "layer_norm": Operation(
        shapes.norm, weights=(2,), optional={"eps": _number}, flops=lambda op: 5 * op.output.elements
    ),
    "dropout": Operation(shapes.same, required={"p": _share}, flops=_free),
    "softmax": Operation(shapes.same, flops=lambda op: 3 * op.output.elements),
    # elementwise
    "scale": Operation(shapes.same, required={"factor": _number}),
    "product": Operation(shapes.broadcast, (2, None), flops=_per_operand),
    "sum": Operation(shapes.broadcast, (2, None), flops=_per_operand),
    "present": Operation(shapes.same, reads=("int",), gives="bool", flops=_free),
    "either": Operation(shapes.alike, (2, None), ("bool",), "bool", flops=_free),
    "detach": Operation(shapes.same, reads=("any",), gives="same", flops=_free),
    # mixing
    "mix": Operation(shapes.mix, (2, None), optional={"chosen": _whole}, flops=lambda op: 2 * _per_operand(op)),
    "mix_all": Operation(shapes.mix_all, (2, 2), flops=lambda op: 2 * op.inputs[0].width * op.output.elements),
    "mix_seen": Operation(
        shapes.mix_seen, (2, None), required={"own": _tuple},
        flops=lambda op: 2 * op.inputs[0].width * op.output.elements,
    ),
    "mix_chosen": Operation(
        shapes.mix_chosen, (2, None), weights=tuple(range(1, 65)), required={"layers": _tuple},
        optional={"precision": _one_of(*PRECISIONS)}, flops=_per_layer, multiplies=True,
    ),
    "select": Operation(shapes.select, (2, None), ("int", "float"), flops=_free),
    # moving values
    "concat": Operation(shapes.concat, (2, None), flops=_free),
    "slice": Operation(shapes.slice, required=_RANGE, flops=_free),
    "squeeze": Operation(shapes.squeeze, flops=_free),
    "stack": Operation(shapes.stack, (1, None), ("any",), "same", flops=_free),
    "join": Operation(shapes.join, (2, None), ("any",), "same", flops=_free),
    "members": Operation(shapes.members, reads=("any",), gives="same", required=_RANGE, flops=_free),
    "member": Operation(shapes.member, reads=("any",), gives="same", required={"index": _whole}, flops=_free),
    "fold": Operation(shapes.fold, reads=("any",), gives="same", required={"count": _whole}, flops=_free),
    "unfold": Operation(shapes.unfold, reads=("any",), gives="same", flops=_free),
    # functions and modules that the program only knows by name
    "apply": Operation(
        shapes.declared, (0, None), ("any",), "any", required={"function": _text}, optional={"arguments": _tuple}
    ),
    "call": Operation(shapes.declared, (0, None), ("any",), "any", required={"module": _text}, flops=_free),
}  # fmt: skip
"""Every kind of operation. A new one needs a line here and one in `archspec.compiler.expressions`."""
