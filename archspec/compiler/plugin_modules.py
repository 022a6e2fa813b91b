"""Modules of plugins that a program calls: their names in an emitted file, and whether the called functions exist."""

from __future__ import annotations

import functools
import importlib.util
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from archspec.compiler.names import numbered
from archspec.compiler.runtime import definitions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from archspec.program import Op, Program


def plugin_aliases(programs: Iterable[Program]) -> dict[str, str]:
    """Module of a plugin -> its name in an emitted file, which does not clash with other names; sorted."""
    functions = {function for program in programs for op in program.ops if (function := op.attr("function"))}
    found = {module for program in programs for module in (each.module for each in program.modules.values())}
    found |= {module for function in functions if (module := function.rpartition(":")[0])}
    aliases: dict[str, str] = {}
    for module in sorted(found):
        aliases[module] = numbered(f"{module.replace('.', '_').strip('_')}_plugin", aliases.values())
    return aliases


def aliased(program: Program, aliases: Mapping[str, str]) -> Program:
    """The program with the names that plugins' modules have in an emitted file."""
    modules = {name: replace(module, module=aliases[module.module]) for name, module in program.modules.items()}
    return replace(program, modules=modules, ops=tuple(_aliased(op, aliases) for op in program.ops))


def _aliased(op: Op, aliases: Mapping[str, str]) -> Op:
    module, colon, function = (op.attr("function") or "").rpartition(":")
    if not colon:
        return op
    attrs = {**dict(op.attrs), "function": f"{aliases[module]}:{function}"}
    return replace(op, attrs=tuple(attrs.items()))


@functools.cache
def _runtime() -> frozenset[str]:
    return frozenset(definition.name for definition in definitions())


def missing_function(op: Op) -> str:
    """The function that an `apply` calls, and why there is none; empty if there is one.

    A module that is not imported yet is not imported for this: it may need torch.
    """
    module, colon, function = op.attr("function").rpartition(":")
    if not colon:
        return "" if function in _runtime() else f"`{function}`, which archspec.nn.functional does not have"
    if module in sys.modules:
        has = hasattr(sys.modules[module], function.partition(".")[0])
        return "" if has else f"`{module}:{function}`, but the module `{module}` does not have it"
    try:
        there = importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        there = False
    return "" if there else f"`{module}:{function}`, but there is no module `{module}`"
