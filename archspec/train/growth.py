"""Weights that grow or shrink: their rows and columns move by the names of the parts that they belong to."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from archspec.program.axes import WeightAxes, name_of
from archspec.program.nodes import owner_of
from archspec.train.changes import Change

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

    from archspec.program.axes import Axis, Element
    from archspec.train.changes import How
    from archspec.train.renames import Renames

Places = tuple[tuple[int, ...], ...]
"""For each axis of a weight: the old place of each of its elements, or -1 for a new one."""


@dataclass(frozen=True, slots=True)
class Growth:
    """The axes of the weights of both models, and the names of the old one."""

    before: Mapping[str, WeightAxes]
    now: Mapping[str, WeightAxes]
    renames: Renames

    def places(self, name: str, source: str, value: Tensor, found: Tensor) -> Places | None:
        """Where each row and column was; None: unknown, or the weight has no row or no column that it had before."""
        if name not in self.now or source not in self.before:
            return None
        axes = zip(self._axes(self.now, name, value), self._axes(self.before, source, found), strict=False)
        places = tuple(
            self.of_axis(now, before, sizes)
            for (now, before), sizes in zip(axes, zip(value.shape, found.shape, strict=False), strict=False)
        )
        fits = len(places) == value.dim() == found.dim() and all(max(each, default=-1) >= 0 for each in places)
        return places if fits else None

    @staticmethod
    def _axes(axes: Mapping[str, WeightAxes], name: str, value: Tensor) -> tuple[Axis | None, ...]:
        """The axes of a weight; one that the model holds in another form than the program has none."""
        found = axes[name].axes
        sizes = [len(axis) if axis is not None else size for axis, size in zip(found, value.shape, strict=False)]
        return found if sizes == [*value.shape] else ()

    def of_axis(self, now: Axis | None, before: Axis | None, sizes: tuple[int, int]) -> tuple[int, ...]:
        """The old place of each element of one axis, -1 for a new one; none if the axes cannot be compared."""
        same = tuple(range(sizes[0]))
        if now is None or before is None:
            return same if sizes[0] == sizes[1] else ()
        known: defaultdict[Element, deque[int]] = defaultdict(deque)
        for place, element in enumerate(before):
            known[element].append(place)
        found = tuple(known[old].popleft() if known.get(old) else -1 for old in map(self._old, now))
        return same if sizes[0] == sizes[1] and max(found, default=-1) < 0 else found

    def _old(self, element: Element) -> Element:
        """The same row or column in the old model."""
        return tuple(map(self._old_part, element))

    def _old_part(self, part: Any) -> Any:  # noqa: ANN401 - a name, a place, or an element
        if isinstance(part, tuple):
            return self._old(part)
        return self.renames.old(part) if isinstance(part, str) and not part.startswith(":") else part

    def copied(self, name: str, source: str, value: Tensor, found: Tensor, places: Places) -> Change:
        """Copies what both have. In kept rows, new columns of a layer are zero; all other new numbers stay as drawn."""
        rows, *columns = places
        own = torch.tensor([row for row, place in enumerate(rows) if place >= 0])
        old = torch.tensor([place for place in rows if place >= 0])
        value[own] = self.columns(name, value[own], found[old], columns[0]) if columns else found[old].to(value)
        return self._change(name, source, (*found.shape, 1)[:2], places)

    def columns(self, name: str, value: Tensor, found: Tensor, places: tuple[int, ...]) -> Tensor:
        """Rows with old columns in their new places; new ones are zero in a layer, and as in `value` elsewhere."""
        known = [column for column, place in enumerate(places) if place >= 0]
        made = torch.zeros_like(value) if self.now[name].reads else value.clone()
        made[:, known] = found[:, [place for place in places if place >= 0]].to(value)
        return made

    def _change(self, name: str, source: str, old: tuple[int, ...], places: Places) -> Change:
        grown = any(-1 in each for each in places)
        whole = all(each == tuple(range(size)) for each, size in zip(places, old, strict=False))
        how: How = "grown" if grown else "kept" if whole and source == name else "moved"
        kept = [sum(place >= 0 for place in each) for each in places]
        columns = (kept[1], len(places[1])) if len(places) > 1 and (grown or not whole) else (0, 0)
        why = "" if whole else self.parts(name, source, places)
        if not grown and len(places[0]) < old[0]:
            why = "; ".join(filter(None, [f"without {old[0] - len(places[0]):,} of its {old[0]:,} rows", why]))
        return Change(name, how, "" if source == name else source, kept[0], len(places[0]), why, *columns)

    def misread(self, name: str, source: str) -> str:
        """Why a weight that was copied whole may not fit: only a function or module knows what its columns are."""
        now, before = (self._given(axes, each) for axes, each in ((self.now, name), (self.before, source)))
        if now is None or before is None:
            return ""
        old = tuple(None if axis is None else tuple(map(self._old, axis)) for axis in now)
        return "" if old == before else "copied whole, but what its kind reads has changed"

    @staticmethod
    def _given(axes: Mapping[str, WeightAxes], name: str) -> tuple[Axis | None, ...] | None:
        owner = owner_of(name, axes)
        return axes[owner].given if owner is not None else None

    def parts(self, name: str, source: str, places: Places) -> str:
        """The parts whose rows or columns are new or gone, for the report."""
        now, before = self.now[name], self.before[source]
        said = []
        if now.across and (new := _new(now.axes[0], places[0])):
            said.append(f"it is normalised together with new elements, so old outputs change: {new}")
        if len(places) > 1:
            start = "new columns start at zero" if now.reads else "new columns are drawn"
            gone = (element for place, element in enumerate(before.axes[-1] or ()) if place not in places[-1])
            said += [f"{start}: {new}"] if (new := _new(now.axes[-1], places[-1])) else []
            said += [f"without columns of {names}"] if (names := _names(gone)) else []
        return "; ".join(said)


def _new(axis: Axis | None, places: tuple[int, ...]) -> str:
    """The names of new elements of an axis."""
    return _names(element for element, place in zip(axis or (), places, strict=False) if place < 0)


def _names(elements: Iterable[Element]) -> str:
    """The names in elements: at most three, then how many more."""
    names = [*dict.fromkeys(map(name_of, elements))]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""  # noqa: PLR2004 - as many as fit a line
    return ", ".join(names[:3]) + more
