"""Warm start: the weights of a trained model for the model of a changed spec, by canonical name."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import torch

from archspec.contract import GateKind
from archspec.diagnostics import Diagnostics, suggest
from archspec.graph.calls import call
from archspec.graph.widths import seen_by
from archspec.program.given import Rows, TrainedGate
from archspec.program.nodes import owner_of
from archspec.spec.spec import Block

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from archspec.graph.graph import Graph
    from archspec.nn.module import Compiled

SHARE: Final = 0.001
"""The largest total weight of all experts added to a gate, if its kind can bound it."""
How = Literal["kept", "moved", "grown", "new", "dropped"]
"""`kept` and `moved` are copied whole; `grown` has new rows next to copied ones; `new` keeps its initial values."""
_TRANSFORM: Final = "transform."


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one weight of the new model or, if it was dropped, of the old one."""

    weight: str
    how: How
    source: str = ""
    """The old weight, if it has another name."""
    kept: int = 0
    """How many rows were copied; all if the weight was copied whole."""
    rows: int = 0
    """How many rows it has."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Migration:
    """A model of the new spec that starts from old weights, and what happened to each weight."""

    model: Compiled
    changes: tuple[Change, ...]

    def counts(self) -> dict[How, int]:
        """How many weights were kept, moved, grown, new and dropped."""
        found = Counter(change.how for change in self.changes)
        order: tuple[How, ...] = ("kept", "moved", "grown", "new", "dropped")
        return {how: found[how] for how in order}

    def text(self) -> str:
        """The counts, and a line for each weight that is not simply kept."""
        counts = ", ".join(f"{count} {how}" for how, count in self.counts().items())
        return "\n".join([f"weights: {counts}", *(f"  {_line(c)}" for c in self.changes if c.how != "kept" or c.why)])


def _line(change: Change) -> str:
    rows = f", {change.kept:,} of {change.rows:,} rows" if change.how == "grown" else ""
    source = f", was {change.source}" if change.source else ""
    return f"{change.how:<7} {change.weight}{source}{rows}" + (f": {change.why}" if change.why else "")


class Renames:
    """Canonical names of the old model by those of the new one.

    Args:
        moved: old name -> new name: a node (`level1.experts.shared`), or a word (`ctr`) for every node of that name.
    """

    def __init__(self, moved: Mapping[str, str]) -> None:
        self.moved = dict(moved)
        self._words = {after: before for before, after in self.moved.items() if "." not in after}

    def old(self, name: str) -> str:
        """The old name of a node or weight of the new model."""
        for before, after in self.moved.items():
            if "." in after and (name == after or name.startswith(f"{after}.")):
                return before + name[len(after) :]
        return ".".join(self._words.get(part, part) for part in name.split("."))

    def check(self, old: Iterable[str], new: Iterable[str]) -> None:
        """Raises SpecError AS805 if an old name is not in the old model, or a new name is not in the new one."""
        problems = Diagnostics()
        sides = (
            ("was trained", "old", [*self.moved], [*old]),
            ("is in the new spec", "new", [*self.moved.values()], [*new]),
        )
        for words, side, names, known in sides:
            parts = {part for name in known for part in _prefixes(name)}
            for name in names:
                if name not in parts:
                    near = suggest(name, sorted(parts))
                    problems.error(
                        "AS805", f"nothing named `{name}` {words}",
                        help=f"did you mean `{near}`?" if near else f"give the {side} name of a node or of its group",
                    )  # fmt: skip
        problems.raise_errors(status=2)


def _prefixes(name: str) -> set[str]:
    """The beginnings and the words of a canonical name."""
    parts = name.split(".")
    return {".".join(parts[:end]) for end in range(1, len(parts) + 1)} | set(parts)


def migrate_weights(  # noqa: PLR0913 - two models and how they correspond
    old: Mapping[str, Tensor],
    old_graph: Graph | None,
    model: Compiled,
    graph: Graph,
    *,
    moved: Mapping[str, str] | None = None,
    tables: Mapping[str, NDArray[np.int64]] | None = None,
    share: float = SHARE,
) -> Migration:
    """Copies trained weights into a new model, in place.

    Weights with equal names are copied if their shapes agree. The rows of a gate's head belong to experts and move by
    their names; added experts start as the gate's kind determines (`GateKind.entering`). The rows of a table move as
    in `tables`, or else stay where they are. Weights without a counterpart keep their initial values.

    Args:
        old: the trained weights by canonical name.
        old_graph: the graph of their spec; None if unknown: then every gate must see as many experts as before.
        model: the new model.
        graph: its graph.
        moved: old name -> new name, for what was renamed.
        tables: table of the new model -> the old row for each of its rows, -1 for none.
        share: the largest total weight of all experts added to a gate.

    Raises:
        SpecError: AS805: a name of `moved` does not exist.
    """
    renames = Renames(moved or {})
    renames.check(old if old_graph is None else old_graph.nodes, graph.nodes)
    work = _Work(old, old_graph, graph, renames, tables or {}, share)
    with torch.no_grad():
        made = [work.change(name, value) for name, value in model.named_weights()]
    dropped = [Change(name, "dropped") for name in old if name not in work.used]
    return Migration(model, (*made, *dropped))


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
        renames: Renames,
        tables: Mapping[str, NDArray[np.int64]],
        share: float,
    ) -> None:
        self.old, self.graph, self.renames, self.tables, self.share = old, graph, renames, tables, share
        self.gates = {} if old_graph is None else self._gates(old_graph)
        self.used: set[str] = set()

    def change(self, name: str, value: Tensor) -> Change:
        """Copies into one weight of the new model."""
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
        if found.shape != value.shape:
            return Change(name, "new", rows=rows, why=f"was {list(found.shape)}, is {list(value.shape)}")
        value.copy_(found)
        same = source == name
        return Change(name, "kept" if same else "moved", "" if same else source, rows, rows)

    def _of_table(self, name: str, value: Tensor) -> Change:
        """Copies rows of a table."""
        source, places = self.renames.old(name), torch.from_numpy(self.tables[name])
        found = self.old.get(source)
        if found is None or found.shape[1:] != value.shape[1:]:
            return self._whole(name, source, value)
        self.used.add(source)
        known = places >= 0
        value[known] = found[places[known]].to(value)
        count, same = int(known.sum()), source == name
        if count == 0:
            return Change(name, "new", rows=len(value), why="its ids have a different meaning")
        whole = count == len(value) and found.shape == value.shape
        return Change(
            name, ("kept" if same else "moved") if whole else "grown", "" if same else source, count, len(value)
        )

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
        if found is None or found.shape[1:] != value.shape[1:] or highest >= len(found):
            return self._whole(name, source, value)
        self.used.add(source)
        self._rows(value, found, places, rows)
        how = _how(places, len(found), source == name)
        count = sum(place >= 0 for place in places)
        why = rows.why if -1 in gate.places else ""
        return Change(name, how, "" if source == name else source, count, len(value), why)

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
