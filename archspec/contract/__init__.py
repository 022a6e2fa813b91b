"""What a kind is: settings, references, and the decorators that name a class as a kind of a category.

Lives here: everything that built-in kinds and plugins have in common. May not know any kind, nor torch.
"""

from archspec.contract.reference import ColumnName, DomainName, InputName, OutputName, Reference
from archspec.contract.registry import (
    CATEGORIES,
    KindClass,
    Registry,
    balance,
    expert,
    feature_gate,
    fusion,
    gate,
    input,
    loss,
    tower,
)
from archspec.contract.settings import KindError, Settings, Width

__all__ = [
    "CATEGORIES",
    "ColumnName",
    "DomainName",
    "InputName",
    "KindClass",
    "KindError",
    "OutputName",
    "Reference",
    "Registry",
    "Settings",
    "Width",
    "balance",
    "expert",
    "feature_gate",
    "fusion",
    "gate",
    "input",
    "loss",
    "tower",
]
