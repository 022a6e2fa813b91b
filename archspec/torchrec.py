"""The embedding tables of a spec in TorchRec, which can spread them over processes and machines.

TorchRec is not a dependency of archspec and only this module imports it; docs/scaling.md says how to install it.

`wrap` builds two halves from a spec. The tables become one `EmbeddingBagCollection`. The rest is compiled from the same
spec with every looked-up input declared as numbers (`kind: dense`), so the seam between lookup and network is an
ordinary batch column: no built file changes, and every pass of the compiler still runs on the network.

This is a function of its own and not an argument of `archspec.compile`, because the result is not a compiled module:
tables cannot be fused, `torch.export` does not trace it, and a process of several has only its own part of the tables.
"""

from __future__ import annotations

import copy
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from archspec import plugins as plugin_door
from archspec.compiler.compile import compile as compile_spec
from archspec.diagnostics import Diagnostic, SpecError, unusable
from archspec.graph.load import graph_of, load_graph
from archspec.kinds.inputs import Sequence, Sparse, Table
from archspec.nn.checks import check_beside, check_columns
from archspec.nn.module import misfits, seeded
from archspec.spec.spec import Spec, written
from archspec.train.distributed import processes

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping

    from archspec.contract import InputKind
    from archspec.nn.checks import Batch, Columns
    from archspec.spec.spec import Block

__all__ = ["TorchRecModel", "gather_weights", "load_weights", "wrap"]

SUFFIX: Final = ".embedding"
"""The batch column between the halves is the input's name and this."""
POOLS: Final = frozenset({"mean", "sum", "last"})
"""Pools that are sums of weighted rows, which is all that an `EmbeddingBagCollection` computes."""


def wrap(
    spec: Spec | str | os.PathLike[str],
    plugins: Iterable[plugin_door.Plugin] = (),
    *,
    seed: int | None = None,
    tables: torch.device | str = "cpu",
) -> TorchRecModel:
    """The model of a spec with its tables in TorchRec, with fresh weights.

    It takes the same batches as `archspec.compile(spec)` and returns the same outputs once the weights are the same, up
    to float32 rounding (TorchRec's bags return float32 whatever the type of the table).

    Args:
        spec: a Spec, the path of one, or its text.
        plugins: plugins with further kinds; see `archspec.load`.
        seed: draws the initial weights from a separate generator. They differ from those of `archspec.compile`.
        tables: where the tables are created. `meta` allocates nothing: `DistributedModelParallel` then gives each
            process only its own part, so the tables together may exceed the memory of a machine.

    Raises:
        SpecError: the spec is wrong; AS709: TorchRec is not installed; AS820: an input is pooled in a way that
            TorchRec's bags do not compute; AS821: a table is frozen; AS822: a kind of a plugin reads a table; AS823:
            the spec has no table; AS828: an input has `l2`.
    """
    graph = graph_of(spec) if isinstance(spec, Spec) else load_graph(spec, None, plugin_door.load(plugins))
    found = looked_up(graph.spec)
    if find_spec("torchrec") is None:
        unusable("AS709", "archspec.torchrec needs torchrec", help="install it as docs/scaling.md says")
    network = _network_spec(graph.spec, found)
    with seeded(seed):
        return TorchRecModel(graph.spec, found, compile_spec(network), torch.device(tables))


