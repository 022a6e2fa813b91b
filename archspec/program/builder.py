"""Builder: collects what scopes add, and makes a program."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archspec.program.program import (
    Module,
    Op,
    Output,
    Program,
    Section,
    Value,
    Weight,
    plain_storages,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from archspec.contract import Reference
    from archspec.program.scope import Scope


@dataclass
class Builder:
    """Collects operations, weights, modules and outputs of one program."""

    read: Callable[[Reference, Scope], Value]
    """Turns a reference in the settings of a block into its value."""
    column: Callable[[str], Value]
    """The raw column of an input, by the input's name."""
    domain: Callable[[str], tuple[str, ...]] = lambda _: ()
    """The values of a domain input, by the input's name."""
    setting_column: Callable[[str, str], Value] | None = None
    """A further column of an input, by the input's name and the setting that names the column."""
    ops: list[Op] = field(default_factory=list)
    weights: dict[str, Weight] = field(default_factory=dict)
    modules: dict[str, Module] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)
    masks: dict[str, Value | None] = field(default_factory=dict)
    """Value of tokens -> which of them are there, `[B, T]`; None: all."""
    names: dict[str, int] = field(default_factory=dict)
    hints: dict[str, str] = field(default_factory=dict)

    def program(self) -> Program:
        """The program that was built."""
        return Program(
            tuple(self.ops), tuple(self.outputs), self.weights, plain_storages(self.weights), self.modules, self.hints
        )

    def hint(self, value: Value, hint: str) -> Value:
        """Sets a readable name for a value."""
        self.hints[value.name] = hint
        return value

    def output(self, section: Section, name: str, value: Value) -> None:
        """Adds a value to the outputs under a name."""
        self.outputs.append(Output(section, name, value))

    def unique(self, name: str) -> str:
        """The name, with a number appended from the second use on."""
        count = self.names[name] = self.names.get(name, 0) + 1
        return name if count == 1 else f"{name}~{count}"
