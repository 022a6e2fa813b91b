"""archspec: multi-task and multi-domain recommender networks as short YAML specs.

`load` reads and checks a spec, `build_graph` returns its networkx graph, `compile` its PyTorch module. Importing
archspec does not import pydantic, networkx or torch; each is imported by the first function that needs it.
"""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from archspec.compiler.compile import compile
    from archspec.compiler.inference import for_inference
    from archspec.compiler.tune import tune
    from archspec.contract import (
        BalanceKind,
        ColumnName,
        DomainName,
        ExpertKind,
        FeatureGateKind,
        FusionKind,
        GateKind,
        GroupName,
        InputKind,
        InputName,
        KindError,
        LossKind,
        OutputName,
        Reference,
        Settings,
        TableName,
        TaskKind,
        TowerKind,
        Width,
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
    from archspec.contract.balance_module import BalanceModule
    from archspec.diagnostics import SpecError
    from archspec.graph.export import build_graph
    from archspec.graph.load import load
    from archspec.nn.checkpoint import load_weights, save_weights
    from archspec.nn.tables import load_table
    from archspec.program import GateInputs, Init, Part, Scope, Seen, Value
    from archspec.program.columns import Column
    from archspec.runs.migration import migrate
    from archspec.serving.export import export
    from archspec.serving.load import load_export
    from archspec.spec.spec import Spec
    from archspec.train.criterion import MultiTaskLoss
    from archspec.train.freezing import freeze
    from archspec.train.gates import gate_findings, gate_statistics
    from archspec.train.groups import parameter_groups

__version__ = "0.1.0"
"""The version of this code; pyproject.toml reads it from this line."""

_HOMES = {
    "load": "archspec.graph.load",
    "build_graph": "archspec.graph.export",
    "compile": "archspec.compiler.compile",
    "tune": "archspec.compiler.tune",
    "for_inference": "archspec.compiler.inference",
    "migrate": "archspec.runs.migration",
    "export": "archspec.serving.export",
    "load_export": "archspec.serving.load",
    "MultiTaskLoss": "archspec.train.criterion",
    "parameter_groups": "archspec.train.groups",
    "freeze": "archspec.train.freezing",
    "gate_statistics": "archspec.train.gates",
    "gate_findings": "archspec.train.gates",
    "save_weights": "archspec.nn.checkpoint",
    "load_weights": "archspec.nn.checkpoint",
    "load_table": "archspec.nn.tables",
    "Spec": "archspec.spec.spec",
    "SpecError": "archspec.diagnostics",
    **dict.fromkeys(
        ("BalanceKind", "ColumnName", "DomainName", "ExpertKind", "FeatureGateKind", "FusionKind", "GateKind",
         "GroupName", "InputKind", "InputName", "KindError", "LossKind", "OutputName", "Reference", "Settings",
         "TableName", "TaskKind", "TowerKind", "Width",
         "balance", "expert", "feature_gate", "fusion", "gate", "input", "loss", "task", "tower"),
        "archspec.contract",
    ),
    "BalanceModule": "archspec.contract.balance_module",
    **dict.fromkeys(("GateInputs", "Init", "Part", "Scope", "Seen", "Value"), "archspec.program"),
    "Column": "archspec.program.columns",
}  # fmt: skip

_DEPRECATED: Final[dict[str, tuple[str, str]]] = {}
"""Old public names: the name to use instead, and the version that removes the old one (see docs/api.md)."""

__all__ = [
    "BalanceKind",
    "BalanceModule",
    "Column",
    "ColumnName",
    "DomainName",
    "ExpertKind",
    "FeatureGateKind",
    "FusionKind",
    "GateInputs",
    "GateKind",
    "GroupName",
    "Init",
    "InputKind",
    "InputName",
    "KindError",
    "LossKind",
    "MultiTaskLoss",
    "OutputName",
    "Part",
    "Reference",
    "Scope",
    "Seen",
    "Settings",
    "Spec",
    "SpecError",
    "TableName",
    "TaskKind",
    "TowerKind",
    "Value",
    "Width",
    "__version__",
    "balance",
    "build_graph",
    "compile",
    "expert",
    "export",
    "feature_gate",
    "for_inference",
    "freeze",
    "fusion",
    "gate",
    "gate_findings",
    "gate_statistics",
    "input",
    "load",
    "load_export",
    "load_table",
    "load_weights",
    "loss",
    "migrate",
    "parameter_groups",
    "save_weights",
    "task",
    "tower",
    "tune",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - functions and classes alike
    """Imports a public name from its module when it is first used; a deprecated name warns at each use."""
    if name in _DEPRECATED:
        new, without = _DEPRECATED[name]
        text = f"archspec.{name} is deprecated and will be removed in archspec {without}; use archspec.{new}"
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        name = new
    if name not in _HOMES:
        raise AttributeError(f"module 'archspec' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
