"""Loads kinds: built-in ones, and those of plugin files, installed packages, modules and classes.

Only the caller can allow a plugin, never a spec: nothing is imported that was not passed to `load`.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from archspec.contract import CATEGORIES, KindClass, Registry
from archspec.contract.checks import wrong_settings
from archspec.contract.registry import KindsOnUse, marked_classes, marks, place
from archspec.diagnostics import Diagnostic, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable

ENTRY_POINTS = "archspec.plugins"
PACKAGE = Path(__file__).parent
_MARK = re.compile(rf"""^@({"|".join(CATEGORIES)})\("(\w+)"\)$""", re.MULTILINE)
"""The line by which a class becomes a kind: its category and its name."""
Plugin = str | os.PathLike[str] | ModuleType | KindClass
"""A file, the name of an installed plugin or package, a module, or a class that a decorator marked."""


@functools.cache
def built_in() -> Registry:
    """The kinds that archspec ships. A file of `archspec/kinds/` is imported when a kind that it marks is looked up.

    Importing all of them takes about as long as checking a spec.
    """
    modules = {
        mark: f"archspec.kinds.{path.stem}"
        for path in sorted((PACKAGE / "kinds").glob("*.py"))
        for mark in _MARK.findall(path.read_text(encoding="utf-8"))
    }
    return Registry(KindsOnUse(modules))


def load(plugins: Iterable[Plugin] = ()) -> Registry:
    """The built-in kinds and those of the given plugins. Imports exactly the plugins given.

    Raises:
        SpecError: AS501: a plugin is missing, cannot be imported, defines no kind, or one that already exists.
    """
    registry = built_in()
    for plugin in plugins:
        if isinstance(plugin, type):
            registry = _including(registry, [plugin] if marks(plugin) else [], plugin.__name__, place(plugin))
        else:
            module = plugin if isinstance(plugin, ModuleType) else _import(os.fspath(plugin))
            name = module.__name__.rpartition(".")[2]
            registry = _including(registry, list(marked_classes(vars(module))), name, getattr(module, "__file__", None))
    return registry


def _including(registry: Registry, classes: list[KindClass], name: str, where: str | None) -> Registry:
    if not classes:
        raise _broken(
            f"plugin `{name}`{f' ({where})' if where else ''} defines no kind",
            "mark a Settings class with a decorator such as @archspec.expert",
        )
    for cls in classes:
        if problem := wrong_settings(cls):
            raise _broken(f"class {cls.__name__} ({place(cls)}): {problem}", "correct the class")
    try:
        return registry.including(classes, name)
    except ValueError as error:
        raise _broken(str(error), "give one of them another name") from error


def _import(plugin: str) -> ModuleType:
    try:
        if plugin.endswith(".py") or os.sep in plugin:
            return _import_file(Path(plugin))
        return importlib.import_module(_entry_point(plugin) or plugin)
    except SpecError:
        raise
    except ModuleNotFoundError as error:
        if error.name != plugin.partition(".")[0]:
            raise _broken(
                f"plugin `{plugin}` needs the module `{error.name}`{_imported_by(error, plugin)}", "install it"
            ) from error
        raise _broken(
            f"there is no plugin `{plugin}`", f"give the path of a file, such as `./{plugin}.py`, or install it"
        ) from error
    except (Exception, SystemExit) as error:
        raise _broken(
            f"plugin `{plugin}` cannot be imported{_imported_by(error, plugin)}: {type(error).__name__}: {error}",
            "correct the plugin; `archspec init --plugin gate my_gate` writes one that works",
        ) from error


def _imported_by(error: BaseException, plugin: str) -> str:
    """` (file:line)`: the last frame in the plugin's own code, or else in the code that it imports."""
    if isinstance(error, SyntaxError):
        return f" ({error.filename}:{error.lineno})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_machinery(frame.filename)]
    own = [frame for frame in frames if _is_of(frame.filename, plugin)] or frames
    return f" ({own[-1].filename}:{own[-1].lineno})" if own else ""


def _is_machinery(file: str) -> bool:
    """Whether a frame is in archspec or the import system, where a plugin's author cannot correct anything."""
    return file.startswith("<") or Path(file).is_relative_to(PACKAGE) or Path(file) == Path(importlib.__file__)


def _is_of(file: str, plugin: str) -> bool:
    """Whether a file is the plugin's: its own file, or one of its package."""
    if plugin.endswith(".py") or os.sep in plugin:
        return Path(file).resolve() == Path(plugin).resolve()
    return plugin.partition(".")[0] in (Path(file).stem, *(part.name for part in Path(file).parents))


def _entry_point(name: str) -> str | None:
    """The module that an installed distribution offers under a plugin's name. Raises SpecError if several do."""
    from importlib.metadata import entry_points

    found = {entry.module: entry for entry in entry_points(group=ENTRY_POINTS, name=name)}
    if len(found) > 1:
        offers = " and ".join(f"`{e.value}` of {e.dist.name if e.dist else 'an unknown one'}" for e in found.values())
        raise _broken(
            f"several installed distributions offer a plugin `{name}`: {offers}",
            "pass the name of the module instead, or uninstall one of them",
        )
    return next(iter(found), None)


def _import_file(path: Path) -> ModuleType:
    """Imports a plugin file under its stem, the name by which an emitted file imports it."""
    if not path.is_file():
        raise _broken(f"plugin file `{path}` does not exist", "give the path of a Python file")
    name, found = path.stem, sys.modules.get(path.stem)
    if found is not None:
        if found.__file__ and Path(found.__file__).resolve() == path.resolve():
            return found
        raise _broken(
            f"plugin file `{path}`: a module `{name}` is already imported from elsewhere "
            f"({found.__file__ or 'built in'})",
            "rename the file",
        )
    if (other := _elsewhere(name, path)) is not None:
        raise _broken(
            f"plugin file `{path}` would hide the module `{name}` ({other}) from whatever imports it later",
            f"rename the file, for instance `my_{name}.py`",
        )
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise _broken(f"plugin file `{path}` is not Python", "give the path of a .py file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _elsewhere(name: str, path: Path) -> str | None:
    """Where Python would find another module with the name of a plugin file; None if there is none."""
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # not a name that can be imported
        return None
    if found is None or found.origin is None:  # none, or a folder without code
        return None
    return None if Path(found.origin).resolve() == path.resolve() else found.origin


def _broken(message: str, help: str) -> SpecError:
    return SpecError([Diagnostic("AS501", message, help=help)], status=2)
