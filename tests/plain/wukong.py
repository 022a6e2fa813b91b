"""Wukong (2403.02545): three layers of products of fields and of linear combinations of them."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from .blocks import Batch, Fields, Inputs, Reference, Tower

INPUTS: Fields = {
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "item": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "item", "length": 10, "pool": "mean"},
    "scene": {"kind": "domain", "values": ["home", "search", "nearby"], "dim": 16},
    "price": {"kind": "numeric", "dim": 16},
}
WIDTH, PRODUCTS, COMPRESSED, RANK = 16, 8, 8, 8
TASKS = ("click", "buy")


class Residual(nn.Module):
    """W_R X, with a bias per new field."""

    def __init__(self, count: int) -> None:
        """Make the weight and the bias."""
        super().__init__()
        self.weight = nn.Parameter(torch.randn(PRODUCTS + COMPRESSED, count))
        self.bias = nn.Parameter(torch.randn(PRODUCTS + COMPRESSED))


class WukongLayer(nn.Module):
    """LN([FMB; LCB] + residual)."""

    def __init__(self, count: int) -> None:
        """Make the parts for `count` fields."""
        super().__init__()
        self.y = nn.Parameter(torch.randn(count, RANK))
        self.compress = nn.Parameter(torch.randn(COMPRESSED, count))
        self.norms = nn.ModuleList([nn.LayerNorm(count * RANK), nn.LayerNorm(WIDTH)])
        widths = (count * RANK, 32, 32, PRODUCTS * WIDTH)
        self.mlp = nn.ModuleList([nn.Linear(a, b) for a, b in itertools.pairwise(widths)])
        self.residual = Residual(count) if count != PRODUCTS + COMPRESSED else None

    def forward(self, x: Tensor) -> Tensor:
        """`[B, count, 16] -> [B, 16, 16]`, all pairs of fields multiplied."""
        pairs = torch.einsum("bid,bjd->bij", x, x)
        h = self.norms[0](torch.einsum("bij,jk->bik", pairs, self.y).flatten(1))
        for layer in self.mlp:
            h = torch.relu(layer(h))
        made = torch.cat([h.reshape(-1, PRODUCTS, WIDTH), torch.einsum("ci,bid->bcd", self.compress, x)], dim=1)
        if self.residual is not None:
            x = torch.einsum("mi,bid->bmd", self.residual.weight, x) + self.residual.bias.unsqueeze(1)
        out: Tensor = self.norms[1](made + x)
        return out


class Crossed(nn.Module):
    """Three layers."""

    def __init__(self) -> None:
        """Make the layers, on five fields."""
        super().__init__()
        self.layers = nn.ModuleList([WukongLayer(5), WukongLayer(16), WukongLayer(16)])

    def forward(self, x: Tensor) -> Tensor:
        """`[B, 5, 16] -> [B, 256]`."""
        for layer in self.layers:
            x = layer(x)
        return x.reshape(-1, 256)


class Number(nn.Module):
    """w x + b."""

    def __init__(self) -> None:
        """Make the weight and the bias."""
        super().__init__()
        self.linear = nn.Linear(1, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """`[B] -> [B, 16]`."""
        vector: Tensor = self.linear(x.reshape(-1, 1))
        return vector


class Wukong(Reference):
    """The block under a tower per task."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make the tables, the block and the towers."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        self.inputs["price"] = Number()
        self.blocks = nn.ModuleDict({"crossed": Crossed()})
        self.towers = nn.ModuleDict({task: Tower(256, [32]) for task in TASKS})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per task, `[B]`."""
        fields = [self.inputs.vector(name, batch) for name in ("user", "item", "history", "scene", "price")]
        crossed: Tensor = self.blocks["crossed"](torch.stack(fields, dim=1))
        return {task: self.towers[task](crossed) for task in TASKS}
