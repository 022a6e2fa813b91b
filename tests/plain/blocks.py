"""Building blocks of the hand-written reference models: plain layers, loops over experts, nothing clever.

Nothing here imports archspec: these modules are what archspec is compared with. Attribute names are chosen so
that `state_dict()` has the canonical weight names. Shape letters: `B` rows, `D` input width, `H` expert width,
`E` experts seen, `L` sequence length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

Batch = Mapping[str, Tensor]
"""A batch: column name -> tensor with `B` rows."""

Fields = Mapping[str, Mapping[str, Any]]
"""What a batch holds: input name -> its kind and settings, as in the canonical `inputs` section of a spec."""

Tasks = Mapping[str, int]
"""Task name -> number of classes; 1 for binary and regression."""


class Inputs(nn.ModuleDict):
    """The embedding tables of a model; converts a batch to one vector per input."""

    def __init__(self, fields: Fields) -> None:
        """Make one table per input with its own vocabulary (for a domain: with a width)."""
        super().__init__()
        self.fields = fields
        for name, field in fields.items():
            if "vocab" in field:
                self[name] = nn.Embedding(field["vocab"], field["dim"])
            elif field["kind"] == "domain" and field.get("dim"):
                self[name] = nn.Embedding(len(field["values"]), field["dim"])

    def width(self, names: Sequence[str] | None = None) -> int:
        """Width of the concatenation of the named inputs (all of them by default)."""
        return sum(self._width_of(name) for name in (self.fields if names is None else names))

    def _width_of(self, name: str) -> int:
        """Width of one input: its own `dim`, or that of the input whose table it shares."""
        field = self.fields[name]
        return int(self.fields[field["table"]]["dim"] if "table" in field else field.get("dim", 0))

    def read(self, batch: Batch) -> dict[str, Tensor]:
        """Read every input that has a width, `[B, its width]` each, in declared order."""
        return {name: self.vector(name, batch) for name in self.fields if self._width_of(name)}

    def concat(self, batch: Batch) -> Tensor:
        """All inputs side by side, `[B, D]`."""
        return torch.cat(list(self.read(batch).values()), dim=1)

    def vector(self, name: str, batch: Batch) -> Tensor:
        """Read one input, `[B, its width]`."""
        field = self.fields[name]
        column = batch[field.get("column", name)]
        if field["kind"] == "dense":
            return column.reshape(-1, field["dim"])
        table = self[field.get("table", name)]
        if field["kind"] == "sequence":
            weights = batch[field["weights"]] if field.get("weights") else None
            return pool(table(column.clamp(min=0)), column >= 0, field["pool"], weights)
        vector: Tensor = table(column)
        return vector


def pool(vectors_BLD: Tensor, valid_BL: Tensor, how: str, weights_BL: Tensor | None = None) -> Tensor:
    """Mean, sum, maximum or last of the valid positions of each row, `[B, D]`; zeros if a row has none.

    With weights the mean or sum is weighted; the mean of a row whose weights sum to zero is zero.
    """
    valid = valid_BL.unsqueeze(-1)
    if weights_BL is not None:
        weighted = [
            sum((w * v for v, w in zip(vectors[ok], weights[ok], strict=True)), torch.zeros_like(vectors[0]))
            for vectors, ok, weights in zip(vectors_BLD, valid_BL, weights_BL, strict=True)
        ]
        sums = [weights[ok].sum() for ok, weights in zip(valid_BL, weights_BL, strict=True)]
        if how == "mean":
            weighted = [row / s if s != 0 else torch.zeros_like(row) for row, s in zip(weighted, sums, strict=True)]
        return torch.stack(weighted)
    if how == "last":
        rows = zip(vectors_BLD, valid_BL, strict=True)
        return torch.stack([v[ok][-1] if ok.any() else v.new_zeros(v.shape[1]) for v, ok in rows])
    if how == "max":
        highest = vectors_BLD.masked_fill(~valid, -torch.inf).amax(dim=1)
        return highest.masked_fill(~valid.any(dim=1), 0.0)
    total = vectors_BLD.masked_fill(~valid, 0.0).sum(dim=1)
    if how == "sum":
        return total
    return total / valid.sum(dim=1).clamp(min=1)


class Reference(nn.Module):
    """A reference model: the inputs of its batch, its tables and its towers."""

    INPUTS: ClassVar[Fields]
    inputs: Inputs
    towers: nn.ModuleDict

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Raw logits or values of every tower, and of every fusion that is a task, `[B]` or `[B, classes]`."""
        raise NotImplementedError


