"""The one door through which kinds come: built-ins, plugin files, installed packages, classes of a notebook.

Trust comes from the caller, never from a spec: only what is passed to `load` is imported.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from archspec.contract import KindClass, Registry
from archspec.contract.registry import marked_classes, marks
from archspec.diagnostics import Diagnostic, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable

BUILT_IN = tuple(
    f"archspec.kinds.{name}"
    for name in ("inputs", "experts", "gates", "feature_gates", "towers", "fusion", "losses", "balance")
)
ENTRY_POINTS = "archspec.plugins"

Plugin = str | os.PathLike[str] | ModuleType | KindClass
"""A file, the name of an installed plugin or package, a module, or a class that a decorator marked."""


@functools.cache
def built_in() -> Registry:
    """The kinds that archspec ships."""
    registry = Registry()
    for name in BUILT_IN:
        registry = registry.including(marked_classes(vars(importlib.import_module(name))))
    return registry


def load(plugins: Iterable[Plugin] = ()) -> Registry:
    """The built-in kinds and those of the given plugins. Imports exactly the plugins given.

    Raises:
        SpecError: a plugin that is missing, broken, without a kind, or that names a kind twice.
    """
    registry = built_in()
    for plugin in plugins:
        if isinstance(plugin, type):
            registry = _including(registry, [plugin] if marks(plugin) else [], plugin.__name__)
        else:
            module = plugin if isinstance(plugin, ModuleType) else _import(os.fspath(plugin))
            name = module.__name__.rpartition(".")[2]
            registry = _including(registry, list(marked_classes(vars(module))), name)
    return registry


def _including(registry: Registry, classes: list[KindClass], name: str) -> Registry:
    if not classes:
        raise _broken(
            f"plugin `{name}` defines no kind", "mark a Settings class with a decorator such as @archspec.expert"
        )
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
            raise _broken(f"plugin `{plugin}` needs the module `{error.name}`", "install it") from error
        raise _broken(
            f"there is no plugin `{plugin}`", f"give the path of a file, such as `./{plugin}.py`, or install it"
        ) from error
    except (Exception, SystemExit) as error:
        raise _broken(
            f"plugin `{plugin}` cannot be imported: {type(error).__name__}: {error}", "run it alone to see why"
        ) from error


def _entry_point(name: str) -> str | None:
    from importlib.metadata import entry_points

    return next((entry.module for entry in entry_points(group=ENTRY_POINTS, name=name)), None)


def _import_file(path: Path) -> ModuleType:
    """Imports a plugin file under its own stem, as the emitted file of a spec that uses it does."""
    if not path.is_file():
        raise _broken(f"plugin file `{path}` does not exist", "give the path of a Python file")
    name, found = path.stem, sys.modules.get(path.stem)
    if found is not None:
        if found.__file__ and Path(found.__file__).resolve() == path.resolve():
            return found
        raise _broken(f"plugin file `{path}`: a module `{name}` is already imported from elsewhere", "rename the file")
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


def _broken(message: str, help: str) -> SpecError:
    return SpecError([Diagnostic("AS501", message, help=help)], status=2)
