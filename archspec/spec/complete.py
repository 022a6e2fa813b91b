"""The defaults that make the short form work: what blocks read if the spec does not say so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from archspec.contract import Reference
from archspec.diagnostics import Diagnostics, suggest
from archspec.spec.categories import BOTTOM, bottom_blocks
from archspec.spec.spec import Block, Level, Spec, Switch

if TYPE_CHECKING:
    from collections.abc import Mapping as MappingType


def completed(spec: Spec, diagnostics: Diagnostics) -> Spec:
    """The spec with `column`, `from` and `selector` written out wherever they were left to their defaults."""
    levels: list[Level] = []
    for number, level in enumerate(spec.levels, 1):
        below = levels[-1].gates if levels else None
        complete = _Completion(below, number, diagnostics)
        experts = {name: complete.expert(block) for name, block in level.experts.items()}
        gates = {name: complete.gate(block) for name, block in level.gates.items()}
        levels.append(Level(experts, gates, level.node))
    bottom: dict[str, Any] = {section: {} for section in BOTTOM}
    for node, block in bottom_blocks(spec):
        bottom[node.section][block.name] = _bottom(block)
    top = _Completion(levels[-1].gates if levels else None, len(levels) + 1, diagnostics, renamed(spec))
    return replace(
        spec,
        inputs={
            name: _with(block, column=block.common and (block.common.column or name))
            for name, block in spec.inputs.items()
        },
        **bottom,
        levels=tuple(levels),
        towers={name: top.tower(block) for name, block in spec.towers.items()},
    )


def renamed(spec: Spec) -> dict[str, str]:
    """The task without an output -> the tower that was probably its output before one of them was renamed."""
    lonely = [name for name in spec.tasks if name not in spec.towers and name not in spec.fusion]
    parts = {part for block in spec.fusion.values() for part in getattr(block.settings, "of", ())}
    spare = [name for name in spec.towers if name not in spec.tasks and name not in parts]
    if len(lonely) != 1 or not spare:
        return {}
    meant = spare[0] if len(spare) == 1 else suggest(lonely[0], spare)
    return {lonely[0]: meant} if meant else {}


def _with(block: Block, **updates: Any) -> Block:  # noqa: ANN401 - settings of many types
    return replace(block, common=block.common.model_copy(update=updates)) if block.common else block


def _bottom(block: Block) -> Block:
    """Unless the spec says otherwise, a block below the first level reads all inputs, and so does its selector."""
    if block.common is None:
        return block
    source = block.common.source or Reference.parse("inputs")
    if "selector" not in type(block.common).model_fields:
        return _with(block, source=source)
    return _with(block, source=source, selector=block.common.selector or source)


class _Completion:
    """Fills in what the blocks of one level read; `below`: the gates of the previous level, None at the first."""

    def __init__(
        self,
        below: MappingType[str, Block] | None,
        level: int,
        diagnostics: Diagnostics,
        renamed: MappingType[str, str] | None = None,
    ) -> None:
        self.below, self.level, self.diagnostics, self.renamed = below, level, diagnostics, renamed or {}

    def stream(self, block: Block, name: str, what: str, key: str) -> Reference | None:
        """What a block with this name reads by default: the previous level's gate, or the inputs at the bottom."""
        if self.below is None:
            return Reference.parse("inputs")
        if name in self.below:
            return Reference.parse(name)
        if not self.diagnostics.incomplete and name not in self.renamed.values():
            below = f"level {self.level - 1}"
            guess = suggest(name, self.below) or next(iter(self.below), "inputs")
            self.diagnostics.error(
                "AS203",
                f"{what} has no `{key}`, and {below} has no gate named `{name}`",
                block.place,
                notes=block.provenance,
                help=f"write what it reads, such as `{key}: {guess}`, or give {below} a gate `{name}`; "
                f"gates there: {', '.join(self.below) or 'none'}",
            )
        return None

    def expert(self, block: Block) -> Block:
        """An expert group reads the gate of its own name."""
        if block.common is None or block.common.source is not None:
            return block
        what = f"expert group `{block.name}` at level {self.level}"
        return _with(block, source=self.stream(block, block.name, what, "from"))

    def gate(self, block: Block) -> Block:
        """A gate's selector is the stream of its own name, unless its kind takes none."""
        if block.common is None:
            return block
        if block.common.selector is None:
            selects = block.settings.selects if block.settings is not None else "stream"
            if selects == "stream":
                what = f"gate `{block.name}` at level {self.level}"
                block = _with(block, selector=self.stream(block, block.name, what, "selector"))
            elif selects == "none":
                block = _with(block, selector=Reference.parse("none"))
        return block

    def tower(self, tower: Block | Switch) -> Block | Switch:
        """A tower, and each case of a switch, reads the last level's gate of the tower's name."""
        if isinstance(tower, Switch):
            cases = {name: self.tower_block(block, tower.name) for name, block in tower.cases.items()}
            return replace(tower, cases=cases)
        return self.tower_block(tower, tower.name)

    def tower_block(self, block: Block, name: str) -> Block:
        """One tower."""
        if block.common is None or block.common.source is not None:
            return block
        return _with(block, source=self.stream(block, name, f"tower `{name}`", "from"))
