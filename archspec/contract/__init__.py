"""The contract of kinds: settings, references, and the decorators that register a class as a kind of a category.

This package contains everything that built-in kinds and plugins have in common. It must not know any kind, or torch.
"""

from archspec.contract.input_kinds import InputKind
from archspec.contract.kind import Kind
from archspec.contract.kinds import CATEGORIES, Category, ExpertKind, FeatureGateKind, FusionKind, GateKind, TowerKind
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
from archspec.contract.training_kinds import BalanceKind, LossKind, TaskKind, selects_rows

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
    "selects_rows",
    "task",
    "tower",
]
