"""What a pass gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archspec.program import Program


@dataclass(frozen=True, slots=True)
class PassResult:
    """The new program; what was rewritten, and what was not and why, in sentences."""

    program: Program
    rewrites: tuple[str, ...] = ()
    misses: tuple[str, ...] = ()
