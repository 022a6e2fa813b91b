"""Multi-business search ranking at Meituan: ESMM frame, CGC, a field gate and a click tower per business."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import Batch, FieldGate, Fields, Gate, Inputs, Level, Mlp, Reference, Tower, mix, product_logit

BUSINESSES = ("flash", "grocery", "takeaway", "select", "groupbuy")
COMMON = ("user", "query", "item", "history", "stats")
INPUTS: Fields = {
    "business": {"kind": "domain", "values": list(BUSINESSES), "dim": 8},
    "user": {"kind": "sparse", "vocab": 2000, "dim": 16},
    "query": {"kind": "sparse", "vocab": 1500, "dim": 16},
    "item": {"kind": "sparse", "vocab": 1000, "dim": 16},
    "history": {"kind": "sequence", "table": "item", "length": 10, "pool": "mean"},
    "stats": {"kind": "dense", "dim": 8},
    **{f"shop_{business}": {"kind": "sparse", "vocab": 200, "dim": 8} for business in BUSINESSES},
    **{f"numbers_{business}": {"kind": "dense", "dim": 3} for business in BUSINESSES},
    "numbers_takeaway": {"kind": "dense", "dim": 5},
}


class SwitchTower(nn.Module):
    """One tower per business; each row uses that of its business."""

    def __init__(self, cases: dict[str, Tower]) -> None:
        """Hold the towers in the order of the domain's values."""
        super().__init__()
        self.cases = nn.ModuleDict(cases)

    def forward(self, inputs: dict[str, Tensor], business: Tensor) -> Tensor:
        """Logits `[B]`; `inputs` are each business's own, `[B, its width]`, `business` is `[B]`."""
        rows: list[Tensor] = []
        logits: list[Tensor] = []
        for index, (name, tower) in enumerate(self.cases.items()):
            mine = (business == index).nonzero().squeeze(1)
            rows.append(mine)
            logits.append(tower(inputs[name][mine]))
        return torch.cat(logits)[torch.cat(rows).argsort()]


class MeituanSearch(Reference):
    """Fields scaled by business, CGC for ctr and cvr, ctr switched by business, ctcvr their product."""

    INPUTS = INPUTS

    def __init__(self) -> None:
        """Make the field gate, the CGC level and the towers."""
        super().__init__()
        self.inputs = Inputs(INPUTS)
        width = self.inputs.width(COMMON)
        selector = self.inputs.width(["business"]) + width
        self.feature_gates = nn.ModuleDict({f"for_{name}": FieldGate(selector, len(COMMON)) for name in BUSINESSES})
        groups = ("ctr", "cvr", "shared")
        self.level2 = Level(
            {group: [Mlp(width, [64, 32]) for _ in range(2)] for group in groups},
            {"ctr": Gate(width, 4), "cvr": Gate(width, 4)},
        )
        cases = {name: Tower(32 + self.inputs.width(self._profile(name)), [64, 32]) for name in BUSINESSES}
        self.towers = nn.ModuleDict({"ctr": SwitchTower(cases), "cvr": Tower(32, [64, 32])})

    @staticmethod
    def _profile(business: str) -> list[str]:
        """Names of the inputs that only this business's click tower reads."""
        return [f"shop_{business}", f"numbers_{business}"]

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits of ctr, cvr and their product, `[B]`."""
        vectors = self.inputs.read(batch)
        fields = [vectors[name] for name in COMMON]
        selector = torch.cat([vectors["business"], *(field.detach() for field in fields)], dim=1)
        by_business = [self.feature_gates[f"for_{name}"](selector, fields) for name in BUSINESSES]
        scaled = torch.stack(by_business, dim=1)[torch.arange(len(selector)), batch["business"]]

        shared = self.level2.run("shared", scaled)
        ctr = mix(self.level2.gates["ctr"](scaled), self.level2.run("ctr", scaled) + shared)
        cvr = mix(self.level2.gates["cvr"](scaled), self.level2.run("cvr", scaled) + shared)

        own = {
            business: torch.cat([ctr, *(vectors[name] for name in self._profile(business))], dim=1)
            for business in BUSINESSES
        }
        ctr_logit = self.towers["ctr"](own, batch["business"])
        cvr_logit = self.towers["cvr"](cvr)
        return {"ctr": ctr_logit, "cvr": cvr_logit, "ctcvr": product_logit(ctr_logit, cvr_logit)}
