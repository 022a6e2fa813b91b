"""What the rows and columns of weights are: to which part of the network each belongs, and its place in that part.

If an input becomes wider, or another one is added, the columns of every layer that reads it move; a warm start finds
them here by name. Each operation of a plain program passes the elements of its operands on to its result. The columns
of a layer are the elements that it reads, and its rows those that it returns: new ones or, if they are added to others
or multiplied by them, the same as those.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from archspec.program.program import Op, Program, Value

Element = tuple[Any, ...]
"""One row or column: names, then its place. A text in it is a canonical name, or begins with `:`."""
Axis = tuple[Element, ...]
Axes = tuple[Axis | None, ...]
"""One axis of a weight or value after the other; None: its elements have no names, as the rows of a table."""


@dataclass(frozen=True, slots=True)
class WeightAxes:
    """The axes of a weight."""

    axes: Axes
    reads: bool = False
    """Whether it is a matrix that multiplies its columns: a column of zeros then changes no row's result."""
    across: bool = False
    """Whether its rows are normalised together, by layer norm or a softmax, so that another row changes all of them."""
    given: Axes = ()
    """What the function or module that reads it is also given, if only that knows what its rows and columns are."""


def axes_of(program: Program) -> dict[str, WeightAxes]:
    """Canonical name of a weight -> its axes; for a module of a plugin, its name -> what it is given."""
    walk = _Walk(program)
    for op in program.ops:
        walk.visit(op)
    for name, axes in walk.parameters.items():
        if all(element in walk.same for axis in axes for element in axis or ()):
            walk.weights.setdefault(name, axes)
    found = {name: WeightAxes((), given=tuple(map(walk.resolved, given))) for name, given in walk.given.items()}
    for name, axes in walk.weights.items():
        resolved = tuple(map(walk.resolved, axes))
        found[name] = WeightAxes(resolved, reads=name in walk.layers, across=name in walk.across)
    return found


def name_of(element: Element) -> str:
    """The canonical name in an element that a reader knows it by."""
    return next((name_of(part) if isinstance(part, tuple) else part for part in element
                 if isinstance(part, tuple) or (isinstance(part, str) and not part.startswith(":"))), "")  # fmt: skip


class _Walk:
    """The axes of the values and weights seen so far."""

    def __init__(self, program: Program) -> None:
        self.paths = {name: weight.path for name, weight in program.weights.items()}
        self.parameters: dict[str, Axes] = {}
        """Weights that are values themselves: their elements have names only if they are those of other values."""
        self.layers: set[str] = set()
        self.across: set[str] = set()
        self.given: dict[str, Axes] = {}
        self.values: dict[str, Axes] = {}
        self.weights: dict[str, Axes] = {}
        self.same: dict[Element, Element] = {}
        """An element -> one that it is added to, multiplied by or named after."""
        self.order: dict[str, int] = {}
        """Name in an element -> when it was first seen."""
        self.counts: dict[str, int] = {}
        self.weight_of: dict[str, str] = {}
        """Value -> the weight that it is."""
        self.nodes: dict[str, str] = {}
        """Value -> the node that made it."""

    def visit(self, op: Op) -> None:
        """Names the elements of an operation's result, and of its weights."""
        found = _RULES.get(op.kind, _other)(self, op)
        for element in (element for axis in found if axis is not None for element in axis[:1]):
            self.order.setdefault(name_of(element), len(self.order))
        self.values[op.output.name], self.nodes[op.output.name] = found, op.node.node

    def of(self, value: Value) -> Axes:
        """The axes of a value, without that of the batch."""
        return self.values[value.name]

    def last(self, value: Value) -> Axis:
        """The last axis of a value."""
        return self.of(value)[-1] or ()

    def fresh(self, op: Op, size: int | str, *tags: object) -> Axis | None:
        """New elements: those of the layer with the operation's first weight, or of its node."""
        if not isinstance(size, int):
            return None
        return tuple((*self._name(op), *tags, place) for place in range(size))

    def _name(self, op: Op) -> tuple[str, ...]:
        if op.kind in {"linear", "linear_pair"}:
            return (".".join([op.node.node, *self.paths[op.weights[0]][:-1]]),)
        key = f"{op.node.node} {op.kind}"
        return (op.node.node, f":{op.kind}{self.counts.get(key, 0)}")

    def new(self, op: Op) -> Axes:
        """New elements for every axis of the result."""
        found = tuple(self.fresh(op, size, f":axis{axis}") for axis, size in enumerate(op.output.features))
        key = f"{op.node.node} {op.kind}"
        self.counts[key] = self.counts.get(key, 0) + 1
        return found

    def set(self, op: Op, *axes: Axes) -> None:
        """The axes of an operation's weights; where several operations read one, the first decides."""
        for name, each in zip(op.weights, axes, strict=False):
            self.weights.setdefault(name, each)

    def equate(self, axis: Axis, other: Axis) -> None:
        """The elements of one axis are those of another one."""
        for element, meaning in zip(axis, other, strict=True):
            if element != meaning and self.same.get(meaning) != element:
                self.same.setdefault(element, meaning)

    def resolved(self, axis: Axis | None) -> Axis | None:
        """An axis in terms of the elements that its own are the same as."""
        return None if axis is None else tuple(map(self._meaning, axis))

    def _meaning(self, element: Element) -> Element:
        seen = {element}
        while (meaning := self.same.get(element)) is not None and meaning not in seen:
            element = meaning
            seen.add(element)
        return element


