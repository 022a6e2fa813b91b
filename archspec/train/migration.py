"""Warm start: the weights of a trained model for the model of a changed spec, by canonical name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import torch

from archspec.contract import GateKind
from archspec.graph.calls import call
from archspec.graph.difference import difference
from archspec.graph.widths import seen_by
from archspec.program.given import Rows, TrainedGate
from archspec.program.nodes import owner_of
from archspec.spec.spec import Block
from archspec.train.changes import Change, How, Migration
from archspec.train.growth import Growth
from archspec.train.renames import Renames

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from archspec.graph.graph import Graph
    from archspec.nn.module import Compiled
    from archspec.program.axes import WeightAxes

SHARE: Final = 0.001
"""The largest total weight of all experts added to a gate, if its kind can bound it."""
_TRANSFORM: Final = "transform."


def migrate_weights(  # noqa: PLR0913 - two models and how they correspond
    old: Mapping[str, Tensor],
    old_graph: Graph | None,
    model: Compiled,
    graph: Graph,
    *,
    moved: Mapping[str, str] | None = None,
    tables: Mapping[str, NDArray[np.int64]] | None = None,
    axes: tuple[Mapping[str, WeightAxes], Mapping[str, WeightAxes]] | None = None,
    share: float = SHARE,
) -> Migration:
    """Copies trained weights into a new model, in place.

    Weights with equal names are copied; rows and columns move by the names of what they belong to, if `axes` has them.
    Other weights whose shape differs keep their initial values. The rows of a gate's head belong to experts and move by
    their names; added experts start as the gate's kind determines (`GateKind.entering`). The rows of a table move as
    in `tables`, or else stay where they are. Weights without a counterpart keep their initial values.

    Args:
        old: the trained weights by canonical name.
        old_graph: the graph of their spec; None if unknown: then every gate must see as many experts as before.
        model: the new model.
        graph: its graph.
        moved: old name -> new name, for what was renamed.
        tables: table of the new model -> the old row for each of its rows, -1 for none.
        axes: what the rows and columns of the weights of both models are (`archspec.program.axes`).
        share: the largest total weight of all experts added to a gate.

    Raises:
        SpecError: AS805: a name of `moved` does not exist.
    """
    renames = Renames(moved or {})
    renames.check(old if old_graph is None else old_graph.nodes, graph.nodes)
    work = _Work(old, old_graph, graph, Growth(*(axes or ({}, {})), renames), tables or {}, share)
    with torch.no_grad():
        made = [work.change(name, value) for name, value in model.named_weights()]
    nodes = {} if old_graph is None else old_graph.nodes
    dropped = [Change(name, "dropped", node=owner_of(name, nodes) or "") for name in old if name not in work.used]
    return Migration(model, (*made, *dropped), {} if old_graph is None else _renamed(old_graph, graph, renames))


def _renamed(old: Graph, new: Graph, renames: Renames) -> dict[str, str]:
    """What looks renamed, and was not said to be."""
    known = {part for before in renames.moved for part in before.split(".")}
    return {before: now for before, now in difference(old, new).renamed.items() if before not in known}


@dataclass(frozen=True)
class _Gate:
    """A gate that sees other experts than before: the place of each among those that it was trained with, or -1."""

    places: tuple[int, ...]
    entries: Mapping[str, Rows] | str
    """Where the rows of its weights come from, or why they cannot move."""


class _Work:
    def __init__(  # noqa: PLR0913, PLR0917 - as above
        self,
        old: Mapping[str, Tensor],
        old_graph: Graph | None,
        graph: Graph,
        growth: Growth,
        tables: Mapping[str, NDArray[np.int64]],
        share: float,
    ) -> None:
        self.old, self.graph, self.growth, self.tables, self.share = old, graph, growth, tables, share
        self.renames, self.nodes = growth.renames, {} if old_graph is None else old_graph.nodes
        self.gates = {} if old_graph is None else self._gates(old_graph)
        self.used: set[str] = set()

    def change(self, name: str, value: Tensor) -> Change:
        """Copies into one weight of the new model."""
        node = owner_of(name, self.graph.nodes) or ""
        change = self._changed(name, value)
        was = self._other_kind(node)
        if was and change.how != "new" and not change.why:
            change = replace(change, why=f"its kind was `{was}`, is `{self.graph.nodes[node].kind}`")
        return replace(change, node=node)

    def _other_kind(self, node: str) -> str:
        """The kind that a node had, if it has another one now; empty otherwise."""
        before = self.nodes.get(self.renames.old(node))
        return before.kind if before is not None and before.kind != self.graph.nodes[node].kind else ""

    def _changed(self, name: str, value: Tensor) -> Change:
        gate = self.gates.get(owner_of(name, self.graph.seen) or "")
        if gate is not None:
            return self._of_gate(name, value, gate)
        if name in self.tables:
            return self._of_table(name, value)
        return self._whole(name, self.renames.old(name), value)

    def _whole(self, name: str, source: str, value: Tensor) -> Change:
        """Copies a weight of the same shape."""
        found, rows = self.old.get(source), len(value) if value.dim() else 1
        if found is None and source.endswith(".bias") and f"{source.removesuffix('bias')}weight" in self.old:
            value.zero_()
            return Change(name, "new", rows=rows, why="zero, because the old model had no such weight")
        if found is None:
            return Change(name, "new", rows=rows)
        self.used.add(source)
        node = owner_of(name, self.graph.nodes) or ""
        same_kind = node in self.graph.seen or not self._other_kind(node)  # any gate's rows are those of experts
        places = self.growth.places(name, source, value, found) if same_kind else None
        if places is not None:
            return self.growth.copied(name, source, value, found, places)
        if found.shape != value.shape:
            return Change(name, "new", rows=rows, why=f"was {list(found.shape)}, is {list(value.shape)}")
        value.copy_(found)
        same = source == name
        why = self.growth.misread(name, source)
        return Change(name, "kept" if same else "moved", "" if same else source, rows, rows, why)

    def _of_table(self, name: str, value: Tensor) -> Change:
        """Copies rows of a table."""
        source, places = self.renames.old(name), torch.from_numpy(self.tables[name])
        found = self.old.get(source)
        if found is None or found.dim() != 2 or value.dim() != 2:  # noqa: PLR2004 - rows and columns
            return self._whole(name, source, value)
        self.used.add(source)
        known = places >= 0
        width, old_width = value.shape[1], found.shape[1]
        both = min(width, old_width)
        value[known, :both] = found[places[known], :both].to(value)
        count, same = int(known.sum()), source == name
        if count == 0:
            return Change(name, "new", rows=len(value), why="its ids have a different meaning")
        whole = count == len(value) == len(found) and width == old_width
        how: How = ("kept" if same else "moved") if whole else "grown"
        columns = (both, width) if width != old_width else (0, 0)
        return Change(name, how, "" if same else source, count, len(value), "", *columns)

    def _of_gate(self, name: str, value: Tensor, gate: _Gate) -> Change:
        """Copies a weight of a gate that sees other experts than before."""
        node = owner_of(name, self.graph.seen) or ""
        path, source = name.removeprefix(f"{node}."), self.renames.old(name)
        if path.startswith(_TRANSFORM):
            return self._of_transform(name, node, path, value, gate)
        if isinstance(gate.entries, str):
            self.used.add(source)
            return Change(name, "new", rows=len(value), why=f"the gate sees other experts, and {gate.entries}")
        rows = gate.entries.get(path)
        found = self.old.get(source)
        if rows is None:
            return self._whole(name, source, value)
        places = gate.places if rows.rows is None else rows.rows
        highest = max(places, default=-1)
        if found is None and (path.endswith(".bias") or highest < 0):
            found = torch.zeros(highest + 1, *value.shape[1:])  # the trained gate had none
        if found is not None and found.dim() > 1:
            found = self._with_columns(name, source, value, found)
        if found is None or found.shape[1:] != value.shape[1:] or highest >= len(found):
            return self._whole(name, source, value)
        self.used.add(source)
        self._rows(value, found, places, rows)
        how = _how(places, len(found), source == name)
        count = sum(place >= 0 for place in places)
        why = rows.why if -1 in gate.places else ""
        return Change(name, how, "" if source == name else source, count, len(value), why)

    def _with_columns(self, name: str, source: str, value: Tensor, found: Tensor) -> Tensor:
        """The trained rows of a gate's weight, with the columns of what the gate now reads; new ones are zero."""
        before, now = self.growth.before.get(source), self.growth.now.get(name)
        if before is None or now is None:
            return found
        columns = self.growth.of_axis(now.axes[-1], before.axes[-1], (value.shape[-1], found.shape[-1]))
        if len(columns) != value.shape[-1] or max(columns, default=-1) < 0:
            return found
        return self.growth.columns(name, found.new_zeros(len(found), value.shape[-1]), found, columns)

    @staticmethod
    def _rows(value: Tensor, found: Tensor, places: tuple[int, ...], rows: Rows) -> None:
        """Fills the rows that were trained, and added ones as the kind determines."""
        known = found[[place for place in places if place >= 0]].to(value)
        added = torch.zeros_like(value[0]) if len(value) else value
        if len(known) and rows.start != "zero":
            added = known.mean(0) if rows.start == "mean" else known.amin(0)
        for row, place in enumerate(places):
            value[row] = found[place].to(value) if place >= 0 else added + rows.shift

    def _of_transform(self, name: str, node: str, path: str, value: Tensor, gate: _Gate) -> Change:
        """Copies the transform of an expert, which is numbered by its place among those seen."""
        place, _, rest = path.removeprefix(_TRANSFORM).partition(".")
        before = gate.places[int(place)]
        if before < 0:
            return Change(name, "new", rows=len(value))
        return self._whole(name, f"{self.renames.old(node)}.{_TRANSFORM}{before}.{rest}", value)

    def _gates(self, old: Graph) -> dict[str, _Gate]:
        """The gates that see other experts than before, or in another order."""
        found = {}
        for gate, seen in self.graph.seen.items():
            before = old.seen.get(self.renames.old(gate))
            if before is None:
                continue
            names: list[str] = [expert.node for expert in before]
            now = [self.renames.old(expert.node) for expert in seen]
            if names == now:
                continue
            places = tuple(names.index(name) if name in names else -1 for name in now)
            found[gate] = _Gate(places, self._entries(gate, old, places))
        return found

    def _entries(self, gate: str, old: Graph, places: tuple[int, ...]) -> Mapping[str, Rows] | str:
        """How experts are added, from the gate's kind; a text if it does not support this, or if no expert stayed."""
        node, before = self.graph.nodes[gate], old.nodes[self.renames.old(gate)]
        assert isinstance(node.block, Block)
        assert isinstance(before.block, Block)
        kind, settings = node.block.settings, before.block.settings
        if not isinstance(kind, GateKind) or settings is None or max(places, default=-1) < 0:
            return "none of them is one that it was trained with"
        trained = TrainedGate(settings, seen_by(old, before), places)
        found: Mapping[str, Rows] | str = call(node, "entering", seen_by(self.graph, node), trained, self.share)
        return found


def _how(places: tuple[int, ...], count: int, same: bool) -> How:  # noqa: FBT001 - whether the name is the same
    """What happened to a weight of `count` rows whose rows went to these places."""
    if -1 in places:
        return "grown"
    return "kept" if same and places == tuple(range(count)) else "moved"
