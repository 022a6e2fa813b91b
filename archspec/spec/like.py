"""Shared weights: an expert group or a block that is `like` another gets its kind, settings, count and weights."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from archspec.diagnostics import Diagnostics, Note, suggest
from archspec.program.nodes import NodeName
from archspec.spec.tree import provenance_at

if TYPE_CHECKING:
    from archspec.spec.spec import Block, Spec


def group_of(like: str, place: NodeName) -> NodeName:
    """The group or block that `like` names: `f` is one of the same level, `level1.experts.f` one of level 1.

    `place` is the group or block that has the `like`; a group is always like a group, a block like a block.
    """
    found = NodeName.parse(like)
    whole = found is not None and found.section == place.section and found.number is None
    return found if found is not None and whole else place.sibling(like)


def with_shared_weights(spec: Spec, diagnostics: Diagnostics) -> Spec:
    """The spec in which each group and block that is `like` another has the kind, settings and count of that one."""
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
    blocks = {name: likeness.filled(NodeName("blocks", name), block) for name, block in spec.blocks.items()}
    return replace(spec, levels=tuple(levels), blocks=blocks)


class _Likeness:
    def __init__(self, spec: Spec, diagnostics: Diagnostics) -> None:
        self.diagnostics = diagnostics
        self.groups = {
            NodeName("experts", name, level=number): block
            for number, level in enumerate(spec.levels, 1)
            for name, block in level.experts.items()
        }
        self.groups |= {NodeName("blocks", name): block for name, block in spec.blocks.items()}
        self.reported: set[NodeName] = set()
        """Groups in circles that were already reported."""

    def filled(self, place: NodeName, block: Block) -> Block:
        """The group with the kind, settings and count of its `like`; unchanged if that is wrong, which is reported."""
        like = _like(block)
        if like is None:
            return block
        owner = self.owner(place, block, like)
        if owner is None or owner.common is None:
            return block
        count = {} if place.section == "blocks" else {"count": owner.common.count}
        return replace(block, kind=owner.kind, common=block.common.model_copy(update=count), settings=owner.settings)

    def owner(self, place: NodeName, block: Block, like: str) -> Block | None:
        """The group whose weights another one uses."""
        source = group_of(like, place)
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
        known = [name_of(other, place) for other in self.groups if other != place and other.section == place.section]
        whole, thing = like.rpartition(".")[0], _thing(place)
        if whole in known:
            helps = f"write `like: {whole}`: `like` takes a whole group"
        else:
            guess = suggest(like, known)
            here = [name for name in known if "." not in name]
            helps = (
                f"did you mean `{guess}`? " if guess else ""
            ) + f"{thing.rpartition(' ')[2]}s here: {', '.join(here) or 'none'}"
        self.error("AS204", f"{_what(place)} is like unknown {thing} `{like}`", block, helps)

    def chain(self, place: NodeName, block: Block) -> None:
        """Reports a group whose `like` is a group that itself has a `like`."""
        path = [place]
        while (like := _like(self.groups.get(path[-1]))) is not None:
            following = group_of(like, path[-1])
            if following in path:
                self.circle(path[path.index(following) :], block, place)
                return
            path.append(following)
        if path[-1] not in self.groups:
            return  # reported at the last `like`
        middle, root = name_of(path[1], place), name_of(path[-1], place)
        message = f"{_what(place)} is like `{middle}`, which itself uses the weights of `{root}`"
        self.error("AS233", message, block, f"write `like: {root}`")

    def circle(self, path: list[NodeName], block: Block, place: NodeName) -> None:
        """Reports groups that are `like` each other in a circle, once."""
        if self.reported & set(path):
            return
        self.reported |= set(path)
        if len(path) == 1 and path[0] == place:
            self.error("AS233", f"{_what(place)} is like itself", block, "write its settings instead of `like`")
            return
        shown = " -> ".join(name_of(other, place) for other in [*path, path[0]])
        notes = [Note(_what(other), self.groups[other].span("like")) for other in path if other != place]
        message = f"these groups are `like` each other in a circle, so none of them has settings: {shown}"
        self.error("AS233", message, block, "write the settings of one of them instead of its `like`", notes)

    def error(self, code: str, message: str, block: Block, helps: str, notes: list[Note] | None = None) -> None:
        """An error at a group's `like`."""
        provenance = provenance_at(block.node, ("like",))
        self.diagnostics.error(code, message, block.span("like"), notes=[*provenance, *(notes or [])], help=helps)


def name_of(group: NodeName, place: NodeName) -> str:
    """The name that another group or block uses for this one in its `like`."""
    return group.name if (group.section, group.level) == (place.section, place.level) else group


def _thing(place: NodeName) -> str:
    return "block" if place.section == "blocks" else "expert group"


def _what(place: NodeName) -> str:
    return f"{_thing(place)} `{place.name}`" + (f" at level {place.level}" if place.level else "")


def _like(block: Block | None) -> str | None:
    like: str | None = block.common.like if block is not None and block.common is not None else None
    return like
