"""The methods of the base classes, and which of them a kind overrides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archspec.contract.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable


def overrides(kind: Settings | None, method: Callable[..., Any]) -> bool:
    """Whether a kind overrides a method: `overrides(settings, FusionKind.logits)`."""
    return kind is not None and getattr(type(kind), method.__name__, method) is not method


def methods(base: type[Settings]) -> dict[str, Callable[..., Any]]:
    """The methods of a base class, by name: the ones that archspec may call."""
    found: dict[str, Callable[..., Any]] = {}
    for cls in reversed(base.__mro__):
        if issubclass(cls, Settings):
            own = {name: value for name, value in vars(cls).items() if not name.startswith(("_", "model_"))}
            found |= {name: value for name, value in own.items() if callable(value) and not isinstance(value, type)}
    return found
