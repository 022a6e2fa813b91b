"""Small programs for the doctests of passes."""

from __future__ import annotations

import re

from archspec.program import Builder, Program, Scope, Value
from archspec.program.nodes import NodeName


def example(*lines: str, output: str, width: int = 4) -> Program:
    """A program on x `[B, width]` from lines such as `a = relu(x)`, `b = a + x`, `c = linear(a)`, `d = mix(b, c)`."""
    builder = Builder(lambda _reference, _scope: values["x"], lambda _name: values["x"])
    at = Scope(builder, NodeName())
    values: dict[str, Value] = {}

    def named(name: str, value: Value) -> None:
        op = builder.ops[-1]
        values[name] = Value(name, value.shape, value.dtype)
        builder.ops[-1] = type(op)(op.kind, op.inputs, values[name], op.weights, op.attrs, op.node)

    named("x", at.op("column", (), ("B", width), key="x", source="batch"))
    for line in lines:
        name, _, right = line.partition(" = ")
        if match := re.fullmatch(r"(\w+)\(([\w, ]+)\)", right):
            operand, *others = (values[part] for part in match[2].split(", "))
            made = _applied(at, match[1], operand, others, name)
        elif match := re.fullmatch(r"([0-9.]+) \* (\w+)", right):
            made = at.op("scale", (values[match[2]],), values[match[2]].shape, factor=float(match[1]))
        else:
            made = at.sum(*(values[part] for part in right.split(" + ")))
        named(name, made)
    builder.output("logits", "y", values[output])
    return builder.program()


def _applied(at: Scope, function: str, operand: Value, others: list[Value], name: str) -> Value:
    match function:
        case "linear":
            return at.linear(operand, operand.width, name)
        case "softmax":
            return at.softmax(operand)
        case "mix":
            return at.mix(operand, others)
        case _:
            return at.activation(operand, function)
