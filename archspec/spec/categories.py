"""The categories of blocks: keys that all kinds of one take, the kind where none is written, the key in `defaults`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.spec.spec import (
    ExpertCommon,
    FeatureGateCommon,
    GateCommon,
    InputCommon,
    NoCommon,
    TowerCommon,
)

if TYPE_CHECKING:
    from archspec.contract.settings import Settings

COMMON: dict[str, type[Settings]] = {
    "input": InputCommon, "expert": ExpertCommon, "gate": GateCommon, "feature_gate": FeatureGateCommon,
    "tower": TowerCommon, "fusion": NoCommon, "loss": NoCommon, "balance": NoCommon,
}  # fmt: skip
DEFAULT_KIND = {"expert": "mlp", "gate": "softmax", "feature_gate": "softmax", "tower": "mlp"}
DEFAULTS = {
    "input": "inputs", "expert": "experts", "gate": "gates", "feature_gate": "feature_gates", "tower": "towers",
    "fusion": "fusion",
}  # fmt: skip
"""Category -> its key under `defaults`."""
