"""Batches operations of the same shape on different inputs: those of experts, gates, towers and heads alike."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from archspec.compiler.names import plural
from archspec.compiler.passes.layout import Layout
from archspec.compiler.passes.mixing import Mixing
from archspec.compiler.passes.result import PassResult
from archspec.program import Op, Program, Storage, Value
from archspec.program.program import merge, stacked, stacked_transposed
from archspec.program.program import side_by_side as rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from archspec.program.program import Merge

FREE = frozenset({"slice"})
"""Operations that only select a part of a value."""


def side_by_side(program: Program) -> PassResult:
    """Replaces `a = f(x; A); b = f(y; B)` with one f on the stack `[x, y]`, and a and b with its members.

    Operations have the same shape if their kind, attributes, and shapes of operands and weights are equal. They are
    batched if they are equally far from the inputs, so that none depends on another. Their operand is a view if the
    values are already adjacent (slices of a wide matmul, members of a stack), else one copy.
    """
    fusion = _Fusion(program)
    for level in fusion.by_level():
        fusion.run(level)
    fusion.remarks += opaque_copies(program)
    outputs = tuple(replace(out, value=fusion.layout.single(out.value)) for out in program.outputs)
    hints = {**program.hints, **fusion.layout.hints}
    fused = replace(program, ops=tuple(fusion.layout.ops), outputs=outputs, storages=fusion.storages, hints=hints)
    return PassResult(fused, tuple(fusion.rewrites), tuple(fusion.remarks))


def opaque_copies(program: Program) -> list[str]:
    """Remarks about plugin modules of the same class, which are called one by one.

    Batching them with `torch.func` was measured to be slower for up to about sixteen copies, and always at 2,048 rows.
    """
    kinds = Counter(module.cls for module in program.modules.values())
    return [f"{n} modules of `{cls}` run one by one, since `build` is opaque" for cls, n in kinds.items() if n > 1]


class _Fusion:
    def __init__(self, program: Program) -> None:
        self.program, self.layout = program, Layout()
        self.storages: dict[str, Storage] = dict(program.storages)
        self.uses = Counter(name for op in program.ops for name in op.weights)
        self.rewrites: list[str] = []
        self.remarks: list[str] = []
        self.mixing = Mixing(self.layout, self.rewrites, self.remarks)
        elementwise = self.elementwise
        self.rules: dict[str, Callable[[list[Op]], bool]] = {
            "linear": self.linear, "activation": elementwise, "dropout": elementwise, "scale": elementwise,
            "detach": elementwise, "softmax": self.stacked, "squeeze": self.stacked, "layer_norm": self.layer_norm,
            "batch_norm": self.columnwise, "prelu": self.columnwise, "dice": self.columnwise,
            "product": self.broadcast, "sum": self.broadcast, "pool": self.pool,
            "embed_list": self.pool, "pool_tokens": self.operands, "attend": self.operands,
            "attention": self.operands, "unflatten": self.stacked, "flatten": self.stacked,
            "positions": self.layer_norm, "linear_pair": self.linear_pair,
        }  # fmt: skip

    def by_level(self) -> list[list[Op]]:
        """The operations by their distance from the inputs, in which slices do not count."""
        distance: dict[str, int] = {}
        levels: dict[int, list[Op]] = {}
        waits = self.program.waits()
        for op in self.program.ops:
            read = (value.name for value in op.inputs)
            below = max((distance[name] for name in (*read, *waits.get(op.output.name, ()))), default=-1)
            distance[op.output.name] = below if op.kind in FREE else below + 1
            levels.setdefault(distance[op.output.name], []).append(op)
        return [levels[key] for key in sorted(levels)]

    def run(self, level: list[Op]) -> None:
        """Batches the operations at one distance: groups of the same shape, then mixes, then slices of the results."""
        groups: dict[object, list[Op]] = {}
        for op in (op for op in level if op.kind not in FREE and op.kind != "mix"):
            groups.setdefault(self.signature(op), []).append(op)
        order = {op.output.name: index for index, op in enumerate(self.layout.ops)}
        for group in groups.values():
            members = sorted(group, key=lambda op: self.position(op, order))
            self.layout.node = members[0].node
            rule = self.rules.get(members[0].kind)
            if len(members) == 1 or rule is None or not rule(members):
                for op in members:
                    self.alone(op)
            else:
                kind = members[0].kind
                self.rewrites.append(f"{len(members)} times {kind} side by side: {members[0].output.name} ...")
        mixes = [op for op in level if op.kind == "mix"]
        for op in self.mixing.fuse(mixes):
            self.alone(op)
        for op in (op for op in level if op.kind in FREE):
            self.layout.cut(op)

    def position(self, op: Op, order: dict[str, int]) -> tuple[int, int, int]:
        """Where the first operand is stored, as a sort key that keeps neighbours together; others come last."""
        place = self.layout.places.get(op.inputs[0].name) if op.inputs else None
        if place is None:
            return len(order), 0, 0
        return order.get(place.container.name, -1), -1 if place.member is None else place.member, place.start

    def signature(self, op: Op) -> object:
        """The key that operations must share to be batched."""
        weights = tuple((self.program.storages[name].shape, self.program.storages[name].group) for name in op.weights)
        own = op.kind in {"pool", "embed_list"} or all(self.uses[name] == 1 for name in op.weights)
        return op.kind, op.attrs, tuple(value.shape for value in op.inputs), weights, own, op.output.dtype

    def alone(self, op: Op) -> None:
        """Keeps an operation unbatched, on separate values; a concatenation of adjacent values becomes a view."""
        self.layout.node = op.node
        values = self.layout.joined_columns(op.inputs) if op.kind == "concat" else op.inputs
        if op.kind == "concat" and len(values) == 1:
            place = self.layout.places[op.output.name] = self.layout.places[values[0].name]
            if place.member is None and place.stop - place.start == place.container.width:
                self.layout.hints[place.container.name] = self.program.hints.get(op.output.name, "h")
            return
        self.layout.emit(replace(op, inputs=tuple(self.layout.single(value) for value in values)))

    # -- rules: each makes one operation of several, or records why not ------------------------------------------------

    def own_weights(self, members: list[Op]) -> bool:
        """Whether no other operation uses their weights."""
        if all(self.uses[name] == 1 for op in members for name in op.weights):
            return True
        self.remarks.append(f"{members[0].output.name}: other operations use its weights, too")
        return False

    def merged(self, members: list[Op], make: Merge, mark: str) -> tuple[str, ...]:
        """One storage for each weight of the members."""
        places = zip(*(op.weights for op in members), strict=True)
        return tuple(merge(self.storages, names, make, mark) for names in places)

    def one(
        self, members: list[Op], inputs: tuple[Value, ...], shape: tuple[int | str, ...], weights: tuple[str, ...] = ()
    ) -> Value:
        """The operation that replaces all of them."""
        head = members[0]
        output = Value(f"{head.output.name}~all", shape, head.output.dtype)
        if head.output.name in self.program.hints:
            self.layout.hints[output.name] = plural(head.node)
        return self.layout.emit(Op(head.kind, inputs, output, weights, head.attrs, head.node))

    def members_of(self, container: Value, members: list[Op]) -> bool:
        """Records that each output is a member of the stack."""
        for index, op in enumerate(members):
            width = op.output.width if op.output.features else 1
            self.layout.put(op.output, container, index, 0, width)
        return True

    def columns_of(self, container: Value, members: list[Op]) -> bool:
        """Records that each output is a slice of the columns."""
        start = 0
        for op in members:
            self.layout.put(op.output, container, None, start, start + op.output.width)
            start += op.output.width
        return True

    @staticmethod
    def on_columns(members: list[Op]) -> bool:
        """Whether the operations work on rows or tokens of known width, and not on stacks."""
        return all(
            op.inputs[0].has_columns and all(isinstance(size, int) for size in op.output.features[-1:])
            for op in members
        )

    def linear(self, members: list[Op]) -> bool:
        """`[E, ..., D]` times `[E, D, H]`."""
        if not self.on_columns(members) or not self.own_weights(members):
            return False
        x = self.layout.stack([op.inputs[0] for op in members])
        weights = self.merged(members, _stacked_for_products, "stack")
        shape = (len(members), *members[0].output.shape)
        return self.members_of(self.one(members, (x,), shape, weights), members)

    def linear_pair(self, members: list[Op]) -> bool:
        """On a stack of queries, a stack of tokens and a stack of weights."""
        if not self.own_weights(members):
            return False
        stacks = [self.layout.stack([op.inputs[place] for op in members]) for place in (0, 1)]
        weights = self.merged(members, stacked, "stack")
        shape = (len(members), *members[0].output.shape)
        return self.members_of(self.one(members, tuple(stacks), shape, weights), members)

    def elementwise(self, members: list[Op]) -> bool:
        """On the container if the operands are adjacent in it, else on a stack."""
        if not self.on_columns(members):
            return False
        values = [op.inputs[0] for op in members]
        rows = self.layout.rows(values)
        if rows is not None:
            return self.columns_of(self.one(members, (rows,), rows.shape), members)
        return self.stacked(members)

    def stacked(self, members: list[Op]) -> bool:
        """On a stack; squeezing `[E, B, 1]` gives `[E, B]`."""
        if not self.on_columns(members):
            return False
        stack = self.layout.stack([op.inputs[0] for op in members])
        return self.members_of(self.one(members, (stack,), (len(members), *members[0].output.shape)), members)

    def operands(self, members: list[Op]) -> bool:
        """On a stack of each operand."""
        if not all(value.has_columns for op in members for value in op.inputs):
            return False
        stacks = [self.layout.stack([op.inputs[place] for op in members]) for place in range(len(members[0].inputs))]
        return self.members_of(self.one(members, tuple(stacks), (len(members), *members[0].output.shape)), members)

    def pool(self, members: list[Op]) -> bool:
        """On a stack of ids `[B, L]` for one table, so that the table has only one gradient."""
        if len({op.weights for op in members}) > 1 or isinstance(members[0].inputs[0].shape[1], str):
            self.remarks.append(f"{members[0].output.name}: its sequences have different tables, or no fixed length")
            return False
        stacks = [self.layout.stack([op.inputs[place] for op in members]) for place in range(len(members[0].inputs))]
        shape = (len(members), *members[0].output.shape)
        return self.members_of(self.one(members, tuple(stacks), shape, members[0].weights), members)

    def layer_norm(self, members: list[Op]) -> bool:
        """On a stack, each member with its own scale and shift."""
        if not self.on_columns(members) or not self.own_weights(members):
            return False
        stack = self.layout.stack([op.inputs[0] for op in members])
        weights = self.merged(members, stacked, "stack")
        return self.members_of(self.one(members, (stack,), stack.shape, weights), members)

    def columnwise(self, members: list[Op]) -> bool:
        """On the concatenated columns of all members, since weights and statistics are per column."""
        if not self.on_columns(members) or not self.own_weights(members):
            return False
        values = [op.inputs[0] for op in members]
        rows = self.layout.rows(values)
        if rows is None:
            stack = self.layout.stack(values)
            rows = self.layout.op("unfold", (stack,), (*stack.shape[1:-1], int(stack.shape[0]) * stack.width))
        return self.columns_of(self.one(members, (rows,), rows.shape, self.merged(members, rows_of, "wide")), members)

    def broadcast(self, members: list[Op]) -> bool:
        """On stacks of operands; an operand that all members share is read once and broadcast."""
        values = [value for op in members for value in op.inputs]
        if not all(value.has_columns for value in values) or len({len(value.features) for value in values}) > 1:
            return False  # rows and tokens broadcast, but on a stack their axes would not be aligned
        operands = []
        for place in range(len(members[0].inputs)):
            values = [op.inputs[place] for op in members]
            same = len({value.name for value in values}) == 1
            operands.append(self.layout.single(values[0]) if same else self.layout.stack(values))
        if not any(value.is_stack for value in operands):
            return False
        return self.members_of(self.one(members, tuple(operands), (len(members), *members[0].output.shape)), members)


def _stacked_for_products(name: str, storages: Sequence[Storage]) -> Storage:
    """One storage of stacked weights: matrices transposed, biases unchanged."""
    matrices = len(storages[0].shape) == 2  # noqa: PLR2004 - a weight [H, D], not a value
    return stacked_transposed(name, storages) if matrices else stacked(name, storages)
