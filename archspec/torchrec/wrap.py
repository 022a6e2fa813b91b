"""From a spec to its two halves: tables for TorchRec, and a network that reads their rows from the batch."""

from __future__ import annotations

import copy
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from archspec import plugins as plugin_door
from archspec.compiler.compile import compile as compile_spec
from archspec.contract import ColumnName, InputKind, Width, input
from archspec.contract.settings import Count
from archspec.diagnostics import Diagnostic, SpecError, unusable
from archspec.graph.load import graph_of, load_graph
from archspec.kinds.inputs import Sequence, Sparse, Table
from archspec.nn.module import seeded
from archspec.program.columns import Column
from archspec.spec.spec import Spec, written
from archspec.torchrec.lookups import lookups
from archspec.torchrec.model import SUFFIX, TorchRecModel

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping

    from archspec.program import Scope, Value
    from archspec.spec.spec import Block
    from archspec.torchrec.lookups import Lookup


def wrap(
    spec: Spec | str | os.PathLike[str],
    plugins: Iterable[plugin_door.Plugin] = (),
    *,
    seed: int | None = None,
    tables: torch.device | str = "cpu",
) -> TorchRecModel:
    """The model of a spec with its tables in TorchRec, with fresh weights.

    It takes the same batches as `archspec.compile(spec)` and returns the same outputs once the weights are the same, up
    to float32 rounding (TorchRec returns float32 whatever the type of the table).

    Args:
        spec: a Spec, the path of one, or its text.
        plugins: plugins with further kinds; see `archspec.load`.
        seed: draws the initial weights from a separate generator. They differ from those of `archspec.compile`.
        tables: where the tables are created. `meta` allocates nothing: `DistributedModelParallel` then gives each
            process only its own part, so the tables together may exceed the memory of a machine.

    Raises:
        SpecError: the spec is wrong; AS709: TorchRec is not installed; AS822: a kind of a plugin reads a table; AS823:
            the spec has no table; AS828: an input has `l2`.
    """
    graph = graph_of(spec) if isinstance(spec, Spec) else load_graph(spec, None, plugin_door.load(plugins))
    found = looked_up(graph.spec)
    if find_spec("torchrec") is None:
        unusable("AS709", "archspec.torchrec needs torchrec", help="install it as docs/scaling.md says")
    network = _network_spec(graph.spec, found)
    with seeded(seed):
        return TorchRecModel(graph.spec, found, compile_spec(network), torch.device(tables))


def looked_up(spec: Spec) -> dict[str, Lookup]:
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
    return lookups(found, {name: str(spec.inputs[name].common.column or name) for name in found})


def _refused(name: str, block: Block, kind: Table) -> Iterator[Diagnostic]:
    if kind.l2:
        message = f"input `{name}` has `l2`, which only a network that looks up the rows itself can add"
        yield Diagnostic(
            "AS828", message, block.span("l2"), help="drop `l2`; TorchRec's optimizers have `weight_decay`"
        )


@input("looked_up_tokens")
class LookedUpTokens(InputKind):
    """Rows that were looked up before, as tokens; what the network has in place of a list with `pool: none`."""

    formula: ClassVar[str] = "x"
    ids: ColumnName
    """The column of the ids: -1 pads."""
    length: Count
    dim: Count

    def width(self, inputs: Mapping[str, InputKind]) -> Width:
        """`dim`."""
        return self.dim

    def tokens(self, inputs: Mapping[str, InputKind]) -> int:
        """`length`."""
        return self.length

    def column(self, inputs: Mapping[str, InputKind]) -> Column:
        """Floats `[B, length, dim]`."""
        return Column("float", ("B", self.length, self.dim))

    def columns(self, inputs: Mapping[str, InputKind]) -> Mapping[str, Column]:
        """`ids`: `[B, length]`."""
        return {"ids": Column("int", ("B", self.length), -1)}

    def lower(self, at: Scope, column: Value, inputs: Mapping[str, InputKind]) -> Value:
        """The column itself, `[B, length, dim]`, masked where the ids are padding."""
        return at.masked(column, at.op("present", (at.setting_column("ids"),), ("B", self.length), dtype="bool"))


def _network_spec(spec: Spec, found: Mapping[str, Lookup]) -> Spec:
    """The same spec with looked-up inputs declared as numbers, or tokens, of the table's width."""
    kinds = {name: block.settings for name, block in spec.inputs.items()}
    data = copy.deepcopy(spec.data())
    for name, lookup in found.items():
        declared: dict[str, Any] = {"kind": "dense", "column": f"{name}{SUFFIX}", "dim": lookup.kind.width(kinds)}
        if isinstance(lookup.kind, Sequence) and lookup.pool == "none":
            declared |= {"kind": "looked_up_tokens", "ids": lookup.column, "length": lookup.kind.length}
        data["inputs"][name] = declared
    registry = spec.registry.including([LookedUpTokens], "archspec.torchrec")
    return load_graph(written(data) + "\n", None, registry).spec
