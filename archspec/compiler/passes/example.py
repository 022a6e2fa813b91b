"""Small programs for the doctests of passes."""

from __future__ import annotations

import re

from archspec.program import Builder, Program, Scope, Value


def example(*lines: str, output: str, width: int = 4) -> Program:
    """A program on x `[B, width]` from lines such as `a = relu(x)`, `b = a + x`, `c = linear(a)`."""
    builder = Builder(lambda _reference, _scope: values["x"], lambda _name: values["x"])
    at = Scope(builder, "")
    values: dict[str, Value] = {}

    def named(name: str, value: Value) -> None:
        op = builder.ops[-1]
        values[name] = Value(name, value.shape, value.dtype)
        builder.ops[-1] = type(op)(op.kind, op.inputs, values[name], op.weights, op.attrs, op.node)

    named("x", at.op("column", (), ("B", width), key="x", source="batch"))
    for line in lines:
        name, _, right = line.partition(" = ")
        if match := re.fullmatch(r"(\w+)\((\w+)\)", right):
            function, operand = match[1], values[match[2]]
            made = at.linear(operand, width, name) if function == "linear" else at.activation(operand, function)
        else:
            made = at.sum(*(values[part] for part in right.split(" + ")))
        named(name, made)
    builder.output("logits", "y", values[output])
    return builder.program()
