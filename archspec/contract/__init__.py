"""The contract of kinds: settings, references, and the decorators that register a class as a kind of a category.

This package contains everything that built-in kinds and plugins have in common. It must not know any kind, or torch.
"""

from archspec.contract.kinds import (
    CATEGORIES,
    BalanceKind,
    Category,
    ExpertKind,
    FeatureGateKind,
    FusionKind,
    GateKind,
    InputKind,
    Kind,
    LossKind,
    TaskKind,
    TowerKind,
)
from archspec.contract.methods import overrides
from archspec.contract.reference import ColumnName, DomainName, GroupName, InputName, OutputName, Reference, TableName
from archspec.contract.registry import (
    KindClass,
    Registry,
    balance,
    expert,
    feature_gate,
    fusion,
    gate,
    input,
    loss,
    task,
    tower,
)
from archspec.contract.settings import KindError, Settings, Width
from archspec.contract.tasks import Task

__all__ = [
    "CATEGORIES",
    "BalanceKind",
    "Category",
    "ColumnName",
    "DomainName",
    "ExpertKind",
    "FeatureGateKind",
    "FusionKind",
    "GateKind",
    "GroupName",
    "InputKind",
    "InputName",
    "Kind",
    "KindClass",
    "KindError",
    "LossKind",
    "OutputName",
    "Reference",
    "Registry",
    "Settings",
    "TableName",
    "Task",
    "TaskKind",
    "TowerKind",
    "Width",
    "balance",
    "expert",
    "feature_gate",
    "fusion",
    "gate",
    "input",
    "loss",
    "overrides",
    "task",
    "tower",
]
