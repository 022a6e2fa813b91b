"""SAR-Net (2110.06475): each scene scales and shifts the features; a gate mixes its experts and shared ones."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from .blocks import Batch, Fields, Inputs, Level, Reference, Tower
from .modulation import batch_norm

SCENES = ("home", "search", "nearby")
INPUTS: Fields = {
    "scene": {"kind": "domain", "values": list(SCENES), "dim": 3},
    "shift": {"kind": "domain", "column": "scene", "values": list(SCENES), "dim": 56},
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "item": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "item", "length": 10, "pool": "mean"},
    "stats": {"kind": "dense", "dim": 8},
}
FEATURES = ("user", "item", "history", "stats")


class Debias(nn.Module):
    """Batch norm, then a linear layer. One row has no variance: it is normed by the running statistics."""

    def __init__(self, width: int, out: int) -> None:
        """Make the norm and the layer."""
        super().__init__()
        self.input_norm = batch_norm(width)
        self.layers = nn.ModuleList([nn.Linear(width, out)])

    def forward(self, x: Tensor) -> Tensor:
        """`[B, width] -> [B, out]`."""
        norm = self.input_norm
        training = self.training and len(x) > 1
        normed = nn.functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, training)
        out: Tensor = self.layers[0](normed)
        return out


class Factors(nn.Module):
    """One factor per feature, linear in the scene's embedding."""

    def __init__(self, width: int) -> None:
        """Make the layer, without a bias."""
        super().__init__()
        self.head = nn.Linear(len(SCENES), width, bias=False)


class Logits(nn.Module):
    """A logit per expert."""

    def __init__(self, width: int, experts: int) -> None:
        """Make the layer."""
        super().__init__()
        self.head = nn.Linear(width, experts)


class Sarnet(Reference):
    """Four shared experts and two of each scene; a row sees the shared ones and its own two."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make the tables, the factors, the experts, the gate and the tower."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        width = self.inputs.width(FEATURES)
        self.feature_gates = nn.ModuleDict({"scaled": Factors(width)})
        experts = {"shared": [Debias(width, 32) for _ in range(4)]}
        experts |= {scene: [Debias(width, 32) for _ in range(2)] for scene in SCENES}
        self.level1 = Level(experts, {"click": Logits(width, 10)})
        self.towers = nn.ModuleDict({"click": Tower(32, [32])})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits, `[B]`; each row's mix by itself."""
        read = self.inputs.read(batch)
        x = torch.cat([read[name] for name in FEATURES], dim=1)
        x = x * cast("Factors", self.feature_gates["scaled"]).head(read["scene"]) + read["shift"]
        shared = self.level1.run("shared", x)
        own = {scene: self.level1.run(scene, x) for scene in SCENES}
        logits = cast("Logits", self.level1.gates["click"]).head(x)
        mixed = torch.zeros_like(shared[0])
        for index, scene in enumerate(SCENES):
            seen = [0, 1, 2, 3, 4 + 2 * index, 5 + 2 * index]
            weights = torch.softmax(logits[:, seen], dim=1)
            experts = torch.stack([*shared, *own[scene]], dim=1)
            of_scene = (weights.unsqueeze(2) * experts).sum(1)
            mixed = torch.where((batch["scene"] == index).unsqueeze(1), of_scene, mixed)
        return {"click": self.towers["click"](mixed)}
