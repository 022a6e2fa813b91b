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
    """A block and its diagnostics."""
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
    """A misspelt key is read as the intended one, so no further errors follow."""
    assert read(category, text)[1] == [message]


def test_a_key_of_another_kind_says_so() -> None:
    """For a key of another kind, the help names the kinds that accept it."""
    diagnostics = Diagnostics()
    reader = BlockReader(None, plugins.built_in(), diagnostics)
    reader.block("gate", "g", parse("{sees: a, k: 2}", "x.yaml"), "gate `g`", PLACE)
    assert diagnostics.items[0].help == "`k` is a key of `kind: topk`"


def test_defaults_give_way() -> None:
    """A default applies where the block sets nothing and has the kind that the defaults are for."""
    block, messages = read("expert", "{units: [4]}", "experts: {dropout: 0.5, units: [8], count: 2}")
    assert (block.settings.dropout, block.settings.units, block.common.count) == (0.5, (4,), 2)
    block, more = read("expert", "{kind: identity}", "experts: {dropout: 0.5, count: 2}")
    assert (block.kind, block.common.count) == ("identity", 2)
    assert messages == more == []


def test_defaults_are_checked_once() -> None:
    """A key that no kind of the category accepts is reported at its location, even if no block uses the defaults."""
    assert read("expert", "{units: [4]}", "towers: {dropuot: 1}")[1] == [
        "unknown key `dropuot` in `defaults` of towers"
    ]
    assert read("expert", "{units: [4]}", "tower: {dropout: 0.5}")[1] == ["unknown key `tower` in `defaults`"]


@pytest.mark.parametrize(
    ("category", "text", "defaults", "settings"),
    [
        ("gate", "{sees: all, kind: sigmoid}", "gates: {temperature: 4}", {"temperature": 4.0}),
        (
            "gate",
            "{sees: all, kind: topk, k: 1}",
            "gates: {units: [3], temperature: 4}",
            {"temperature": 4, "units": (3,)},
        ),
        ("feature_gate", "{kind: sigmoid}", "feature_gates: {rank: 2}", {"rank": 2}),
        ("input", "{kind: dense}", "inputs: {dim: 8}", {"dim": 8}),
        ("input", "{kind: sparse, vocab: 9}", "inputs: {dim: 8}", {"dim": 8}),
        ("input", "{kind: sparse, vocab: 9}", "inputs: {kind: sparse, dim: 8}", {"dim": 8}),
        ("gate", "{sees: all, kind: sigmoid}", "gates: {kind: linear, temperature: 4}", {"temperature": 1.0}),
    ],
)
def test_a_default_reaches_every_kind_that_has_it(
    category: str, text: str, defaults: str, settings: dict[str, object]
) -> None:
    """A default without `kind` applies to every kind with that setting; with `kind`, to that kind only."""
    block, messages = read(category, text, defaults)
    assert messages == []
    assert {key: getattr(block.settings, key) for key in settings} == settings


def test_a_default_gives_way_to_what_excludes_it() -> None:
    """A shared table ignores a default `dim`, an own one a default `table`; `null` in a block declines a default."""
    shared, messages = read("input", "{kind: sequence, table: user}", "inputs: {dim: 8, sparse_grad: true}")
    own, more = read("input", "{kind: sparse, vocab: 9, dim: 2}", "inputs: {table: user}")
    plain, most = read("input", "{kind: domain, values: [a, b], dim: null}", "inputs: {dim: 8}")
    assert messages == more == most == []
    assert (shared.settings.table, shared.settings.dim) == ("user", None)
    assert (own.settings.table, own.settings.dim) == (None, 2)
    assert plain.settings.dim is None
