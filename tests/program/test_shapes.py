"""The rules of shapes that no spec can break: each is tested on operands that fit and on operands that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archspec.program import Op, Value, shapes

if TYPE_CHECKING:
    from archspec.program.program import Dim

Shape = tuple["Dim", ...]

THREE = ((2, "B", 3), (2, "B", 4), (1, "B", 4), (1, "B", 4))
"""Weights of two gates for three experts: one of each gate's own, and two that both see."""


@pytest.mark.parametrize(
    ("operands", "own", "expected"),
    [
        (THREE, (True, False, False), (2, "B", 4)),
        ((*THREE[:2], (2, "B", 4)), (True, False), (2, "B", 4)),
        (((2, "B", 2), (4, "B", 4)), (True,), (2, "B", 4)),
        (THREE[:3], (True, False), ()),
        (THREE, (False, False, False), ()),
        (THREE, (True, False), ()),
        (THREE, (True, False, False, False), ()),
        (((2, "B", 2), (3, "B", 4), (1, "B", 4)), (True, False), ()),
        (((2, "B", 2), (2, "B", 4), (1, "B", 5)), (True, False), ()),
        ((("B", 3), *THREE[1:]), (True, False, False), ()),
    ],
)
def test_a_mix_of_seen_experts_has_a_weight_for_each(
    operands: tuple[Shape, ...], own: tuple[bool, ...], expected: Shape
) -> None:
    """Weights have one column per expert of a gate: own experts count once per gate, and each part is marked."""
    inputs = tuple(Value(f"v{place}", shape) for place, shape in enumerate(operands))
    op = Op("mix_seen", inputs, Value("y", (2, "B", 4)), (), (("own", own),))
    assert shapes.mix_seen(op, ()) == expected
