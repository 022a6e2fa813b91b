"""The runtime section of an emitted file: the definitions of `archspec.nn` that it uses, in their original order.

The modules of `FILES` are written so that they can be concatenated in an emitted file: each uses only torch, the
standard library and definitions before it.
"""

from __future__ import annotations

import ast
import builtins
import functools
import keyword
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NN = Path(__file__).parent.parent / "nn"
FILES = ("functional", "products", "checks", "module")
TABLES = frozenset({"WEIGHTS", "TRANSPOSED", "COLUMNS", "IDS", "CONSTANTS", "MODULES", "PARTS", "TILE", "Batch"})
"""Names that each emitted file defines itself."""

ALWAYS = ("torch", "Tensor", "nn", "F", "Mapping")
"""Imported by every emitted file."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A function, class or constant of `archspec.nn`, or a method of `Compiled`."""

    name: str
    source: str
    uses: frozenset[str]
    """The names that it reads."""

    @property
    def is_constant(self) -> bool:
        """Whether it is an assignment, which has no blank lines around it."""
        return not self.source.startswith(("def ", "class ", "@"))


@dataclass(frozen=True, slots=True)
class Import:
    """One name that a module of `archspec.nn` imports."""

    name: str
    module: str
    attribute: str | None
    """None: the module itself."""

    @property
    def is_torch(self) -> bool:
        """Whether torch is imported, rather than the standard library."""
        return self.module.partition(".")[0] == "torch"


def methods(*, ids: bool, tiles: bool) -> list[Definition]:
    """The methods of every compiled module: with `ids` if it looks up several columns at once, and those for tiles."""
    left_out = {"forward", "predict", "plugin_modules"}
    left_out |= (set() if ids else {"ids"}) | (set() if tiles else {"is_large", "in_tiles"})
    return [definition for definition in _methods() if definition.name not in left_out]


def section(names: Iterable[str]) -> list[Definition]:
    """The definitions of these names and of everything that they use, except the tables of each emitted file."""
    known = {definition.name: definition for definition in definitions()}
    found: set[str] = set()
    queue = list(names)
    while queue:
        name = queue.pop()
        if name in known and name not in found:
            found.add(name)
            queue += known[name].uses
    return [definition for name, definition in known.items() if name in found]


def import_lines(names: Iterable[str]) -> Iterator[str]:
    """The import statements for these names: the standard library's, an empty line, torch's."""
    used = {*names, *ALWAYS}
    found = [item for item in imports() if item.name in used]
    yield from _statements(item for item in found if not item.is_torch)
    yield ""
    yield from _statements(item for item in found if item.is_torch)


def _statements(items: Iterable[Import]) -> Iterator[str]:
    """Modules first, then names by module, as isort sorts them."""
    by_module: dict[str, list[str]] = {}
    modules: list[str] = []
    for item in items:
        if item.attribute is None:
            modules.append(f"import {item.module}")
        else:
            alias = "" if item.attribute == item.name else f" as {item.name}"
            by_module.setdefault(item.module, []).append(f"{item.attribute}{alias}")
    yield from sorted(modules)
    yield from (f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(by_module.items()))


@functools.cache
def reserved() -> frozenset[str]:
    """Names that an emitted file may use: Python's, and those that the runtime section may define or import."""
    own = {definition.name for definition in definitions()} | {item.name for item in imports()} | TABLES
    return frozenset({*own, *dir(builtins), *keyword.kwlist, "Seen"})


@functools.cache
def definitions() -> tuple[Definition, ...]:
    """Every function, class and constant of the runtime modules that a file may contain."""
    found = []
    for file in FILES:
        lines, body = _parsed(file)
        for node, following in zip(body, [*body[1:], None], strict=True):
            name = _defined(node)
            if name is not None and name not in TABLES | {"Compiled"}:
                found.append(Definition(name, _source(lines, node, following), _names(node)))
    return tuple(found)


@functools.cache
def imports() -> tuple[Import, ...]:
    """Every name that the runtime modules import, except those that they import from each other."""
    found: dict[str, Import] = {}
    for file in FILES:
        for node in (part for statement in _parsed(file)[1] for part in _with_body(statement)):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    found[alias.asname or alias.name] = Import(alias.asname or alias.name, alias.name, None)
            elif isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] not in _OWN:
                for alias in node.names:
                    name = alias.asname or alias.name
                    found[name] = Import(name, node.module, alias.name)
    return tuple(found.values())


def _with_body(node: ast.stmt) -> list[ast.stmt]:
    """The statement, or, for `if TYPE_CHECKING`, its imports: an emitted file does not make this distinction."""
    return [node, *node.body] if isinstance(node, ast.If) else [node]


_OWN = {"archspec", "__future__"}


@functools.cache
def _methods() -> tuple[Definition, ...]:
    lines, body = _parsed("module")
    compiled = next(node for node in body if isinstance(node, ast.ClassDef) and node.name == "Compiled")
    functions = [node for node in compiled.body if isinstance(node, ast.FunctionDef)]
    return tuple(Definition(node.name, _source(lines, node), _names(node)) for node in functions)


@functools.cache
def _parsed(file: str) -> tuple[list[str], list[ast.stmt]]:
    text = (NN / f"{file}.py").read_text(encoding="utf-8")
    return text.splitlines(), ast.parse(text).body


def _defined(node: ast.stmt) -> str | None:
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
        case _:
            return None


def _names(node: ast.AST) -> frozenset[str]:
    return frozenset(part.id for part in ast.walk(node) if isinstance(part, ast.Name))


def _source(lines: list[str], node: ast.stmt, following: ast.stmt | None = None) -> str:
    """The source of a definition, with the docstring after a constant, but without comments for linters."""
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
    last = node.end_lineno
    if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(following, ast.Expr):
        last = following.end_lineno
    kept = (line.partition("  # noqa")[0].partition("  # type: ignore")[0] for line in lines[first - 1 : last])
    return textwrap.dedent("\n".join(kept))
