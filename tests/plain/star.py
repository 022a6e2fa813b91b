"""STAR (2101.11427): shared weights times the domain's, partitioned normalisation, an auxiliary network's logit."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from .blocks import Batch, Fields, Inputs, Reference, Tower

if TYPE_CHECKING:
    from collections.abc import Sequence

SCENES = ("home", "search", "nearby")
INPUTS: Fields = {
    "scene": {"kind": "domain", "values": list(SCENES), "dim": 8},
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "item": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "item", "length": 10, "pool": "mean"},
    "stats": {"kind": "dense", "dim": 8},
}
FIELDS = ("user", "item", "history", "stats")


class Own(nn.Module):
    """The weights of each domain: factors, which start at 1, and additions, which start at 0."""

    def __init__(self, *shape: int) -> None:
        """Make one pair per domain."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(len(SCENES), *shape))
        self.bias = nn.Parameter(torch.zeros(len(SCENES), shape[0]))


class StarLinear(nn.Linear):
    """(W_p * W) x + b_p + b for rows of domain p."""

    def __init__(self, width: int, out: int) -> None:
        """Make the shared layer and the domains' own weights."""
        super().__init__(width, out)
        self.domains = Own(out, width)

    def of(self, domain: int, x: Tensor) -> Tensor:
        """Rows of one domain, `[b, width] -> [b, out]`."""
        weight = self.domains.weight[domain] * self.weight
        return nn.functional.linear(x, weight, self.domains.bias[domain] + self.bias)


class PartitionedNorm(nn.Module):
    """Batch normalisation with statistics, factors and additions per domain."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int) -> None:
        """Make shared and own weights, and statistics per domain."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.domains = Own(width)
        self.register_buffer("running_mean", torch.zeros(len(SCENES), width))
        self.register_buffer("running_var", torch.ones(len(SCENES), width))

    def of(self, domain: int, x: Tensor) -> Tensor:
        """Rows of one domain, `[b, width]`, by the module for batch normalisation of that domain."""
        return nn.functional.batch_norm(
            x,
            self.running_mean[domain],
            self.running_var[domain],
            self.weight * self.domains.weight[domain],
            self.bias + self.domains.bias[domain],
            self.training and len(x) > 1,
        )


class StarTower(nn.Module):
    """Normalisation, hidden layers and head, all with a part per domain."""

    def __init__(self, width: int, units: Sequence[int]) -> None:
        """Make the norm, the layers and the head."""
        super().__init__()
        self.norm = PartitionedNorm(width)
        self.layers = nn.ModuleList()
        for unit in units:
            self.layers.append(StarLinear(width, unit))
            width = unit
        self.head = StarLinear(width, 1)

    def forward(self, x: Tensor, scene: Tensor) -> Tensor:
        """Logits `[B]`, domain by domain."""
        logits = torch.zeros_like(x[:, 0])
        for domain in range(len(SCENES)):
            mine = (scene == domain).nonzero().squeeze(1)
            h = self.norm.of(domain, x[mine])
            for layer in cast("list[StarLinear]", self.layers):
                h = torch.relu(layer.of(domain, h))
            logits = logits.index_put((mine,), self.head.of(domain, h).squeeze(1))
        return logits


class Star(Reference):
    """The star's logit plus that of a small network that also reads the scene."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make both networks."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        width = self.inputs.width(FIELDS)
        self.towers = nn.ModuleDict({"main": StarTower(width, [64, 32]), "auxiliary": Tower(8 + width, [16])})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits of both networks and their sum, `[B]`."""
        vectors = self.inputs.read(batch)
        fields = torch.cat([vectors[name] for name in FIELDS], dim=1)
        main = self.towers["main"](fields, batch["scene"])
        auxiliary = self.towers["auxiliary"](torch.cat([vectors["scene"], fields], dim=1))
        return {"main": main, "auxiliary": auxiliary, "click": main + auxiliary}
