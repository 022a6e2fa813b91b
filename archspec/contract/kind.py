"""The base class of all categories' base classes."""

from __future__ import annotations

from typing import ClassVar

from archspec.contract.settings import Settings


class NoCommon(Settings):
    """For a category whose kinds define all keys."""


class Kind(Settings):
    """The common base of the base classes of all categories."""

    common: ClassVar[type[Settings]] = NoCommon
    """The keys that all blocks of the category have, next to `kind`: no setting of a kind can have their names."""
