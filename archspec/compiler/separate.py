"""Weights of chosen blocks that are stored apart from all others, so that an optimizer can treat them differently."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from archspec.program.nodes import unknown_block

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.program import Program
    from archspec.program.program import Weight


def separated(program: Program, blocks: Sequence[str]) -> Program:
    """The program with the weights of each block, by canonical name, in storages of their own; passes keep them apart.

    Raises:
        ValueError: no weight is in one of the blocks; the message suggests a name.
    """
    for block in blocks:
        if not any(within(weight, block) for weight in program.weights.values()):
            raise ValueError(unknown_block(block, [weight.owner for weight in program.weights.values()]))
    inner_first = sorted(blocks, key=len, reverse=True)
    storages = {
        name: replace(storage, separate=next((block for block in inner_first if within(weight, block)), ""))
        for name, storage in program.storages.items()
        for weight in [program.weights[name]]
    }
    return replace(program, storages=storages)


def within(weight: Weight, block: str) -> bool:
    """Whether a weight is in a block, a group of experts, a level or a section; or is the named weight itself."""
    return weight.owner.is_in(block) or weight.name == block
