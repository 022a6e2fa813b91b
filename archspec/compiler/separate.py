"""Weights of chosen blocks that are stored apart from all others, so that an optimizer can treat them differently."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from archspec.program.nodes import innermost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.program import Program


def separated(program: Program, blocks: Sequence[str]) -> Program:
    """The program with the weights of each block, by canonical name, in storages of their own; passes keep them apart.

    Raises:
        UnknownBlockError: no weight is in one of the blocks.
    """
    found = innermost({name: weight.owner for name, weight in program.weights.items()}, blocks)
    storages = {name: replace(storage, separate=found.get(name, "")) for name, storage in program.storages.items()}
    return replace(program, storages=storages)
