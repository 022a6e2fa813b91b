"""Shared weights of expert groups: a group that is `like` another has its kind, settings, count and weights."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from archspec.diagnostics import Diagnostics, Note, suggest
from archspec.program.nodes import NodeName
from archspec.spec.problems import provenance_at

if TYPE_CHECKING:
    from archspec.spec.spec import Block, Spec


def group_of(like: str, level: int) -> NodeName:
    """The group that `like` names: `f` is one of the level where it is written, `level1.experts.f` of another."""
    found = NodeName.parse(like)
    whole = found is not None and found.section == "experts" and found.number is None
    return found if found is not None and whole else NodeName("experts", like, level=level)


def with_shared_weights(spec: Spec, diagnostics: Diagnostics) -> Spec:
    """The spec in which groups that are `like` others have the kind, settings and count of these."""
    likeness = _Likeness(spec, diagnostics)
    levels = [
        replace(
            level,
            experts={
                name: likeness.filled(NodeName("experts", name, level=number), block)
                for name, block in level.experts.items()
            },
        )
        for number, level in enumerate(spec.levels, 1)
    ]
    return replace(spec, levels=tuple(levels))


class _Likeness:
    def __init__(self, spec: Spec, diagnostics: Diagnostics) -> None:
        self.diagnostics = diagnostics
        self.groups = {
            NodeName("experts", name, level=number): block
            for number, level in enumerate(spec.levels, 1)
            for name, block in level.experts.items()
        }
        self.reported: set[NodeName] = set()
        """Groups of a circle that was reported."""

    def filled(self, place: NodeName, block: Block) -> Block:
        """The group with kind, settings and count of the one that it is like; unchanged if that is wrong (reported)."""
        like = _like(block)
        if like is None:
            return block
        owner = self.owner(place, block, like)
        if owner is None or owner.common is None:
            return block
        common = block.common.model_copy(update={"count": owner.common.count})
        return replace(block, kind=owner.kind, common=common, settings=owner.settings)

    def owner(self, place: NodeName, block: Block, like: str) -> Block | None:
        """The group whose weights another has."""
        source = group_of(like, place.level)
        found = self.groups.get(source)
        if found is None:
            self.unknown(place, block, like)
        elif _like(found) is not None:
            self.chain(place, block)
            return None
        return found

    def unknown(self, place: NodeName, block: Block, like: str) -> None:
        """Reports a group that does not exist, unless an earlier mistake explains it."""
        if self.diagnostics.incomplete or like in self.diagnostics.blamed:
            return
        known = [name_of(other, place.level) for other in self.groups if other != place]
        whole = like.rpartition(".")[0]
        if whole in known:
            helps = f"write `like: {whole}`: a group is like a whole group"
        else:
            guess = suggest(like, known)
            here = [name for name in known if "." not in name]
            helps = (f"did you mean `{guess}`? " if guess else "") + f"groups here: {', '.join(here) or 'none'}"
        self.error("AS204", f"{_what(place)} is like unknown expert group `{like}`", block, helps)

    def chain(self, place: NodeName, block: Block) -> None:
        """Reports a group that is like one without settings of its own."""
        path = [place]
        while (like := _like(self.groups.get(path[-1]))) is not None:
            following = group_of(like, path[-1].level)
            if following in path:
                self.circle(path[path.index(following) :], block, place)
                return
            path.append(following)
        if path[-1] not in self.groups:
            return  # reported where it is named
        middle, root = name_of(path[1], place.level), name_of(path[-1], place.level)
        message = f"{_what(place)} is like `{middle}`, whose weights are those of `{root}`"
        self.error("AS233", message, block, f"write `like: {root}`")

    def circle(self, path: list[NodeName], block: Block, place: NodeName) -> None:
        """Reports groups of which each is like the next, once."""
        if self.reported & set(path):
            return
        self.reported |= set(path)
        if len(path) == 1 and path[0] == place:
            self.error("AS233", f"{_what(place)} is like itself", block, "write its settings instead of `like`")
            return
        shown = " -> ".join(name_of(other, place.level) for other in [*path, path[0]])
        notes = [Note(_what(other), self.groups[other].span("like")) for other in path if other != place]
        message = f"these are like each other in a circle, and none has settings of its own: {shown}"
        self.error("AS233", message, block, "write the settings of one of them instead of its `like`", notes)

    def error(self, code: str, message: str, block: Block, helps: str, notes: list[Note] | None = None) -> None:
        """An error at a group's `like`."""
        provenance = provenance_at(block.node, ("like",))
        self.diagnostics.error(code, message, block.span("like"), notes=[*provenance, *(notes or [])], help=helps)


def name_of(place: NodeName, level: int) -> str:
    """How a group is named from a level."""
    return place.name if place.level == level else place


def _what(place: NodeName) -> str:
    return f"expert group `{place.name}` at level {place.level}"


def _like(block: Block | None) -> str | None:
    like: str | None = block.common.like if block is not None and block.common is not None else None
    return like
