"""Source of the run-time pieces: what emitted files copy from `archspec.nn`, with everything that it calls."""

from __future__ import annotations

import ast
import functools
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_NN = Path(__file__).parent.parent / "nn"
_FILES = ("functional", "products", "module")

METHODS = ("gate_weights", "named_weights", "load_weights", "reset_parameters", "__getstate__", "check")
"""Methods of every compiled module."""


def method_source(name: str) -> str:
    """Source of a method of every compiled module."""
    return _methods()[name]


def closure(names: Iterable[str]) -> list[str]:
    """Source of functions, classes and constants of `archspec.nn` by name, and of all that they use."""
    known, found = _definitions(), dict[str, str]()
    queue = [name for name in names if name in known]
    queue += [used for name in METHODS for used in _names(method_source(name)) if used in known]
    while queue:
        name = queue.pop()
        if name not in found:
            found[name] = known[name]
            queue += [used for used in _names(known[name]) if used in known]
    return [found[name] for name in sorted(found, key=lambda name: (_rank(found[name]), name))]


def _rank(source: str) -> int:
    """Functions, then classes, then constants, which may call functions."""
    return {"def": 0, "@fu": 0, "@co": 0, "cla": 1}.get(source[:3], 2)


def imports(source: str) -> list[str]:
    """Standard modules that a source uses."""
    used = _names(source)
    return [name for name in ("contextlib", "functools", "math", "platform") if name in used]


@functools.cache
def _names(source: str) -> frozenset[str]:
    return frozenset(node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name))


@functools.cache
def _definitions() -> dict[str, str]:
    """Functions, classes and constants of the run-time files; tables that each emitted file has of its own left out."""
    found: dict[str, str] = {}
    for file in _FILES:
        text = (_NN / f"{file}.py").read_text(encoding="utf-8")
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name != "Compiled":
                found[node.name] = _source(text, node)
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                found[node.targets[0].id] = _source(text, node)
    found.pop("Batch")  # every emitted file begins with it
    return found


@functools.cache
def _methods() -> dict[str, str]:
    text = (_NN / "module.py").read_text(encoding="utf-8")
    compiled = next(node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == "Compiled")
    return {node.name: _source(text, node) for node in compiled.body if isinstance(node, ast.FunctionDef)}


def _source(text: str, node: ast.FunctionDef | ast.ClassDef | ast.Assign) -> str:
    """Source of a definition without comments for linters."""
    decorators = [] if isinstance(node, ast.Assign) else [decorator.lineno for decorator in node.decorator_list]
    lines = text.splitlines()[min([node.lineno, *decorators]) - 1 : node.end_lineno]
    return textwrap.dedent("\n".join(line.partition("  # noqa")[0].partition("  # type: ignore")[0] for line in lines))
