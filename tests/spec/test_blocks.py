"""Blocks: keys, kinds, defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archspec import plugins
from archspec.diagnostics import Diagnostics, Span
from archspec.spec.blocks import BlockReader
from archspec.spec.source import parse

if TYPE_CHECKING:
    from archspec.spec.spec import Block

PLACE = Span("x.yaml", 1, 1, 1, 2)


def read(category: str, text: str, defaults: str = "") -> tuple[Block, list[str]]:
    """A block and the messages about it."""
    diagnostics = Diagnostics()
    reader = BlockReader(parse(defaults, "x.yaml") if defaults else None, plugins.built_in(), diagnostics)
    block = reader.block(category, "ctr", parse(f"b: {text}", "x.yaml").get("b"), "block `ctr`", PLACE)  # type: ignore[arg-type]
    return block, [item.message for item in diagnostics.items]


@pytest.mark.parametrize(
    ("category", "text", "message"),
    [
        ("expert", "{unit: [4]}", "unknown key `unit` in block `ctr`"),
        ("input", "{kid: dense, dim: 4}", "unknown key `kid` in block `ctr`"),
        ("input", "{kind:dense, dim: 4}", "unknown key `kind:dense` in block `ctr`"),
        ("expert", "{units: [4], count: }", "`count` of block `ctr` has no value"),
        ("input", "{dim: 4}", "block `ctr` needs a `kind`"),
        ("expert", "{kind: 3, units: [4]}", "`kind` of block `ctr` must be text"),
        ("tower", "[4]", "block `ctr` must be a mapping"),
    ],
)
def test_one_slip_is_one_message(category: str, text: str, message: str) -> None:
    """A misspelt key is read as the one that was meant: nothing follows from it."""
    assert read(category, text)[1] == [message]


def test_a_key_of_another_kind_says_so() -> None:
    """The help names the kinds that take the key."""
    diagnostics = Diagnostics()
    reader = BlockReader(None, plugins.built_in(), diagnostics)
    reader.block("gate", "g", parse("{sees: a, k: 2}", "x.yaml"), "gate `g`", PLACE)
    assert diagnostics.items[0].help == "`k` is a key of `kind: topk`"


def test_defaults_give_way() -> None:
    """A default counts where the block writes nothing, and is of the kind that the defaults are for."""
    block, messages = read("expert", "{units: [4]}", "experts: {dropout: 0.5, units: [8], count: 2}")
    assert (block.settings.dropout, block.settings.units, block.common.count) == (0.5, (4,), 2)
    block, more = read("expert", "{kind: identity}", "experts: {dropout: 0.5, count: 2}")
    assert (block.kind, block.common.count) == ("identity", 2)
    assert messages == more == []


def test_defaults_are_checked_once() -> None:
    """A key that no kind of a category takes is reported where it stands, even if no block uses the defaults."""
    assert read("expert", "{units: [4]}", "towers: {dropuot: 1}")[1] == [
        "unknown key `dropuot` in `defaults` of towers"
    ]
    assert read("expert", "{units: [4]}", "tower: {dropout: 0.5}")[1] == ["unknown key `tower` in `defaults`"]
