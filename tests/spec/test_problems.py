"""pydantic's findings are reported in archspec's words."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import Field

from archspec.contract import Reference, Settings
from archspec.contract.settings import Count, Finite, Units
from archspec.diagnostics import Diagnostics, Span
from archspec.spec.problems import shown, validated
from archspec.spec.source import parse

PLACE = Span("x.yaml", 9, 9, 9, 10)


class Inner(Settings):
    """Nested settings."""

    at: Literal["hidden", "input"] = "hidden"
    rank: Count


class Example(Settings):
    """Settings of every type."""

    units: Annotated[Units, Field(min_length=1)] = (1,)
    scale: Finite | Literal["fields"] = 1.0
    bias: bool = False
    inner: Inner | None = None
    source: Annotated[Reference | None, Field(alias="from")] = None


def said(text: str) -> list[tuple[str, str, int]]:
    """Message, help and column of each finding for one line of settings."""
    diagnostics = Diagnostics()
    result = validated(Example, parse(text, "x.yaml"), "tower `ctr`", PLACE, diagnostics)
    assert (result is None) == bool(diagnostics.items)
    return [(item.message, item.help, item.span.column if item.span else 0) for item in diagnostics.items]


@pytest.mark.parametrize(
    ("text", "message", "helps", "column"),
    [
        ("units: 64", "`units` of tower `ctr` must be a list, not `64`", "write `units: [64]`", 8),
        ("units: []", "`units` of tower `ctr` is empty", "write at least one", 8),
        ("units: [8, 0]", "each of `units` of tower `ctr` must be at least 1, not `0`", "", 12),
        ("scale: big", '`scale` of tower `ctr` must be a number or `fields`, not `"big"`', "choices: fields", 8),
        ("scale: .inf", "`scale` of tower `ctr` must be a finite number or `fields`, not `.inf`", "choices: fields", 8),
        ("bias: no", '`bias` of tower `ctr` must be true or false, not `"no"`', "write `bias: false`", 7),
        ("inner: {rank: 1, at: inptu}", '`inner.at` of tower `ctr` cannot be `"inptu"`',
         "did you mean `input`? choices: hidden, input", 22),
        ("inner: {at: input}", "`inner` of tower `ctr` needs `rank`", "add `rank: ...`", 8),
        ("inner: {rank: 1, att: input}", "unknown key `att` in `inner` of tower `ctr`",
         "did you mean `at`? keys here: at, rank", 18),
        ("inner: hidden", '`inner` of tower `ctr` must be a mapping, not `"hidden"`', "its keys: at, rank", 8),
        ("from: [a, {sum: []}]", "`from` of tower `ctr` is empty", "list what to read", 11),
    ],
)  # fmt: skip
def test_one_sentence_at_one_place(text: str, message: str, helps: str, column: int) -> None:
    """A wrong setting gives one sentence in the field's words, at the value, with a remedy if there is one."""
    assert said(text) == [(message, helps, column)]


def test_all_findings_come_together() -> None:
    """Two wrong settings give two findings."""
    assert len(said("{units: 3, bias: 1}")) == 2


def test_values_are_shown_as_yaml() -> None:
    """Values are quoted as written in the file, and truncated if they are long."""
    assert shown(value=True) == "`true`"
    assert shown({"a": [1, None]}) == "`{a: [1, null]}`"
    assert len(shown("x" * 500)) == 42
