"""Kinds of towers: `[B, D] -> [B, H]`, the tower's last hidden vector; archspec adds the head."""

from __future__ import annotations

from typing import ClassVar

from archspec.contract import tower
from archspec.kinds.mlp import Mlp


@tower("mlp")
class MlpTower(Mlp):
    """A multilayer perceptron; without `units` the head reads the tower's input."""

    headed: ClassVar[bool] = True
