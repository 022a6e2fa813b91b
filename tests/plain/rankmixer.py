"""RankMixer (2507.15551): four tokens, two layers; heads are exchanged number by number, tokens run one by one."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from .blocks import Batch, Fields, Inputs, Reference, Tower

INPUTS: Fields = {
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "item": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "item", "length": 10, "pool": "mean"},
    "scene": {"kind": "domain", "values": ["home", "search", "nearby"], "dim": 8},
    "stats": {"kind": "dense", "dim": 8},
}
D, T, K = 32, 4, 4
TASKS = ("finish", "like")


class Stack(nn.Module):
    """A linear layer per token."""

    def __init__(self, width: int, out: int) -> None:
        """Make the matrices and the biases."""
        super().__init__()
        self.weight = nn.Parameter(torch.randn(T, out, width) / width**0.5)
        self.bias = nn.Parameter(torch.randn(T, out))


class MixerLayer(nn.Module):
    """LN(mixed + X), then LN(S + FFN_t(S))."""

    def __init__(self) -> None:
        """Make the norms and the tokens' own layers."""
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(D), nn.LayerNorm(D)])
        self.up, self.down = Stack(D, K * D), Stack(K * D, D)

    def forward(self, tokens: list[Tensor]) -> list[Tensor]:
        """T times `[B, D]`."""
        size = D // T
        made = []
        for t, token in enumerate(tokens):
            heads = torch.cat([other[:, t * size : (t + 1) * size] for other in tokens], dim=1)
            s = self.norms[0](heads + token)
            inner = nn.functional.gelu(s @ self.up.weight[t].T + self.up.bias[t])
            made.append(self.norms[1](inner @ self.down.weight[t].T + self.down.bias[t] + s))
        return made


class Mixer(nn.Module):
    """A projection per field, two layers, the mean."""

    def __init__(self) -> None:
        """Make the projections and the layers; every field is 16 wide."""
        super().__init__()
        self.tokens = nn.ModuleList([nn.Linear(16, D) for _ in range(T)])
        self.layers = nn.ModuleList([MixerLayer() for _ in range(2)])

    def forward(self, fields: list[Tensor]) -> Tensor:
        """T times `[B, 16]` to `[B, D]`."""
        tokens = [project(field) for project, field in zip(self.tokens, fields, strict=True)]
        for layer in cast("list[MixerLayer]", list(self.layers)):
            tokens = layer(tokens)
        return torch.stack(tokens).mean(dim=0)


class Rankmixer(Reference):
    """The mixer under a tower per task."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make the tables, the mixer and the towers."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        self.blocks = nn.ModuleDict({"mixer": Mixer()})
        self.towers = nn.ModuleDict({task: Tower(D, [32]) for task in TASKS})

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per task, `[B]`."""
        read = self.inputs.read(batch)
        context = torch.cat([read["scene"], read["stats"]], dim=1)
        mixed: Tensor = self.blocks["mixer"]([read["user"], read["item"], read["history"], context])
        return {task: self.towers[task](mixed) for task in TASKS}
