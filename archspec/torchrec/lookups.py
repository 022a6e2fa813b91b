"""What is looked up in TorchRec: the collection of an input's table, the ids that it reads, what their rows become."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from archspec.kinds.inputs import Sequence, Table
from archspec.nn.functional import pool_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.nn.checks import Batch

BAGS: Final = "bags"
"""The key of the `EmbeddingBagCollection`; that of an `EmbeddingCollection` begins with `rows`."""
FROZEN: Final = "_frozen"
"""The end of the key of a collection whose tables are not trained."""
NOT_SUMS: Final = frozenset({"max", "none"})
"""Pools that are not weighted sums of rows: what reads their table gets single rows of an `EmbeddingCollection`."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """An input whose table TorchRec holds."""

    kind: Table
    column: str
    """The batch column with its ids."""
    owner: str
    """The input that owns the table."""
    collection: str
    """The key of the collection with the table."""

    @property
    def pool(self) -> str:
        """How the rows of a list become one; `none` if they do not; `one` if there is only one."""
        return self.kind.pool if isinstance(self.kind, Sequence) else "one"

    def ids(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Ids `[B, L]`, True for each that is read, and its weight in a sum."""
        ids = batch[self.column].long()
        if not isinstance(self.kind, Sequence):
            ones = torch.ones(len(ids), 1, device=ids.device)
            return ids.unsqueeze(1), ones.bool(), ones
        known = ids >= 0
        if self.pool == "last":
            place = torch.arange(1, ids.shape[1] + 1, device=ids.device) * known
            known &= place == place.amax(1, keepdim=True) if ids.shape[1] else known
        weights = known.float() if self.kind.weights is None else torch.where(known, batch[self.kind.weights], 0.0)
        if self.pool == "mean":
            total = weights.sum(1, keepdim=True)
            weights = torch.where(total != 0, weights / torch.where(total != 0, total, 1.0), 0.0)
        return ids, known, weights.float()

    def pooled(self, rows: Tensor, batch: Batch) -> Tensor:
        """Rows of the ids that are read, one after the other `[N, dim]`, to `[B, dim]` or tokens `[B, L, dim]`."""
        if self.pool == "one":
            return rows
        _, known, weights = self.ids(batch)
        tokens = rows.new_zeros(*known.shape, rows.shape[-1]).index_put((known,), rows)
        if self.pool == "max":
            return pool_tokens(tokens, known, "max") if known.shape[1] else tokens.sum(1)
        tokens = tokens * weights.unsqueeze(-1)
        return tokens if self.pool == "none" else tokens.sum(1)


def lookups(kinds: Mapping[str, Table], columns: Mapping[str, str]) -> dict[str, Lookup]:
    """The lookups of some inputs, by name.

    Args:
        kinds: the inputs.
        columns: the batch column of each.
    """
    owners = {name: kind.table or name for name, kind in kinds.items()}
    single = {owners[name] for name, kind in kinds.items() if isinstance(kind, Sequence) and kind.pool in NOT_SUMS}

    def collection(owner: str) -> str:
        key = f"rows{kinds[owner].dim}" if owner in single else BAGS  # an EmbeddingCollection has tables of one width
        return key if kinds[owner].trainable else f"{key}{FROZEN}"

    return {name: Lookup(kind, columns[name], owners[name], collection(owners[name])) for name, kind in kinds.items()}


def collections(found: Mapping[str, Lookup], device: torch.device) -> nn.ModuleDict:
    """The collections of tables by key; the inputs that read a table are its features."""
    keys = dict.fromkeys(lookup.collection for lookup in found.values())
    made = nn.ModuleDict({key: _collection(key, found, device) for key in keys})
    for key, module in made.items():
        module.requires_grad_(not key.endswith(FROZEN))
    return made


def _collection(key: str, found: Mapping[str, Lookup], device: torch.device) -> Any:  # noqa: ANN401 - torchrec has no types
    from torchrec import (
        EmbeddingBagCollection,
        EmbeddingBagConfig,
        EmbeddingCollection,
        EmbeddingConfig,
        PoolingType,
    )

    readers: dict[str, list[str]] = {}
    for name, lookup in found.items():
        if lookup.collection == key:
            readers.setdefault(lookup.owner, []).append(name)
    common = [
        {
            "name": owner, "num_embeddings": found[owner].kind.vocab, "embedding_dim": found[owner].kind.dim,
            "feature_names": names, "init_fn": partial(nn.init.normal_, std=1.0),
        }
        for owner, names in readers.items()
    ]  # fmt: skip
    if key.startswith(BAGS):
        tables = [EmbeddingBagConfig(pooling=PoolingType.SUM, **each) for each in common]
        return EmbeddingBagCollection(tables=tables, is_weighted=True, device=device)
    return EmbeddingCollection(tables=[EmbeddingConfig(**each) for each in common], device=device)


def features(found: Mapping[str, Lookup], batch: Batch, *, weighted: bool) -> Any:  # noqa: ANN401 - see above
    """A batch as a `KeyedJaggedTensor`, one key per input; padding is left out.

    In bags every id has a weight, since one table may be read as it is, as a sum and as a mean: a mean of n rows is the
    sum of the rows times 1/n.
    """
    from torchrec import KeyedJaggedTensor

    parts = []
    for lookup in found.values():
        ids, known, weights = lookup.ids(batch)
        parts.append((ids[known], known.sum(1), weights[known]))
    values, lengths, weights = (torch.cat(part) for part in zip(*parts, strict=True))
    given = {"weights": weights} if weighted else {}
    return KeyedJaggedTensor(keys=list(found), values=values, lengths=lengths, **given)
