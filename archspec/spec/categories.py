"""The categories of blocks: the keys that all their kinds take, their default kind, their key in `defaults`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.contract.kinds import BASES, BlockCommon
from archspec.program.nodes import NodeName

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archspec.contract.settings import Settings
    from archspec.program.nodes import Section
    from archspec.spec.spec import Block, Spec

COMMON: dict[str, type[Settings]] = {category: base.common for category, base in BASES.items()}
COMMON["block"] = BlockCommon
DEFAULT_KIND = {
    "expert": "mlp", "gate": "softmax", "feature_gate": "softmax", "block": "mlp", "tower": "mlp", "task": "binary",
}  # fmt: skip
KINDS = {"block": "expert"}
"""Category -> the category of its blocks' kinds, if it is another one."""
DEFAULTS: dict[str, Section] = {
    "input": "inputs", "expert": "experts", "gate": "gates", "feature_gate": "feature_gates", "tower": "towers",
    "fusion": "fusion", "block": "blocks",
}  # fmt: skip
"""Category -> its key under `defaults`."""

BOTTOM: dict[Section, str] = {"feature_gates": "feature_gate", "blocks": "block"}
"""Section of blocks below the first level -> their category. Such a block is a stream that anything may read by name.

It reads `from`, by default all inputs; if its category has a `selector`, that is by default the same as `from`.
"""

ABOUT = {
    "archspec": "Version of the language.",
    "name": "Name of the model; the compiled class has it in CamelCase.",
    "about": "Where the architecture comes from.",
    "extends": "A spec file, in this folder or below, that this one extends; `null` removes a key.",
    "requires": "Plugins that the spec needs; only `--plugin` enables one.",
    "defaults": "Default settings per category.",
    "sets": "Named lists that variables range over: `sets: {side: [a, b]}` defines `$side`.",
    "inputs": "The columns of a batch.",
    "groups": "Named lists of inputs.",
    "feature_gates": "Gates that scale features before the experts.",
    "blocks": "Experts below the levels that no gate mixes: anything may read them.",
    "tasks": "What the model learns to predict.",
    "levels": "Extraction levels, the lowest first.",
    "towers": "Towers, one per output.",
    "fusion": "Outputs computed from other outputs.",
    "balance": "How the losses of the tasks are combined.",
}
"""Section -> what it is for, in one line."""


def kinds_of(category: str) -> str:
    """The category of the kinds that the blocks of a category have: `blocks` have kinds of experts."""
    return KINDS.get(category, category)


def bottom_blocks(spec: Spec) -> Iterator[tuple[NodeName, Block]]:
    """The blocks below the first level, by section."""
    for section in BOTTOM:
        for name, block in getattr(spec, section).items():
            yield NodeName(section, name), block
