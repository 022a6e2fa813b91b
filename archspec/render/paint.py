"""Which colours and sizes a figure uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archspec import palette

if TYPE_CHECKING:
    from archspec.palette import Hue, Theme
    from archspec.render.figure import Block
    from archspec.render.style import Style


@dataclass(frozen=True)
class Paint:
    """The colours of one figure, those of its theme and of its tasks, and its sizes."""

    tasks: tuple[str, ...]
    theme: Theme
    style: Style

    def hue(self, owner: str | None) -> Hue:
        """The colours of a task, or the grey of shared blocks."""
        return palette.hue(owner, self.tasks, self.theme)

    def block(self, block: Block) -> Hue:
        """The colours of a block, from its owner; filled only if no other task's loss trains it."""
        if block.form in {"inputs", "feature_gate"}:
            return self.theme.input
        hue, shared = self.hue(block.owner), self.theme.shared
        if block.owner is None or block.alone:
            return hue
        return palette.Hue(hue.line, hue.text, shared.fill, shared.tint)
