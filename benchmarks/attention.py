"""Target attention over event lists (DIN), from ids to one logit: as a spec, by hand, and in other libraries."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

import archspec
from benchmarks.report import Bar, Section, ms, quick, show
from benchmarks.timing import interleaved

if TYPE_CHECKING:
    from collections.abc import Callable

VOCAB, DIM, UNITS = 10_000, 32, (64, 16)
ARCHSPEC, BY_HAND, RECHUB, FUXICTR = "archspec", "by hand", "torch-rechub", "FuxiCTR"
SPEC = f"""
archspec: 1
name: din
inputs:
  item: {{kind: sparse, vocab: {VOCAB}, dim: {DIM}}}
  clicks: {{kind: sequence, table: item, length: LENGTH, pool: none}}
blocks:
  interest: {{kind: target_attention, from: clicks, query: item, units: {list(UNITS)}}}
tasks: {{click: {{}}}}
towers: {{click: {{from: [item, interest]}}}}
"""

Batch = dict[str, Tensor]


class ByHand(nn.Module):
    """The usual form in libraries: query and events side by side, four times as wide, through one network.

    `attention` is a library's own layer, called with query, events and mask; without it, the layer's code is here.
    """

    def __init__(self, attention: nn.Module | None = None) -> None:
        super().__init__()
        self.table = nn.Embedding(VOCAB, DIM)
        sizes = (4 * DIM, *UNITS)
        layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.Sigmoid())]
        self.network = nn.Sequential(*layers, nn.Linear(UNITS[-1], 1))
        self.attention = attention
        self.head = nn.Linear(2 * DIM, 1)

    def forward(self, batch: Batch) -> Tensor:
        """`[B]`."""
        query, events = self.table(batch["item"]), self.table(batch["clicks"].clamp_min(0))
        mask = batch["clicks"] >= 0
        attend = self.attended if self.attention is None else self.attention
        return self.head(torch.cat([query, attend(query, events, mask)], dim=-1)).squeeze(-1)

    def attended(self, query: Tensor, events: Tensor, mask: Tensor) -> Tensor:
        """`[B, D]`."""
        wide = query.unsqueeze(1).expand_as(events)
        scores = self.network(torch.cat([wide, events, wide - events, wide * events], dim=-1)).squeeze(-1)
        return ((scores * mask).unsqueeze(-1) * events).sum(dim=1)


def rechub() -> nn.Module | None:
    """torch-rechub's layer, which has a batch norm after every linear layer and no mask; None if not installed."""
    try:
        from torch_rechub.models.ranking.din import ActivationUnit
    except ImportError:
        return None

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unit = ActivationUnit(DIM, dims=list(UNITS), activation="sigmoid")

        def forward(self, query: Tensor, events: Tensor, _: Tensor) -> Tensor:
            pooled: Tensor = self.unit(events, query)
            return pooled

    return Layer()


def fuxictr() -> nn.Module | None:
    """FuxiCTR's layer; None if not installed."""
    try:
        from fuxictr.pytorch.layers.attentions.target_attention import DIN_Attention
    except ImportError:
        return None
    layer: nn.Module = DIN_Attention(DIM, attention_units=list(UNITS), hidden_activations="Sigmoid")
    return layer


def contenders(length: int) -> dict[str, nn.Module]:
    """The models; those of the same form have the same weights, and their outputs were checked to be equal."""
    spec = archspec.load(SPEC.replace("LENGTH", str(length)))
    models: dict[str, nn.Module] = {ARCHSPEC: archspec.compile(spec, seed=0), BY_HAND: ByHand()}
    own = dict(models[BY_HAND].named_parameters())
    places = {"table": "inputs.item", "head": "towers.click.head", "network.4": "blocks.interest.head"}
    places |= {f"network.{2 * i}": f"blocks.interest.layers.{i}" for i in range(len(UNITS))}
    names = {f"{new}.{part}": own[key] for old, new in places.items() for part in ("weight", "bias")
             if (key := f"{old}.{part}") in own}  # fmt: skip
    models[ARCHSPEC].load_weights(names)  # type: ignore[operator] # a compiled model has it
    for name, layer in ((RECHUB, rechub()), (FUXICTR, fuxictr())):
        if layer is not None:
            models[name] = ByHand(layer)
    batch = draw(64, length)
    torch.testing.assert_close(logit(models[ARCHSPEC], batch), logit(models[BY_HAND], batch), rtol=1e-4, atol=1e-4)
    return models


def draw(rows: int, length: int) -> Batch:
    """Random ids; lists are half full on average."""
    generator = torch.Generator().manual_seed(rows)
    clicks = torch.randint(0, VOCAB, (rows, length), generator=generator)
    full = torch.randint(0, length + 1, (rows, 1), generator=generator)
    clicks[torch.arange(length) >= full] = -1
    return {"item": torch.randint(0, VOCAB, (rows,), generator=generator), "clicks": clicks}


def logit(model: nn.Module, batch: Batch) -> Tensor:
    """`[B]`."""
    found: Tensor | Batch = model(batch)
    return found if isinstance(found, Tensor) else found["click"]


def infer(model: nn.Module, batch: Batch) -> Callable[[], None]:
    """A forward pass without gradients."""

    def run() -> None:
        model.eval()
        with torch.no_grad():
            logit(model, batch)

    return run


def train(model: nn.Module, batch: Batch) -> Callable[[], None]:
    """Forward and backward."""

    def run() -> None:
        model.train()
        model.zero_grad(set_to_none=True)
        logit(model, batch).sum().backward()  # type: ignore[no-untyped-call] # torch leaves it untyped

    return run


def section(seconds: float) -> Section:
    """The table and the bar: never slower than the fastest other form."""
    rows, ratios, names = [], [], [ARCHSPEC, BY_HAND]
    for length in (50, 200):
        models = contenders(length)
        names = list(models)
        for size in (256, 2048):
            batch = draw(size, length)
            for mode, work in (("infer", infer), ("train", train)):
                found = interleaved({name: work(model, batch) for name, model in models.items()}, seconds)
                best = min(timing.median for name, timing in found.items() if name != ARCHSPEC)
                cells = [f"{ms(found[name].median)} ({best / found[name].median:.2f})" for name in models]
                rows.append((str(length), str(size), mode, f"**{cells[0]}**", *cells[1:]))
                ratios.append(best / found[ARCHSPEC].median)
    about = (
        f"DIN's attention over a list of L events, from ids to one logit: a table of {VOCAB:,} rows of {DIM},\n"
        f"attention units {list(UNITS)} with sigmoid, weights without softmax, float32, eager; `train` is\n"
        "forward and backward.\n"
        "Milliseconds, medians; in parentheses how many times faster than the fastest other. `by hand` puts query and\n"
        "events side by side, [q, e, q - e, q * e]; torch-rechub's layer has batch norms and no mask."
    )
    bar = Bar("attention over events: times the fastest other, the worst cell", 1.0, min(ratios))
    return Section("Attention over events", about, ("L", "B", "mode", *names), tuple(rows), (bar,))


if __name__ == "__main__":
    show(section(0.1 if quick() else 0.5))