def _passed(walk: _Walk, op: Op) -> Axes:
    """Elementwise: the elements stay."""
    axes = walk.of(op.inputs[0])
    walk.set(op, *[axes[-1:]] * len(op.weights))
    if op.kind == "layer_norm":
        walk.across.update(op.weights)
    if op.kind == "softmax":
        walk.across |= {f"{name_of(element)}.weight" for element in axes[-1] or ()} & walk.layers
    return axes


def _linear(walk: _Walk, op: Op) -> Axes:
    (x,), out = op.inputs, walk.fresh(op, op.output.width)
    walk.layers.add(op.weights[0])
    walk.set(op, (out, walk.last(x)), (out,))
    return (*walk.of(x)[:-1], out)


def _linear_pair(walk: _Walk, op: Op) -> Axes:
    """[q, e, q - e, q * e]: the elements of the tokens, four times."""
    tokens, out = op.inputs[1], walk.fresh(op, op.output.width)
    walk.layers.add(op.weights[0])
    four = tuple((f":part{part}", element) for part in range(4) for element in walk.last(tokens))
    walk.set(op, (out, four), (out,))
    return (*walk.of(tokens)[:-1], out)


def _embed(walk: _Walk, op: Op) -> Axes:
    """The elements of a row belong to the input, even if its table is another's."""
    width = op.output.width
    walk.set(op, (None, tuple((op.weights[0], place) for place in range(width))))
    outer = tuple(walk.fresh(op, size, ":place") for size in op.output.features[:-1])
    return (*outer, tuple((op.node.node, place) for place in range(width)))


def _parameter(walk: _Walk, op: Op) -> Axes:
    axes = tuple(tuple((op.weights[0], f":axis{axis}", place) for place in range(int(size)))
                 for axis, size in enumerate(op.output.shape))  # fmt: skip
    walk.parameters[op.weights[0]] = axes
    walk.weight_of[op.output.name] = op.weights[0]
    return axes


def _positions(walk: _Walk, op: Op) -> Axes:
    axes = walk.of(op.inputs[0])
    walk.set(op, axes)
    return axes


def _concat(walk: _Walk, op: Op) -> Axes:
    return (*walk.of(op.inputs[0])[:-1], tuple(element for value in op.inputs for element in walk.last(value)))


def _slice(walk: _Walk, op: Op) -> Axes:
    """A part of one layer, such as a half, is another part if the layer grows."""
    axes, start, stop = walk.of(op.inputs[0]), op.attr("start"), op.attr("stop")
    axis = walk.last(op.inputs[0])
    found = axis[start:stop]
    if 1 < len(found) < len(axis) and _parts(axis) == 1:
        walk.equate(found, tuple((":part", start, stop, element) for element in found))
    return (*axes[:-1], found)


def _unflatten(walk: _Walk, op: Op) -> Axes:
    """Fields as tokens: a token has the name of its first element; the places in all tokens are the same."""
    flat, width = walk.last(op.inputs[0]), op.output.width
    tokens = tuple((name_of(flat[start]), ":token", flat[start][-1]) for start in range(0, len(flat), width))
    return (tokens, walk.new(op)[-1])


def _flatten(walk: _Walk, op: Op) -> Axes:
    tokens, columns = walk.of(op.inputs[0])
    return (None if tokens is None else tuple((token, each) for token in tokens for each in columns or ()),)


def _inner(walk: _Walk, op: Op) -> Axes:
    """Tokens become rows."""
    tokens = op.inputs[1] if op.kind == "attend" else op.inputs[0]
    return walk.of(tokens)[-1:]