class TorchRecModel(nn.Module):
    """Tables of TorchRec in front of a compiled network; made by `wrap`."""

    def __init__(self, spec: Spec, found: Mapping[str, Table], network: nn.Module, device: torch.device) -> None:
        super().__init__()
        self.spec = spec
        self.check_inputs = True
        self.tables = _collection(found, device)
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
        """The batch with a column for each input that is looked up here, `[B, dim]`."""
        if self.check_inputs:
            self._check(batch)
        rows = self.tables(self.features(batch))
        rows = rows.wait() if hasattr(rows, "wait") else rows  # of several processes: what they are still exchanging
        return {**batch, **{f"{name}{SUFFIX}": rows[name] for name in self._found}}

    def _check(self, batch: Batch) -> None:
        """Raises what a compiled model raises for a wrong column; an id out of range would crash TorchRec."""
        check_columns(batch, self._columns, None)
        for name, kind in self._found.items():
            if isinstance(kind, Sequence) and kind.weights is not None:
                check_beside(batch, name, self._column(name), kind.weights)

    def _column(self, name: str) -> str:
        return _column_of(self.spec.inputs[name])

    def features(self, batch: Batch) -> Any:  # noqa: ANN401 - torchrec has no type annotations that mypy reads
        """The batch as a `KeyedJaggedTensor`, one key per input; padding is left out.

        Every id has a weight, since one table may be read as it is, as a sum and as a mean: a mean of n rows is the sum
        of the rows times 1/n.
        """
        from torchrec import KeyedJaggedTensor

        parts = [_jagged(kind, self._column(name), batch) for name, kind in self._found.items()]
        values, lengths, weights = (torch.cat(part) for part in zip(*parts, strict=True))
        return KeyedJaggedTensor(keys=list(self._found), values=values, lengths=lengths, weights=weights)

    def table_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Yields canonical name and value of every table; of several processes, a `ShardedTensor`."""
        held = self.tables.state_dict()
        for name, kind in self._found.items():
            if kind.table is None:
                yield f"inputs.{name}.weight", held[f"embedding_bags.{name}.weight"]


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


def looked_up(spec: Spec) -> dict[str, Table]:
    """The inputs whose tables TorchRec holds, by name. Raises SpecError for every input that it cannot hold."""
    found: dict[str, Table] = {}
    problems: list[Diagnostic] = []
    for name, block in spec.inputs.items():
        kind: InputKind | None = block.settings
        if isinstance(kind, Sparse | Sequence) and type(kind) in {Sparse, Sequence}:
            problems += _refused(name, block, kind)
            found[name] = kind
        elif kind is not None and kind.shared_table() is not None:
            message = f"input `{name}` is of kind `{block.kind}`, which reads a table that TorchRec would hold"
            problems.append(Diagnostic("AS822", message, block.place, help="give the input a table of its own"))
    if not found:
        problems.append(Diagnostic("AS823", f"`{spec.name}` has no input of kind `sparse` or `sequence`",
                                   help="use archspec.compile: there is no table to spread"))  # fmt: skip
    if problems:
        raise SpecError(problems)
    return found


def _refused(name: str, block: Block, kind: Table) -> Iterator[Diagnostic]:
    if isinstance(kind, Sequence) and kind.pool not in POOLS:
        message = f"input `{name}` has `pool: {kind.pool}`, which TorchRec's bags do not compute"
        yield Diagnostic("AS820", message, block.span("pool"), help="use `pool: mean`, `sum` or `last`")
    if not kind.trainable:
        message = f"input `{name}` has a frozen table, which TorchRec would train"
        yield Diagnostic("AS821", message, block.span("trainable"), help="drop `trainable: false`")
    if kind.l2:
        message = f"input `{name}` has `l2`, which only a network that looks up the rows itself can add"
        yield Diagnostic(
            "AS828", message, block.span("l2"), help="drop `l2`; TorchRec's optimizers have `weight_decay`"
        )


def _column_of(block: Block) -> str:
    """The batch column that an input reads."""
    return str(block.common.column or block.name)


def _network_spec(spec: Spec, found: Mapping[str, Table]) -> Spec:
    """The same spec with looked-up inputs declared as numbers of the table's width."""
    kinds = {name: block.settings for name, block in spec.inputs.items()}
    data = copy.deepcopy(spec.data())
    for name, kind in found.items():
        data["inputs"][name] = {"kind": "dense", "column": f"{name}{SUFFIX}", "dim": kind.width(kinds)}
    return load_graph(written(data) + "\n", None, spec.registry).spec


def _collection(found: Mapping[str, Table], device: torch.device) -> Any:  # noqa: ANN401 - torchrec, see above
    """One table per owner; the inputs that read it are its features."""
    from torchrec import EmbeddingBagCollection, EmbeddingBagConfig, PoolingType

    readers: dict[str, list[str]] = {}
    for name, kind in found.items():
        readers.setdefault(kind.table or name, []).append(name)
    configs = [
        EmbeddingBagConfig(
            name=owner, num_embeddings=found[owner].vocab, embedding_dim=found[owner].dim, feature_names=names,
            pooling=PoolingType.SUM, init_fn=partial(nn.init.normal_, std=1.0),
        )
        for owner, names in readers.items()
    ]  # fmt: skip
    return EmbeddingBagCollection(tables=configs, is_weighted=True, device=device)


def _columns(spec: Spec, found: Mapping[str, Table]) -> Columns:
    """The columns that are looked up here, in the form of `archspec.nn.checks`."""
    kinds: Any = {name: block.settings for name, block in spec.inputs.items()}
    described = ((name, _column_of(spec.inputs[name]), kind.column(kinds)) for name, kind in found.items())
    return tuple((name, key, each.dtype, each.shape, each.low, each.high) for name, key, each in described)


def _jagged(kind: Table, column: str, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Ids without padding `[N]`, how many each row has `[B]`, and the weight of each id `[N]`."""
    ids = batch[column].long()
    if not isinstance(kind, Sequence):
        return ids, torch.ones_like(ids), torch.ones(len(ids), device=ids.device)
    known = ids >= 0
    if kind.pool == "last":
        place = torch.arange(1, ids.shape[1] + 1, device=ids.device) * known
        known &= place == place.amax(1, keepdim=True) if ids.shape[1] else known
    weights = known.float() if kind.weights is None else torch.where(known, batch[kind.weights], 0.0)
    if kind.pool == "mean":
        total = weights.sum(1, keepdim=True)
        weights = torch.where(total != 0, weights / torch.where(total != 0, total, 1.0), 0.0)
    return ids[known], known.sum(1), weights[known].float()


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
