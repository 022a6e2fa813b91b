"""Statistics of gates over data: the mean and spread of every expert's weight, and what looks wrong about them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from archspec.graph.load import graph_of
from archspec.nn.wrapped import unwrapped
from archspec.train.distributed import total
from archspec.train.weights import spec_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from archspec.spec.spec import Spec

UNUSED = 0.01
"""An expert is unused if its mean weight is below this in every gate that sees it."""
COLLAPSED = 0.99
"""A gate has collapsed to one expert if that expert's mean weight is above this."""
ALIKE = 0.01
"""Gates do not distinguish tasks if mean and spread differ by less than this for every expert."""


@dataclass(frozen=True, slots=True)
class GateStatistics:
    """A gate over data: mean and standard deviation (over rows) of the weight of each expert that it sees.

    `kind` is the gate's kind, such as `softmax`; empty if it is not known.
    """

    gate: str
    experts: tuple[str, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    rows: int
    kind: str = ""


def gate_statistics(
    model: nn.Module, batches: Iterable[Mapping[str, Tensor]], spec: Spec | None = None
) -> tuple[GateStatistics, ...]:
    """Mean and standard deviation of every gate's weights over the rows of all batches (PLE's paper, figure 7).

    Switches the model to evaluation mode, and back afterwards.

    Args:
        model: a compiled model, wrapped or not.
        batches: batches for the model, with any number of rows each.
        spec: the model's spec, if the model comes from a built file.

    Raises:
        TypeError: the model is not a compiled model, or does not know its spec and none is given.
        ValueError: the batches contain no rows.
    """
    spec = spec_of(model) if spec is None else spec
    inner: Any = unwrapped(model)
    if spec is None:
        raise TypeError(f"{type(inner).__name__} comes from a built file, which contains no spec: pass the spec, too")
    sums, training = GateSums(), inner.training
    inner.eval()
    try:
        for batch in batches:
            sums.add(inner.gate_weights(batch), len(next(iter(batch.values()))))
    finally:
        inner.train(training)
    return sums.statistics(spec)


class GateSums:
    """Sums of every gate's weights, and of their squares, over rows: `[2, E]` per gate, in float64."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.rows = 0

    def add(self, gates: Mapping[str, Tensor], rows: int) -> None:
        """Adds the gates' weights of a batch, `[B, E]`; those of a static gate, `[E]`, count once per row."""
        self.rows += rows
        for gate, weights in gates.items():
            weights_BE = weights.detach().double().expand(rows, weights.shape[-1])
            both = torch.stack([weights_BE.sum(0), weights_BE.square().sum(0)])
            self.sums[gate] = self.sums[gate] + both if gate in self.sums else both

    def everywhere(self) -> GateSums:
        """The sums over all processes. A collective call: all processes must make it, and have the same gates."""
        found = GateSums()
        found.sums = {gate: total(both) for gate, both in self.sums.items()}
        device = next(iter(self.sums.values())).device if self.sums else None
        found.rows = int(total(torch.tensor(self.rows, device=device)))
        return found

    def statistics(self, spec: Spec) -> tuple[GateStatistics, ...]:
        """Mean and standard deviation of each expert's weight in every gate.

        Raises:
            ValueError: no row was added.
        """
        if not self.rows:
            raise ValueError("the batches contain no rows, so there are no statistics of gates")
        graph = graph_of(spec)
        found = []
        for gate, both in self.sums.items():
            means, squares = both.cpu() / self.rows
            deviations = (squares - means.square()).clamp_min(0).sqrt()
            experts = tuple(expert.node for expert in graph.seen[gate])
            values = tuple(means.tolist()), tuple(deviations.tolist())
            found.append(GateStatistics(gate, experts, *values, self.rows, graph.nodes[gate].kind))
        return tuple(found)


def gate_findings(statistics: Iterable[GateStatistics]) -> tuple[str, ...]:
    """Problems, one sentence each: an unused expert, a collapsed gate, gates that do not differ between tasks."""
    gates = tuple(statistics)
    highest: dict[str, float] = {}
    for gate in gates:
        for expert, weight in zip(gate.experts, gate.means, strict=True):
            highest[expert] = max(abs(weight), highest.get(expert, 0.0))
    found = [
        f"no gate uses {expert}: its highest mean weight is {w:.4f}" for expert, w in highest.items() if w < UNUSED
    ]
    for gate in gates:
        best = gate.means.index(max(gate.means))
        if len(gate.experts) > 1 and gate.means[best] > COLLAPSED and sum(map(abs, gate.means)) < 1 / COLLAPSED:
            found.append(f"{gate.gate} has collapsed: {gate.experts[best]} has a mean weight of {gate.means[best]:.4f}")
    found += [f"{a.gate} and {b.gate} do not differ" for a, b in combinations(gates, 2) if _alike(a, b)]
    return tuple(found)


def _alike(a: GateStatistics, b: GateStatistics) -> bool:
    if a.experts != b.experts or len(a.experts) == 1:
        return False
    pairs = zip((*a.means, *a.deviations), (*b.means, *b.deviations), strict=True)
    return all(abs(left - right) < ALIKE for left, right in pairs)
