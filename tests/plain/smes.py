"""SMES (2602.09386): for each row, experts that the tasks choose together, and one more per task."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import Batch, Fields, Inputs, Level, Mlp, Reference, Tower

INPUTS: Fields = {
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "item": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "item", "length": 10, "pool": "mean"},
    "stats": {"kind": "dense", "dim": 8},
}
TASKS = ("click", "like")
EXPERTS, SHARED, OWN, BALANCE = 16, 2, 1, 0.01


class Router(nn.Module):
    """A logit per expert."""

    def __init__(self, width: int) -> None:
        """Make the layer."""
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(width, EXPERTS, bias=False)])

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `[B, E]`."""
        logits: Tensor = self.layers[0](x)
        return logits


class Smes(Reference):
    """Routers, sixteen experts, a tower per task."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make the routers, the experts and the towers."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        width = self.inputs.width()
        self.level1 = Level({f"route_{task}": [Router(width)] for task in TASKS})
        self.level2 = Level({"pool": [Mlp(width, [32, 32]) for _ in range(EXPERTS)]})
        self.towers = nn.ModuleDict({task: Tower(32, [32]) for task in TASKS})
        self.losses: dict[str, Tensor] = {}

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits per tower, `[B]`; row by row."""
        x = self.inputs.concat(batch)
        experts = torch.stack(self.level2.run("pool", x), dim=1)
        logits = {task: self.level1.run(f"route_{task}", x)[0] for task in TASKS}
        mixed: dict[str, list[Tensor]] = {task: [] for task in TASKS}
        load = torch.zeros(EXPERTS, dtype=x.dtype)
        for row in range(len(x)):
            together = sum(torch.softmax(logits[task][row], dim=0) for task in TASKS)
            assert isinstance(together, Tensor)
            shared = together.argsort(descending=True)[:SHARED].tolist()
            for task in TASKS:
                others = [e for e in logits[task][row].argsort(descending=True).tolist() if e not in shared]
                chosen = [*shared, *others[:OWN]]
                load[chosen] += 1
                mixed[task].append(torch.softmax(logits[task][row][chosen], dim=0) @ experts[row, chosen])
        self.losses = {
            f"level2.gates.{task}": BALANCE
            * EXPERTS / (SHARED + OWN)
            * (load / (len(x) * len(TASKS)) * torch.softmax(logits[task], dim=1).mean(0)).sum() / len(TASKS)
            for task in TASKS
        }  # fmt: skip
        streams = {task: torch.stack(rows) if rows else experts[:, 0] for task, rows in mixed.items()}
        return {task: self.towers[task](streams[task]) for task in TASKS}

    def auxiliary_losses(self) -> dict[str, Tensor]:
        """The loss that the gates add."""
        return self.losses
