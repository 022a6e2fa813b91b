"""HAMUR (2309.06217): a tower per scene, with an adapter that a shared network generates for each row."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from .blocks import Batch, Fields, Inputs, Reference, Tower

SCENES = ("home", "search", "nearby")
INPUTS: Fields = {
    "scene": {"kind": "domain", "values": list(SCENES)},
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "item": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "item", "length": 10, "pool": "mean"},
    "stats": {"kind": "dense", "dim": 8},
}
K, HIDDEN = 8, 32


class SceneNorm(nn.Module):
    """Batch normalisation per scene."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int) -> None:
        """Make weights and statistics."""
        super().__init__()
        self.weight = nn.Parameter(torch.rand(len(SCENES), width) + 0.5)
        self.bias = nn.Parameter(torch.randn(len(SCENES), width))
        self.register_buffer("running_mean", torch.zeros(len(SCENES), width))
        self.register_buffer("running_var", torch.ones(len(SCENES), width))

    def of(self, scene: int, x: Tensor) -> Tensor:
        """Rows of one scene, `[b, width]`."""
        statistics = self.running_mean[scene], self.running_var[scene]
        weights = self.weight[scene], self.bias[scene]
        return nn.functional.batch_norm(x, *statistics, *weights, self.training and len(x) > 1)


class Product(nn.Module):
    """x U I V + b, with the matrix U I V written out for each row."""

    def __init__(self, width: int, out: int) -> None:
        """Make U and V."""
        super().__init__()
        self.u, self.v = nn.Linear(width, K, bias=False), nn.Linear(K, out)

    def forward(self, x: Tensor, instance: Tensor) -> Tensor:
        """`[B, width], [B, K, K] -> [B, out]`."""
        matrix = torch.einsum("im,bij,nj->bmn", self.u.weight, instance, self.v.weight)
        return torch.einsum("bm,bmn->bn", x, matrix) + self.v.bias


class Adapter(nn.Module):
    """norm(s(h W1 + b1) W2 + b2)."""

    def __init__(self, width: int) -> None:
        """Make both products and the norm."""
        super().__init__()
        self.down, self.up, self.norm = Product(width, HIDDEN), Product(HIDDEN, width), SceneNorm(width)

    def forward(self, h: Tensor, instance: Tensor, scene: int) -> Tensor:
        """`[b, width]` for rows of one scene."""
        return self.norm.of(scene, self.up(torch.sigmoid(self.down(h, instance)), instance))


class Hyper(nn.Module):
    """Computes I from the tower's input."""

    def __init__(self, width: int) -> None:
        """Make the layers."""
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(width, 64)])
        self.head = nn.Linear(64, K * K)

    def forward(self, x: Tensor) -> Tensor:
        """`[b, width] -> [b, K, K]`."""
        return torch.relu(self.head(torch.relu(self.layers[0](x)))).reshape(-1, K, K)


class Towers(nn.Module):
    """A tower per scene, and the shared parts."""

    def __init__(self, width: int) -> None:
        """Make the towers, the shared network and the adapter."""
        super().__init__()
        self.cases = nn.ModuleDict({scene: Tower(width, [64, 32]) for scene in SCENES})
        self.hyper, self.adapters = Hyper(width), nn.ModuleList([Adapter(32)])

    def forward(self, x: Tensor, scene: Tensor) -> Tensor:
        """Logits `[B]`, scene by scene."""
        logits = torch.zeros_like(x[:, 0])
        for number, tower in enumerate(cast("list[Tower]", list(self.cases.values()))):
            mine = (scene == number).nonzero().squeeze(1)
            h = tower.hidden(x[mine])
            h = h + self.adapters[0](h, self.hyper(x[mine]), number)
            logits = logits.index_put((mine,), tower.logits(h))
        return logits


class Hamur(Reference):
    """The towers of one task."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make the tables and the towers."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        self.towers = nn.ModuleDict({"click": Towers(self.inputs.width())})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits, `[B]`."""
        return {"click": self.towers["click"](self.inputs.concat(batch), batch["scene"])}
