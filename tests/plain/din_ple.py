"""DIN (1706.06978) under PLE: events weighted by an MLP, then two levels of experts and gates."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import Batch, Fields, Gate, Inputs, Level, Mlp, Reference, Tower, mix

INPUTS: Fields = {
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "item": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "cate": {"kind": "sparse", "vocab": 100, "dim": 8},
    "clicks": {"kind": "sequence", "table": "item", "length": 20, "pool": "none"},
    "click_cates": {"kind": "sequence", "table": "cate", "length": 20, "pool": "none"},
}
ROWS = ("user", "item", "cate")
TASKS = ("click", "buy")


class Interest(nn.Module):
    """The sum of a row's events, each weighted by an MLP; computed event by event."""

    def __init__(self, width: int) -> None:
        """Make the hidden layers and the head."""
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4 * width, 32), nn.Linear(32, 16)])
        self.head = nn.Linear(16, 1)

    def forward(self, query: Tensor, events: Tensor, there: Tensor) -> Tensor:
        """`[B, W], [B, T, W], [B, T] -> [B, W]`."""
        rows = []
        for q, row, mask in zip(query, events, there, strict=True):
            total = torch.zeros_like(q)
            for event in row[mask]:
                h = torch.cat([q, event, q - event, q * event])
                for layer in self.layers:
                    h = torch.sigmoid(layer(h))
                total = total + self.head(h) * event
            rows.append(total)
        return torch.stack(rows) if rows else torch.zeros_like(query)


class DinPle(Reference):
    """Attention, two levels, a tower per task."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make the attention, both levels and the towers."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        width = self.inputs.width(ROWS)
        self.blocks = nn.ModuleDict({"interest": Interest(24)})
        width += 24
        names = (*TASKS, "shared")
        self.level1 = Level(
            {name: [Mlp(width, [64, 32]) for _ in range(2)] for name in names},
            {"click": Gate(width, 4), "buy": Gate(width, 4), "shared": Gate(width, 6)},
        )
        self.level2 = Level(
            {name: [Mlp(32, [32]) for _ in range(2)] for name in names}, {task: Gate(32, 4) for task in TASKS}
        )
        self.towers = nn.ModuleDict({task: Tower(32, [16]) for task in TASKS})

    def events(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Item and category of each event side by side (zeros if missing), and which events exist."""
        parts, there = [], []
        for name, table in (("clicks", "item"), ("click_cates", "cate")):
            ids = batch[name]
            there.append(ids >= 0)
            parts.append(self.inputs[table](ids.clamp(min=0)) * there[-1].unsqueeze(-1))
        return torch.cat(parts, dim=2), there[0] | there[1]

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per task, `[B]`."""
        rows = {name: self.inputs.vector(name, batch) for name in ROWS}
        interest = self.blocks["interest"](torch.cat([rows["item"], rows["cate"]], dim=1), *self.events(batch))
        x = torch.cat([*rows.values(), interest], dim=1)
        experts = {name: self.level1.run(name, x) for name in (*TASKS, "shared")}
        streams = {task: mix(self.level1.gates[task](x), experts[task] + experts["shared"]) for task in TASKS}
        every = [expert for group in experts.values() for expert in group]
        streams["shared"] = mix(self.level1.gates["shared"](x), every)
        high = {name: self.level2.run(name, stream) for name, stream in streams.items()}
        logits = {}
        for task in TASKS:
            mixed = mix(self.level2.gates[task](streams[task]), high[task] + high["shared"])
            logits[task] = self.towers[task](mixed)
        return logits