def _attention(walk: _Walk, op: Op) -> Axes:
    """Elements belong to heads: with other heads, or another width of them, no element is the same."""
    heads, width = op.attr("heads"), op.output.width
    for value in op.inputs[:3]:
        axis = walk.last(value)
        walk.equate(axis, tuple((":head", heads, width, element) for element in axis))
    return (walk.of(op.inputs[0])[0], tuple((op.node.node, ":heads", heads, width, place) for place in range(width)))


def _together(walk: _Walk, op: Op) -> Axes:
    """Sums and products: the elements of the operand with most parts; of those alike, of the one made first."""
    rank = len(op.output.features)
    wide = [walk.of(value) for value in op.inputs
            if value.shape and value.shape[-1] == op.output.shape[-1] and len(walk.of(value)) == rank]  # fmt: skip
    if not wide or not rank or wide[0][-1] is None:
        return walk.new(op)
    first = min(wide, key=lambda axes: (-_parts(axes[-1]), walk.order.get(name_of((axes[-1] or ((),))[0]), 0)))
    axis = first[-1] or ()
    for value in op.inputs:
        other = walk.of(value)[-1:] or ((),)
        if other[0] and len(other[0]) == len(axis):
            walk.equate(other[0], axis)
        elif other[0] and len(other[0]) == 1 and axis:
            walk.equate(other[0], ((":factor of", name_of(axis[0])),))
    return first


def _parts(axis: Axis | None) -> int:
    return len({name_of(element) for element in axis or ()})


def _mixed(walk: _Walk, op: Op) -> Axes:
    """Experts or cases: what all of them pass on from before, or else the elements of the mix.

    If what is mixed has several parts, an element of the mix belongs to the same part; if they differ, to none.
    """
    values = op.inputs[1:]
    axes = {walk.of(value) for value in values}
    own = {walk.nodes[value.name] for value in values}
    first = walk.of(values[0])
    names = {f"{name_of(element)}." for element in first[-1] or ()}
    if len(axes) == 1 and not any(name.startswith(f"{node}.") for name in names for node in own):
        return first
    made, parts = walk.new(op), {_sizes(walk.last(value)) for value in values}
    if parts == {(op.output.width,)} or made[-1] is None:
        return made
    tags = [name_of(each) for each in walk.last(values[0])] if len(parts) == 1 else [op.output.width] * len(made[-1])
    inside = [each[-1] for each in walk.last(values[0])]
    last = tuple((*each[:-1], tag, place) for each, tag, place in zip(made[-1], tags, inside, strict=True))
    return (*made[:-1], last)


def _sizes(axis: Axis) -> tuple[int, ...]:
    """The sizes of the parts of an axis, one after the other."""
    return tuple(len([*part]) for _, part in groupby(axis, name_of))


def _other(walk: _Walk, op: Op) -> Axes:
    """Only a function or module knows what its elements are."""
    if ":" in op.attr("function", "") or op.kind == "call":
        _known_to_it(walk, op)
        sources = [(value.name, walk.of(value)[-1]) for value in op.inputs if walk.of(value)]
        given = tuple(axis for name, axis in sources if name not in walk.weight_of)
        for name in (*(walk.weight_of[name] for name, _ in sources if name in walk.weight_of), op.attr("module")):
            if name is not None:
                walk.given.setdefault(str(name), given)
    return walk.new(op)


def _known_to_it(walk: _Walk, op: Op) -> None:
    """What a plugin's layer returns to a plugin's function, such as a matrix: of another size it is something else."""
    for axis in (walk.last(value) for value in op.inputs if walk.of(value)):
        if axis and all(f"{name_of(element)}.".startswith(f"{op.node.node}.") for element in axis):
            walk.equate(axis, tuple((":of", len(axis), element) for element in axis))


_RULES: Final[Mapping[str, Callable[[_Walk, Op], Axes]]] = {
    **dict.fromkeys(("activation", "dropout", "softmax", "scale", "detach"), _passed),
    **dict.fromkeys(("prelu", "dice", "batch_norm", "layer_norm"), _passed),
    **dict.fromkeys(("embed", "embed_list", "pool"), _embed),
    **dict.fromkeys(("sum", "product"), _together),
    **dict.fromkeys(("mix", "select"), _mixed),
    **dict.fromkeys(("attend", "pool_tokens"), _inner),
    "linear": _linear, "linear_pair": _linear_pair, "parameter": _parameter, "positions": _positions,
    "concat": _concat, "slice": _slice, "unflatten": _unflatten, "flatten": _flatten, "attention": _attention,
}  # fmt: skip
"""Kind of an operation -> what becomes of elements; the results of all others have elements of their own."""
