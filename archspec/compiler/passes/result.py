"""The result of a pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archspec.program import Program


@dataclass(frozen=True, slots=True)
class PassResult:
    """The new program, what the pass rewrote, and its missed-optimization remarks: what it did not rewrite, and why."""

    program: Program
    rewrites: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
