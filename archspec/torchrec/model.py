"""The model of a spec whose tables TorchRec holds."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from archspec.kinds.inputs import Sequence
from archspec.nn.checks import check_beside, check_columns
from archspec.torchrec.lookups import BAGS, FROZEN, collections, features

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from archspec.nn.checks import Batch, Columns
    from archspec.spec.spec import Spec
    from archspec.torchrec.lookups import Lookup

SUFFIX: Final = ".embedding"
"""The batch column between the halves is the input's name and this."""


class TorchRecModel(nn.Module):
    """Tables of TorchRec in front of a compiled network; made by `wrap`.

    `tables` has an `EmbeddingBagCollection` under `bags`, for tables of which only sums of rows are read. Under `rows`
    and their width, an `EmbeddingCollection` has those that an input with `pool: max` or `none` reads. Frozen tables
    are in collections of their own, whose keys end in `_frozen`: they have no gradient, so no optimizer changes them.
    """

    def __init__(self, spec: Spec, found: Mapping[str, Lookup], network: nn.Module, device: torch.device) -> None:
        super().__init__()
        self.spec = spec
        self.check_inputs = True
        self.tables = collections(found, device)
        self.network: Any = network
        self._found = dict(found)
        self._columns = _columns(spec, found)

    def forward(self, batch: Batch, gates: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Logits by name, as those of the compiled model. A dict given as `gates` gets every gate's weights."""
        outputs: dict[str, Tensor] = self.network(self._with_rows(batch), gates)
        return outputs

    @torch.no_grad()
    def predict(self, batch: Batch) -> dict[str, Tensor]:
        """Probabilities, values and fused scores by name, as those of the compiled model. No gradient."""
        scores: dict[str, Tensor] = self.network.predict(self._with_rows(batch))
        return scores

    def _with_rows(self, batch: Batch) -> dict[str, Tensor]:
        """The batch with a column for each input that is looked up here, `[B, dim]` or `[B, length, dim]`."""
        if self.check_inputs:
            self._check(batch)
        rows = {}
        for key, module in self.tables.items():
            found = {name: lookup for name, lookup in self._found.items() if lookup.collection == key}
            bags = key.startswith(BAGS)
            with torch.no_grad() if key.endswith(FROZEN) else nullcontext():
                read = module(features(found, batch, weighted=bags))
                read = read.wait() if hasattr(read, "wait") else read  # several processes still exchange it
                for name, lookup in found.items():
                    rows[f"{name}{SUFFIX}"] = read[name] if bags else lookup.pooled(read[name].values(), batch)
        return {**batch, **rows}

    def _check(self, batch: Batch) -> None:
        """Raises what a compiled model raises for a wrong column; an id out of range would crash TorchRec."""
        check_columns(batch, self._columns, None)
        for name, lookup in self._found.items():
            if isinstance(lookup.kind, Sequence) and lookup.kind.weights is not None:
                check_beside(batch, name, lookup.column, lookup.kind.weights)

    def table_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Yields canonical name and value of every table; of several processes, a `ShardedTensor`."""
        held = {key: module.state_dict() for key, module in self.tables.items()}
        for name, lookup in self._found.items():
            if lookup.owner == name:
                inside = "embedding_bags" if lookup.collection.startswith(BAGS) else "embeddings"
                yield f"inputs.{name}.weight", held[lookup.collection][f"{inside}.{name}.weight"]


def _columns(spec: Spec, found: Mapping[str, Lookup]) -> Columns:
    """The columns that are looked up here, in the form of `archspec.nn.checks`."""
    kinds: Any = {name: block.settings for name, block in spec.inputs.items()}
    described = ((name, lookup.column, lookup.kind.column(kinds)) for name, lookup in found.items())
    return tuple((name, key, each.dtype, each.shape, each.low, each.high) for name, key, each in described)
