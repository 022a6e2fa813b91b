"""The lines of a function body: operations in order, values that are read once inlined, shapes in comments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from archspec.compiler.expressions import INLINE, expression
from archspec.compiler.names import Variables
from archspec.compiler.names import heading as heading_of

if TYPE_CHECKING:
    from archspec.program import Op, Output, Program

WIDTH = 118
MARGIN = 68
"""Column of the comments with shapes."""

_CHAINS = {
    "linear": {"activation", "prelu", "dice", "batch_norm", "layer_norm", "softmax", "squeeze", "scale"},
    "scale": {"softmax", "product"},
}
"""Operations that are inlined in others, in addition to chains of elementwise ones."""

Attribute = Callable[[str], str]


class Body:
    """Writes the operations of one program."""

    def __init__(self, program: Program, attribute: Attribute, taken: Iterable[str] = ()) -> None:
        self.program, self.attribute = program, attribute
        self.variables = Variables(taken)
        self.uses = program.uses()
        self.left = dict(self.uses)
        self.pending: dict[str, str] = {}
        """Values that have no line of their own yet: the operation that reads them inlines them."""
        self.producers = program.producers()
        self.slots = program.slots()
        self.readers = {value.name: op for op in program.ops for value in op.inputs}

    def section(self, outputs: Sequence[Output], done: set[str], headings: bool) -> list[str]:  # noqa: FBT001 - set by one caller
        """The lines for everything that these outputs need and that is not written yet; adds it to `done`."""
        needed = self.program.needed(outputs) - done
        done |= needed
        ops = [op for op in self.program.ops if op.output.name in needed]
        parts = self.partitions(ops)
        lines: list[str] = []
        heading = ""
        for op in ops:
            written = []
            if op.output.name not in parts:
                written = self.line(op)
            elif parts[op.output.name][0] is op:
                written = self.partition(parts[op.output.name])
            new = heading_of(op.node)
            if written and headings and new != heading and new:
                lines.append(f"# {new}")
                heading = new
            lines += written
        return lines

    def partitions(self, ops: Sequence[Op]) -> dict[str, list[Op]]:
        """Slices or members that split a value without gaps; they are written as one line."""
        families: dict[tuple[str, str], list[Op]] = {}
        for op in ops:
            if op.kind in {"slice", "member", "members"}:
                families.setdefault((op.kind, op.inputs[0].name), []).append(op)
        whole: dict[str, list[Op]] = {}
        order = {op.output.name: index for index, op in enumerate(ops)}
        for (kind, name), family in families.items():
            family.sort(key=lambda op: op.attr("start", op.attr("index")))
            axis = -1 if kind == "slice" else 0
            size = family[0].inputs[0].shape[axis]
            if kind == "member":
                complete = [op.attr("index") for op in family] == list(range(int(size)))
            else:
                edges = [0, *(op.attr("stop") for op in family)]
                complete = edges[:-1] == [op.attr("start") for op in family] and edges[-1] == size
            if complete and len(family) > 1 and name not in self.pending:
                family.sort(key=lambda op: order[op.output.name])
                whole.update({op.output.name: family for op in family})
        return whole

    def partition(self, family: list[Op]) -> list[str]:
        """One line for all parts of a value."""
        source = self.operand(family[0].inputs[0].name)
        family = sorted(family, key=lambda op: op.attr("start", op.attr("index")))
        for op in family:
            self.free(op.inputs[0].name)
        names = [self.variables.bind(op.output.name, self.program.hints.get(op.output.name, "h")) for op in family]
        axis = -1 if family[0].kind == "slice" else 0
        sizes = ", ".join(str(op.output.shape[axis]) for op in family)
        split = f"{source}.split([{sizes}]{', dim=-1' if axis else ''})"
        text = f"{source}.unbind()" if family[0].kind == "member" else split
        shapes = [f"[{', '.join(map(str, op.output.shape))}]" for op in family]
        shown = f"{len(shapes)} times {shapes[0]}" if len(set(shapes)) == 1 else ", ".join(shapes)
        return _wrapped(", ".join(names), text, shown)

    def line(self, op: Op) -> list[str]:
        """The lines of one operation; none if its reader inlines it."""
        operands = [self.operand(value.name) for value in op.inputs]
        weights = [f"self.{self.attribute(name)}" for name in (*op.weights, *self.things(op))]
        weights += [self.view(op.attr("weight"))] if op.kind == "weight" else []
        text = expression(op, operands, weights)
        name = op.output.name
        if op.kind in {"parameter", "weight", "constant"} or (op.kind == "detach" and len(text) < 40):  # noqa: PLR2004 - stays readable inside a line
            self.pending[name] = text
            return []
        if op.kind in INLINE and self.uses[name] == 1 and self.inlines(op, text):
            self.pending[name] = f"({text})" if op.kind == "scale" else text
            return []
        for value in op.inputs:
            self.free(value.name)
        variable = self.variables.bind(name, self.program.hints.get(name, "h"))
        return _wrapped(variable, text, f"[{', '.join(map(str, op.output.shape))}]")

    def inlines(self, op: Op, text: str) -> bool:
        """Whether the only reader of a value inlines it: it is in the same block, and the line stays short."""
        reader = self.readers.get(op.output.name)
        if reader is None or reader.node != op.node:
            return False
        if op.kind == "column":
            return reader.kind in {"embed", "embed_list", "pool"}
        return reader.kind in _CHAINS.get(op.kind, INLINE - {"linear", "column"}) and len(text) < WIDTH - 20

    def things(self, op: Op) -> tuple[str, ...]:
        """Attributes that are not storages: constants and plugin modules."""
        if op.kind == "constant":
            return (op.output.name,)
        return (op.attr("module"),) if op.kind == "call" else ()

    def view(self, weight: str) -> str:
        """The expression for a canonical weight inside its storage."""
        storage, slot = self.slots[weight]
        index = ", ".join(f"{i[0]}:{i[1]}" if isinstance(i, tuple) else str(i) for i in slot.index)
        return f"self.{self.attribute(storage.name)}{f'[{index}]' if index else ''}{'.mT' if slot.transposed else ''}"

    def operand(self, name: str) -> str:
        """The expression for a value that is read."""
        return self.pending[name] if name in self.pending else self.variables.bound[name]

    def free(self, name: str) -> None:
        """Counts a read, and frees the variable after the last one."""
        self.left[name] -= 1
        if name in self.pending:
            producer = self.producers[name]
            if self.left[name] == 0:
                for value in producer.inputs:
                    self.free(value.name)
        elif self.left[name] == 0:
            self.variables.release(name)


def _wrapped(variable: str, text: str, shape: str) -> list[str]:
    line = f"{variable} = {text}"
    if len(line) + 8 <= WIDTH - 12:
        return [f"{line.ljust(MARGIN - 8)}  # {shape}"]
    start = line.find(" = ") + 3 if len(variable) < len(text) else -1
    if start < 0:
        return [f"({variable}) = {text}  # {shape}"] if len(line) < WIDTH else [
            "(", *_filled(variable, WIDTH - 16), f") = {text}  # {shape}"]  # fmt: skip
    opening = line.find("(", start) + 1
    if not opening or line[-1] != ")":
        return [f"{line}  # {shape}"]
    return [line[:opening], *_filled(line[opening:-1], WIDTH - 16), f")  # {shape}"]


def _filled(text: str, width: int) -> Iterator[str]:
    """Breaks a text at `, ` into lines, indented once; no string in it contains `, `, since names are identifiers."""
    line = ""
    for part in text.split(", "):
        if line and len(line) + len(part) + 2 > width:
            yield f"    {line},"
            line = part
        else:
            line = f"{line}, {part}" if line else part
    yield f"    {line}"