class Mlp(nn.Module):
    """Hidden layers, each linear, norm, ReLU, dropout: an expert, or the body of a tower or of a gate."""

    def __init__(self, width: int, units: Sequence[int], *, norm: str = "none", dropout: float = 0.0) -> None:
        """Make layers of `units` on an input of `width`; `norm` is `none`, `batch` or `layer`."""
        super().__init__()
        self.layers = nn.ModuleList()
        self.norms = nn.ModuleList()
        self.width = width
        for unit in units:
            self.layers.append(nn.Linear(self.width, unit))
            if norm != "none":
                self.norms.append(nn.BatchNorm1d(unit) if norm == "batch" else nn.LayerNorm(unit))
            self.width = unit
        self.dropout = nn.Dropout(dropout)

    def hidden(self, x: Tensor) -> Tensor:
        """Output of the last hidden layer, `[B, units[-1]]`."""
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if self.norms:
                x = self.norms[index](x)
            x = self.dropout(torch.relu(x))
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Output of the block, `[B, units[-1]]`."""
        return self.hidden(x)


class Tower(Mlp):
    """An MLP and a linear head to the logits of one output."""

    def __init__(self, width: int, units: Sequence[int], classes: int = 1) -> None:
        """Make the hidden layers and a head with a bias."""
        super().__init__(width, units)
        self.head = nn.Linear(self.width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `[B]` or `[B, classes]`."""
        return self.logits(self.hidden(x))

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits from the last hidden vector, for towers whose hidden vector other towers read."""
        logits: Tensor = self.head(hidden)
        return logits.squeeze(1) if self.head.out_features == 1 else logits


class Cases(nn.Module):
    """A tower per scene, each with a stream of its own; a row takes the logit of its scene."""

    def __init__(self, towers: Mapping[str, nn.Module]) -> None:
        """Hold the towers as `cases.<scene>`, in the order of the scenes' numbers."""
        super().__init__()
        self.cases = nn.ModuleDict(dict(towers))

    def forward(self, scene: Tensor, streams: Sequence[Tensor]) -> Tensor:
        """Each row's own scene's logit, `[B]`."""
        logits = [tower(stream) for tower, stream in zip(self.cases.values(), streams, strict=True)]
        return torch.stack(logits, dim=1)[torch.arange(len(scene)), scene]


class Gate(Mlp):
    """softmax(W h(x)): one weight per expert seen, `[B, E]`; h has no layers unless `units` says so."""

    def __init__(self, width: int, experts: int, units: Sequence[int] = (), *, bias: bool = False) -> None:
        """Make the hidden layers (with biases) and the head (without one unless `bias`)."""
        super().__init__(width, units)
        self.head = nn.Linear(self.width, experts, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Weights of the experts, `[B, E]`, each row sums to 1."""
        return torch.softmax(self.head(self.hidden(x)), dim=1)


class StaticGate(nn.Module):
    """Learned weights that depend on no input and are not normalised."""

    def __init__(self, start: Sequence[float]) -> None:
        """Start from the given weights, one per expert seen."""
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(list(start)))

    def forward(self, rows: int) -> Tensor:
        """Give the same weights for every row, `[B, E]`."""
        return self.weight.expand(rows, -1)


class FieldGate(nn.Module):
    """softmax(W x): a weight per field, times the number of fields so that equal weights change nothing."""

    def __init__(self, width: int, fields: int) -> None:
        """Make the layer from a selector of `width` to one logit per field, without a bias."""
        super().__init__()
        self.head = nn.Linear(width, fields, bias=False)

    def forward(self, selector: Tensor, fields: Sequence[Tensor]) -> Tensor:
        """Fields times their weights, side by side, `[B, sum of their widths]`."""
        weights_BF = torch.softmax(self.head(selector), dim=1) * len(fields)
        return torch.cat([weights_BF[:, i : i + 1] * field for i, field in enumerate(fields)], dim=1)


class Level(nn.Module):
    """One extraction level: named groups of experts, named gates. The model decides who reads what."""

    def __init__(
        self, experts: Mapping[str, Sequence[nn.Module]], gates: Mapping[str, nn.Module] | None = None
    ) -> None:
        """Hold experts as `experts.<group>.<index>` and gates as `gates.<name>`."""
        super().__init__()
        self.experts = nn.ModuleDict({group: nn.ModuleList(members) for group, members in experts.items()})
        self.gates = nn.ModuleDict(dict(gates or {}))

    def run(self, group: str, x: Tensor) -> list[Tensor]:
        """Outputs of all experts of a group on one input, `[B, H]` each."""
        return [expert(x) for expert in cast("nn.ModuleList", self.experts[group])]


def mix(weights_BE: Tensor, experts: Sequence[Tensor]) -> Tensor:
    """sum_i w_i E_i(x), `[B, H]`."""
    total = torch.zeros_like(experts[0])
    for index, expert in enumerate(experts):
        total = total + weights_BE[:, index : index + 1] * expert
    return total


def product_logit(a: Tensor, b: Tensor) -> Tensor:
    """Logit of s(a) s(b), from 1 / (s(a) s(b)) = 1 + exp(-a) + exp(-b) + exp(-a-b)."""
    return -torch.logsumexp(torch.stack([-a, -b, -a - b]), dim=0)
