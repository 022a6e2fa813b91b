"""The classes of the intermediate representation. All are immutable; a pass makes a new Program."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from archspec.program import order
from archspec.program.nodes import NodeName

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from archspec.program.given import Seen

    Merge = Callable[[str, Sequence["Storage"]], "Storage"]
    """Makes one storage, with a name, of several."""

Dim = int | str
"""A size: a number, or the symbol "B" (batch) or "L" (length of a sequence)."""

Dtype = Literal["float", "int", "bool"]

Role = Literal["table", "layer", "head", "norm", "parameter"]
"""The role of a weight: a lookup table; a linear layer, or the last one of its block; scale, shift and statistics of a
norm; anything else."""

_NOWHERE = NodeName()

Attr = int | float | str | bool | None | tuple["Attr", ...]


@dataclass(frozen=True, slots=True)
class Value:
    """One tensor of the program.

    The position of the batch axis, not the number of axes, determines what a value is: rows are `("B", W)`, tokens
    `("B", T, W)`, numbers `("B",)`; a stack contains several of the same shape along a first axis, `(E, "B", ...)`; a
    value without `"B"` is the same for every row.
    """

    name: str
    shape: tuple[Dim, ...]
    dtype: Dtype = "float"

    @property
    def batch_axis(self) -> int | None:
        """0 for rows, tokens and numbers, 1 for a stack of them, None if the value is the same for every row."""
        return self.shape.index("B") if "B" in self.shape else None

    @property
    def is_stack(self) -> bool:
        """Whether it is a stack, `(E, "B", ...)`."""
        return self.batch_axis == 1

    @property
    def features(self) -> tuple[Dim, ...]:
        """The axes after the batch: `(W,)` for rows, `(T, W)` for tokens, none for numbers; without a batch, all."""
        return self.shape if self.batch_axis is None else self.shape[self.batch_axis + 1 :]

    @property
    def is_rows(self) -> bool:
        """Whether it is rows, `("B", W)`."""
        return self.batch_axis == 0 and len(self.features) == 1

    @property
    def is_tokens(self) -> bool:
        """`("B", T, W)`."""
        return self.batch_axis == 0 and len(self.features) == 2  # noqa: PLR2004 - T and W

    @property
    def has_columns(self) -> bool:
        """Whether it is rows or tokens, which can be cut along the last axis: `("B", W)` or `("B", T, W)`."""
        return self.batch_axis == 0 and len(self.features) > 0

    @property
    def width(self) -> int:
        """Size of the last axis."""
        width = self.shape[-1]
        assert isinstance(width, int), f"{self.name} has no fixed width: {self.shape}"
        return width

    @property
    def elements(self) -> int:
        """Elements per row (symbols count as one)."""
        return prod(dim for dim in self.shape if isinstance(dim, int))


@dataclass(frozen=True, slots=True)
class Init:
    """Initialisation of a weight: `uniform(bound)`, `normal(std)`, `constant(value)` or `values(tuple)`."""

    kind: Literal["uniform", "normal", "constant", "values"]
    argument: float | tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Weight:
    """One canonical weight, the unit of checkpoints. `trainable=False`: a statistic such as a running mean."""

    name: str
    shape: tuple[int, ...]
    init: Init
    trainable: bool = True
    sparse: bool = False
    """Whether it is a table whose gradients are sparse."""
    owner: NodeName = _NOWHERE
    """The node that owns the weight."""
    path: tuple[str, ...] = ()
    """Its name inside the node: `("layers", "0", "weight")`."""
    role: Role = "parameter"
    frozen: bool = False
    """Whether it is a table that is not trained; unlike a statistic, it never changes."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a canonical weight is in a storage: `index` is one range or number per axis, empty for all of it."""

    weight: str
    index: tuple[tuple[int, int] | int, ...] = ()
    transposed: bool = False
    """Whether a matrix is stored with its axes swapped."""


