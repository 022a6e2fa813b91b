"""Folds operations that change nothing: a softmax over one choice, a scale by one, a mix of one expert."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from archspec.compiler.passes.result import PassResult
from archspec.program import Op, Value

if TYPE_CHECKING:
    from archspec.program import Output, Program
    from archspec.program.nodes import NodeName

KEPT = frozenset({"batch_norm", "dice", "apply", "call"})
"""Operations that may keep statistics or draw random numbers, and are therefore never removed."""


def identity_folding(program: Program) -> PassResult:
    """Replaces `mix(softmax(z), [e])` with `e` if z has one column, `1 * x` with `x`, `mix(w, [e])` with `w * e`.

    The weights that z depends on remain weights of the model, without a gradient (in the plain model it is zero). The
    weights of the gate remain an output, and are ones.

    >>> from archspec.compiler.passes.example import example
    >>> print(identity_folding(example("e = tanh(x)", "w = softmax(x)", "y = mix(w, e)", output="y", width=1)).program)
    x [B, 1] = column() key='x' source='batch'
    e [B, 1] = activation(x) fn='tanh'
    logits.y = e
    """
    folding = _Folding(program)
    for op in program.ops:
        folding.visit(op)
    return folding.result()


class _Folding:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.readers: dict[str, list[Op]] = {op.output.name: [] for op in program.ops}
        for op in program.ops:
            for value in op.inputs:
                self.readers[value.name].append(op)
        self.producers = program.producers()
        self.ops: list[Op] = []
        self.same: dict[str, Value] = {}
        """Name of a removed value -> the value that it equals."""
        self.ones: dict[str, Value] = {}
        """Name of a softmax over one choice -> the value that it weighs."""
        self.hints = dict(program.hints)
        self.rewrites: list[str] = []
        self.remarks: list[str] = []

    def visit(self, old: Op) -> None:
        """Keeps an operation, or remembers what its value equals."""
        op = replace(old, inputs=tuple(self.same.get(value.name, value) for value in old.inputs))
        if op.kind == "softmax" and op.output.width == 1:
            self.softmax(op)
        elif op.kind == "scale" and op.attr("factor") == 1:
            self.fold(op, op.inputs[0], "a scale by one")
        elif op.kind == "mix" and op.inputs[0].name in self.ones:
            self.fold(op, op.inputs[1], "one expert, whose weight is one")
        elif op.kind == "mix" and len(op.inputs) == 2:  # noqa: PLR2004 - weights and one expert
            self.rewrites.append(f"{op.output.name}: a mix of one expert is a product")
            self.ops.append(replace(op, kind="product", attrs=()))
        elif op.kind == "apply" and op.inputs[:1] and op.inputs[0].name in self.ones:
            self.add_ones(op.output, op.inputs[1], op.node)
        else:
            self.ops.append(op)

    def fold(self, op: Op, same: Value, why: str) -> None:
        """Replaces a value by another one that it equals."""
        self.same[op.output.name] = same
        self.rewrites.append(f"{op.output.name} is {same.name}: {why}")

    def softmax(self, op: Op) -> None:
        """Replaces the weights of one choice by ones, if only mixes and outputs read them."""
        reason = self.obstacle(op)
        if reason:
            self.remarks.append(f"{op.output.name}: a softmax over one choice is kept: {reason}")
            self.ops.append(op)
            return
        mix = next(reader for reader in self.readers[op.output.name] if reader.kind == "mix")
        self.ones[op.output.name] = self.same.get(mix.inputs[1].name, mix.inputs[1])

    def obstacle(self, op: Op) -> str:
        """Why a softmax must be kept; empty if it can be removed."""
        kinds = {reader.attr("function", reader.kind) for reader in self.readers[op.output.name]}
        if "mix" not in kinds or not kinds <= {"mix", "rows_like"}:
            return "other operations than a mix read it"
        below, queue = set[str](), [op.inputs[0].name]
        while queue:
            producer = self.producers[queue.pop()]
            if producer.output.name in below or len(self.readers[producer.output.name]) > 1:
                continue
            if producer.kind in KEPT:
                return f"`{producer.output.name}`, which it reads, may keep statistics or draw random numbers"
            below.add(producer.output.name)
            queue += [value.name for value in producer.inputs]
        return ""

    def result(self) -> PassResult:
        """The program without operations that only folded ones read; weights that only those used become idle."""
        outputs = tuple(self.replaced(output) for output in self.program.outputs)
        folded = replace(self.program, ops=tuple(self.ops), outputs=outputs)
        alive = folded.needed(outputs)
        ops = tuple(op for op in self.ops if op.output.name in alive)
        used = self.program.read_storages(ops)
        storages = {
            name: storage if name in used else replace(storage, idle=True)
            for name, storage in self.program.storages.items()
        }
        program = replace(folded, ops=ops, storages=storages, hints=self.hints)
        return PassResult(program, tuple(self.rewrites), tuple(self.remarks))

    def replaced(self, output: Output) -> Output:
        """The output, with its value replaced if it was folded."""
        name = output.value.name
        if name not in self.ones:
            return replace(output, value=self.same.get(name, output.value))
        self.add_ones(output.value, self.ones[name], self.producers[name].node)
        return output

    def add_ones(self, value: Value, like: Value, node: NodeName) -> None:
        """Ones `[B, 1]`, one for each row of another value."""
        one = Value(f"{value.name}~one", (1, 1))
        rows = (("function", "rows_like"), ("arguments", ()))
        self.hints[one.name] = "softmax_one"
        self.ops += [
            Op("constant", (), one, (), (("data", ((1.0,),)),), node),
            Op("apply", (one, like), Value(value.name, ("B", 1)), (), rows, node),
        ]
