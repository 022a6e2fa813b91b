"""Turns emitted source into a class: executes it under a unique name, and recreates it from a pickle."""

from __future__ import annotations

import builtins
import copy
import hashlib
import importlib
import linecache
import pickle  # only for its error classes; nothing is unpickled here
import sys
import weakref
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from archspec import plugins as plugin_door
from archspec.compiler.names import class_name
from archspec.graph.load import load_graph

if TYPE_CHECKING:
    from torch import nn

    from archspec.contract import KindClass, Registry
    from archspec.nn.module import Compiled
    from archspec.spec.spec import Spec

_LIVING: weakref.WeakValueDictionary[Origin, type[Compiled]] = weakref.WeakValueDictionary()
_LOCAL = "modules of classes inside functions"
"""Key in a pickled state."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Where the class of a plugin's kind is defined."""

    module: str
    name: str
    file: str | None


@dataclass(frozen=True, slots=True)
class Origin:
    """Everything needed to create the class of a compiled model, in this process or another one."""

    name: str
    """Name of the module that the source is executed in."""
    source: str
    spec: str
    plugins: tuple[str, ...]
    kinds: tuple[Kind, ...]


def class_of(source: str, spec: Spec) -> type[Compiled]:
    """The class of an emitted source; while it exists, tracebacks, debuggers and `torch.compile` find its source."""
    text = spec.text()
    digest = hashlib.sha256(f"{source}\n{text}".encode()).hexdigest()[:16]
    name = _free(f"archspec_built.{spec.name}_{digest}")
    return _made(Origin(name, source, text, spec.registry.plugins, _kinds(spec.registry)), name, spec)


def again(origin: Origin) -> Compiled:
    """An empty model of a pickled model's class; the class is created if this process does not have it yet.

    Raises:
        UnpicklingError: a plugin cannot be imported here.
    """
    cls = _LIVING.get(origin)
    if cls is None:
        registry = _registry(origin)
        spec = load_graph(origin.spec, None, registry).spec
        cls = _made(origin, _free(origin.name), spec)
    return cls.__new__(cls)


def _made(origin: Origin, name: str, spec: Spec) -> type[Compiled]:
    """Executes a source. Only its models keep the class alive: its module has no reference to it."""
    file = f"<{name}>"
    linecache.cache[file] = (len(origin.source), None, origin.source.splitlines(keepends=True), file)
    module = sys.modules[name] = ModuleType(name)
    module.__file__ = file
    exec(builtins.compile(origin.source, file, "exec"), vars(module))  # noqa: S102 - archspec wrote this source, and a spec's strings are only data in it
    cls: Any = vars(module).pop(class_name(spec.name))
    cls.spec, cls.origin = spec, origin  # losses and parameter groups read `spec`
    cls.__reduce_ex__, cls.__setstate__, cls.__deepcopy__ = _reduce, _set_state, _deep_copy
    weakref.finalize(cls, _forget, name)
    made: type[Compiled] = cls
    _LIVING[origin] = made
    return made


def _free(name: str) -> str:
    """The name, with a number appended while another class uses it."""
    free, count = name, 1
    while free in sys.modules:
        count += 1
        free = f"{name}_{count}"
    return free


def _forget(name: str) -> None:
    sys.modules.pop(name, None)
    linecache.cache.pop(f"<{name}>", None)


# -- plugins ---------------------------------------------------------------------------------------------------------


def _kinds(registry: Registry) -> tuple[Kind, ...]:
    """The classes of plugins in a registry."""
    own = plugin_door.built_in().kinds
    classes = dict.fromkeys(registry.kinds[key] for key in registry.kinds if key not in own)
    return tuple(Kind(cls.__module__, cls.__qualname__, _file(cls.__module__)) for cls in classes)


def _file(module: str) -> str | None:
    return getattr(sys.modules.get(module), "__file__", None)


def _registry(origin: Origin) -> Registry:
    """The kinds that the spec of a pickled model needs."""
    registry = plugin_door.built_in().including([_kind(kind) for kind in origin.kinds])
    return replace(registry, plugins=origin.plugins)


def _kind(kind: Kind) -> KindClass:
    found: Any = sys.modules.get(kind.module)
    try:
        if found is None and kind.file is not None and "." not in kind.module:
            plugin_door.load([kind.file])
        found = importlib.import_module(kind.module)
        for part in kind.name.split("."):
            found = getattr(found, part)
    except Exception as error:
        raise pickle.UnpicklingError(
            f"the model needs the kind {kind.module}.{kind.name}{f' of {kind.file}' if kind.file else ''}, "
            f"which cannot be imported here: {error}"
        ) from error
    cls: KindClass = found
    return cls


# -- copies ----------------------------------------------------------------------------------------------------------


def _reduce(model: Compiled, protocol: int) -> str | tuple[Any, ...]:
    """The pickled form, for `pickle` and `torch.save`: source and state, since no file defines the class."""
    cls = type(model)
    if "origin" not in vars(cls):  # a subclass, which Python imports by its own name
        return object.__reduce_ex__(model, protocol)
    origin: Origin = vars(cls)["origin"]
    for kind in origin.kinds:
        if "<locals>" in kind.name:
            raise pickle.PicklingError(
                f"{cls.__name__} uses the kind {kind.module}.{kind.name}, a class inside a function, which no other "
                "process can import: define it at the top of its module"
            )
    state: dict[str, Any] = model.__getstate__()
    modules = state["_modules"]
    local = {
        name: module
        for name, module in modules.items()
        if not all(_importable(type(part)) for part in module.modules())
    }
    if local:
        state["_modules"] = {name: None if name in local else module for name, module in modules.items()}
        state[_LOCAL] = {name: _contents(module) for name, module in local.items()}
    return again, (origin,), state


def _set_state(model: Compiled, state: dict[str, Any]) -> None:
    """Restores the pickled state; modules whose classes other processes cannot import are built by their kinds."""
    compiled: Any = next(cls for cls in type(model).__mro__ if "origin" in vars(cls))
    local = state.get(_LOCAL, {})
    compiled.__base__.__setstate__(model, {name: value for name, value in state.items() if name != _LOCAL})
    built = compiled.plugin_modules() if local else {}
    for name, contents in local.items():
        _fill(built[name], contents)
        setattr(model, name, built[name])


def _contents(module: nn.Module) -> dict[str, Any]:
    """Tensors and modes of a module, by the names of its parts."""
    parts = dict(module.named_modules(remove_duplicate=False))
    return {name: (part._parameters, part._buffers, part.training) for name, part in parts.items()}  # noqa: SLF001 - they have no public names


def _fill(module: nn.Module, contents: dict[str, Any]) -> None:
    for name, (parameters, buffers, training) in contents.items():
        part = module.get_submodule(name)
        part._parameters.update(parameters)  # noqa: SLF001 - the same
        part._buffers.update(buffers)  # noqa: SLF001
        part.training = training


def _importable(cls: type) -> bool:
    """Whether another process can import the class by its name."""
    found: Any = sys.modules.get(cls.__module__)
    for part in cls.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is cls


def _deep_copy(model: Compiled, memo: dict[int, Any]) -> Compiled:
    """A copy of a model, of the same class."""
    made: Any = type(model).__new__(type(model))
    memo[id(model)] = made
    made.__setstate__(copy.deepcopy(model.__getstate__(), memo))
    copied: Compiled = made
    return copied