@dataclass(frozen=True, slots=True)
class Storage:
    """One tensor of the module; a plain program has one per weight."""

    name: str
    shape: tuple[int, ...]
    slots: tuple[Slot, ...]
    trainable: bool = True
    idle: bool = False
    """Whether no operation reads it: a pass found that its weights change nothing, but the model keeps them."""
    frozen: bool = False
    """Whether it is a table that is not trained."""
    separate: str = ""
    """The block whose weights are stored apart from those of all others, if it is in one."""

    @property
    def group(self) -> tuple[bool, str]:
        """What storages must have in common to be merged."""
        return self.frozen, self.separate


@dataclass(frozen=True, slots=True)
class Op:
    """One operation: `output = kind(inputs; weights){attrs}`. `node` is the graph node (or part) that added it."""

    kind: str
    inputs: tuple[Value, ...]
    output: Value
    weights: tuple[str, ...] = ()
    attrs: tuple[tuple[str, Attr], ...] = ()
    node: NodeName = _NOWHERE

    def attr(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - attributes are of many types
        """The value of an attribute."""
        return dict(self.attrs).get(name, default)

    def __str__(self) -> str:
        """One line of program text."""
        parts = [", ".join(value.name for value in self.inputs)]
        if self.weights:
            parts.append(", ".join(self.weights))
        attrs = "".join(f" {key}={value!r}" for key, value in self.attrs)
        shape = ", ".join(map(str, self.output.shape))
        return f"{self.output.name} [{shape}] = {self.kind}({'; '.join(parts)}){attrs}"


@dataclass(frozen=True, slots=True)
class Module:
    """An opaque module of a plugin, from `cls(**settings).build(*arguments)`; its weights are `name.<their name>`."""

    name: NodeName
    module: str
    cls: str
    settings: tuple[tuple[str, Attr], ...]
    arguments: tuple[Attr | Seen, ...]


Section = Literal["logits", "gates", "losses", "scores"]


@dataclass(frozen=True, slots=True)
class Output:
    """A value that the model returns: a logit, the weights of a gate, an auxiliary loss, a score."""

    section: Section
    name: str
    value: Value


@dataclass(frozen=True, slots=True)
class Program:
    """Operations in topological order, their weights, and the outputs. Its mappings are read-only copies."""

    ops: tuple[Op, ...]
    outputs: tuple[Output, ...]
    weights: Mapping[str, Weight] = field(default_factory=dict)
    storages: Mapping[str, Storage] = field(default_factory=dict)
    modules: Mapping[str, Module] = field(default_factory=dict)
    hints: Mapping[str, str] = field(default_factory=dict)
    """Value name -> a readable name for the variable."""

    def __post_init__(self) -> None:
        for name in ("weights", "storages", "modules", "hints"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __str__(self) -> str:
        """The program as text, one operation per line."""
        lines = [str(op) for op in self.ops]
        lines += [f"{out.section}.{out.name} = {out.value.name}" for out in self.outputs]
        return "\n".join(lines)

    def producers(self) -> dict[str, Op]:
        """Value name -> the operation that produces it."""
        return {op.output.name: op for op in self.ops}

    def slots(self) -> dict[str, tuple[Storage, Slot]]:
        """Canonical weight -> its storage, and its slot there."""
        return {slot.weight: (storage, slot) for storage in self.storages.values() for slot in storage.slots}

    def read_storages(self, ops: Collection[Op]) -> set[str]:
        """Names of the storages that operations read, as their weights or by a weight's canonical name."""
        slots = self.slots()
        views = {slots[op.attr("weight")][0].name for op in ops if op.kind == "weight"}
        return {name for op in ops for name in op.weights} | views

    def waits(self) -> dict[str, set[str]]:
        """Value -> values that must be produced before it, though it does not read them: they update the same state.

        This only occurs for experts that share weights, with running means and the state of plugins' modules.
        """
        kept = {name for name, storage in self.storages.items() if not storage.trainable}
        read = {op.output.name: op.weights for op in self.ops if op.kind == "parameter"}
        last: dict[str, Op] = {}
        found: dict[str, set[str]] = {}
        for op in (op for op in self.ops if op.kind != "parameter"):
            states = {*op.weights, *(name for value in op.inputs for name in read.get(value.name, ()))} & kept
            for state in states | ({op.attr("module")} if op.kind == "call" else set()):
                if state in last and last[state].node != op.node:
                    found.setdefault(op.output.name, set()).add(last[state].output.name)
                last[state] = op
        return found

    def needed(self, outputs: Iterable[Output]) -> set[str]:
        """Names of the values that outputs need."""
        producers = self.producers()
        start = (output.value.name for output in outputs)
        return {*order.reached(start, lambda name: [value.name for value in producers[name].inputs])}

    def uses(self) -> dict[str, int]:
        """Value name -> the number of operations and outputs that read it."""
        counts = dict.fromkeys((op.output.name for op in self.ops), 0)
        for name in self._reads():
            counts[name] += 1
        return counts

    def _reads(self) -> Iterator[str]:
        for op in self.ops:
            yield from (value.name for value in op.inputs)
        yield from (output.value.name for output in self.outputs)


def merge(storages: dict[str, Storage], names: Sequence[str], make: Merge, mark: str) -> str:
    """Replaces storages by one that `make` makes of them, named after the first; returns its name."""
    made = make(f"{names[0]}~{mark}", [storages.pop(name) for name in names])
    storages[made.name] = made
    return made.name


def side_by_side(name: str, storages: Sequence[Storage]) -> Storage:
    """One storage that concatenates others along their first axis."""
    slots: list[Slot] = []
    start = 0
    for storage in storages:
        for slot in storage.slots:
            first, *rest = slot.index or ((0, storage.shape[0]),)
            moved = (first[0] + start, first[1] + start) if isinstance(first, tuple) else first + start
            slots.append(Slot(slot.weight, (moved, *rest)))
        start += storage.shape[0]
    return replace(storages[0], name=name, shape=(start, *storages[0].shape[1:]), slots=tuple(slots))


def stacked(name: str, storages: Sequence[Storage]) -> Storage:
    """One storage that stacks others of one shape along a new first axis."""
    slots = [replace(slot, index=(i, *slot.index)) for i, storage in enumerate(storages) for slot in storage.slots]
    return replace(storages[0], name=name, shape=(len(storages), *storages[0].shape), slots=tuple(slots))


def transposed(storage: Storage) -> Storage:
    """The storage `[D, H]` of a matrix `[H, D]`, or of several side by side.

    The gradient of a matmul, `x^T g`, then has the layout of the storage, and need not be copied. oneDNN and MKL also
    multiply faster by such a matrix, and oneDNN finds its gradient in less time, the most in small batches.
    """
    slots: list[Slot] = []
    for slot in storage.slots:
        whole = ((0, size) for size in storage.shape[len(slot.index) :])
        slots.append(Slot(slot.weight, tuple(reversed((*slot.index, *whole))), transposed=True))
    return replace(storage, shape=tuple(reversed(storage.shape)), slots=tuple(slots))


def stacked_transposed(name: str, storages: Sequence[Storage]) -> Storage:
    """One storage `[E, D, H]` that stacks matrices `[H, D]` along a new first axis, each transposed."""
    return stacked(name, [transposed(storage) for storage in storages])


def plain_storages(weights: Mapping[str, Weight]) -> dict[str, Storage]:
    """One storage per weight, under the weight's own name."""
    return {
        name: Storage(name, weight.shape, (Slot(name),), weight.trainable, frozen=weight.frozen)
        for name, weight in weights.items()
    }


def in_order(ops: Sequence[Op], waits: Mapping[str, set[str]]) -> tuple[Op, ...]:
    """The operations in their order, but each after everything that it reads or waits for."""
    producers = {op.output.name: index for index, op in enumerate(ops)}
    sources = {
        index: [producers[name] for name in (*(value.name for value in op.inputs), *waits.get(op.output.name, ()))]
        for index, op in enumerate(ops)
    }
    return tuple(ops[index] for index in order.in_order(sources, rank=int))
