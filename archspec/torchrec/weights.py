"""Weights of models whose tables TorchRec holds, by canonical name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from archspec.nn.module import misfits
from archspec.torchrec.model import TorchRecModel
from archspec.train.distributed import processes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor, nn


def gather_weights(model: nn.Module) -> dict[str, Tensor]:
    """Every weight by canonical name, as `dict(archspec.compile(spec).named_weights())`, on the CPU.

    With several processes all of them must call it, and the first gets the weights; the others get an empty dict.

    Args:
        model: a model of `wrap`, or one inside `DistributedModelParallel`.

    Raises:
        TypeError: the model is not one of `wrap`.
    """
    inner = _inner(model)
    weights: dict[str, Tensor] = dict(inner.network.named_weights())
    weights |= {name: _whole(value) for name, value in inner.table_parameters()}
    return {name: value.detach().cpu().clone() for name, value in weights.items()} if _is_first() else {}


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copies weights by canonical name, for example those of a compiled model; all of them or none.

    With several processes each calls it with all weights (they may be memory-mapped), and copies its own part.

    Raises:
        TypeError: the model is not one of `wrap`.
        ValueError: weights are missing or extra or have another shape; the message lists them.
    """
    inner = _inner(model)
    tables = dict(inner.table_parameters())
    problems = misfits({**dict(inner.network.named_weights()), **tables}, weights, True)  # noqa: FBT003 - `strict`
    if problems:
        raise ValueError("weights do not fit the model:\n  " + "\n  ".join(problems))
    inner.network.load_weights({name: value for name, value in weights.items() if name not in tables})
    with torch.no_grad():
        for name, value in tables.items():
            for part, (rows, columns) in _local(value):
                part.copy_(weights[name][rows : rows + part.shape[0], columns : columns + part.shape[1]])


def _inner(model: nn.Module) -> TorchRecModel:
    inner: Any = model
    while not isinstance(inner, TorchRecModel):
        inner = getattr(inner, "module", None)
        if inner is None:
            raise TypeError(f"{type(model).__name__} is not a model of archspec.torchrec.wrap")
    return inner


def _is_first() -> bool:
    return processes() == 1 or torch.distributed.get_rank() == 0


def _is_sharded(table: Any) -> bool:  # noqa: ANN401 - a Tensor or a ShardedTensor
    return hasattr(table, "local_shards")


def _local(table: Any) -> Iterator[tuple[Tensor, tuple[int, int]]]:  # noqa: ANN401 - a Tensor or a ShardedTensor
    """The parts of a table in this process, with their first row and column."""
    if not _is_sharded(table):
        yield table, (0, 0)
        return
    for shard in table.local_shards():
        yield shard.tensor, tuple(shard.metadata.shard_offsets)


def _whole(table: Any) -> Tensor:  # noqa: ANN401 - a Tensor or a ShardedTensor
    """A whole table in the first process; in the others, something empty."""
    if not _is_sharded(table):
        return table  # type: ignore[no-any-return]
    whole = torch.empty(table.size()) if _is_first() else None
    table.gather(dst=0, out=whole)
    return torch.empty(0) if whole is None else whole
