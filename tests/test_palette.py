"""Colours of figures."""

from __future__ import annotations

from itertools import combinations
from re import fullmatch

import pytest

from archspec import palette

TASKS = tuple(f"t{i}" for i in range(18))

# Machado, Oliveira, Fernandes (2009), severity 1.0: linear sRGB as protan, deutan and tritan readers see it.
SIGHT = {
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
LMS = ((0.41222147, 0.53633254, 0.05144599), (0.21190350, 0.68069955, 0.10739696), (0.08830246, 0.28171884, 0.62997870))
LAB = (
    (0.21045426, 0.79361779, -0.00407205),
    (1.97799850, -2.42859221, 0.45059371),
    (0.02590404, 0.78277177, -0.80867577),
)

Matrix = tuple[tuple[float, ...], ...]


def times(matrix: Matrix, vector: list[float]) -> list[float]:
    """Matrix times vector."""
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def oklab(colour: str, sight: Matrix) -> list[float]:
    """A colour in Oklab, as perceived by a reader."""
    channels = [value / 255 for value in bytes.fromhex(colour[1:])]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    seen = [min(max(c, 0.0), 1.0) for c in times(sight, linear)]
    return times(LAB, [c ** (1 / 3) for c in times(LMS, seen)])


@pytest.mark.parametrize("sight", SIGHT.values(), ids=SIGHT.keys())
def test_any_two_hues_differ_for_every_reader(sight: Matrix) -> None:
    """The distance in the palette's comment holds for each kind of colour blindness, and for grey."""
    for one, other in combinations((*palette.PALETTE, palette.GREY.line, palette.SAND.line), 2):
        pairs = zip(oklab(one, sight), oklab(other, sight), strict=True)
        assert sum((a - b) ** 2 for a, b in pairs) ** 0.5 > 0.1, (one, other)


def test_eighteen_tasks_have_eighteen_colours() -> None:
    """After six hues the palette repeats, darker and then lighter; every colour has six digits and readable text."""
    hues = [palette.hue(task, TASKS) for task in TASKS]
    assert len({hue.line for hue in hues}) == 18
    assert all(fullmatch("#[0-9a-f]{6}", c) for hue in hues for c in (hue.line, hue.text, hue.fill, hue.tint, hue.edge))
    assert min(palette.contrast(hue.text) for hue in hues) >= 4.5


@pytest.mark.parametrize("theme", palette.THEMES.values(), ids=palette.THEMES)
def test_words_can_be_read_in_every_theme(theme: palette.Theme) -> None:
    """Text has a contrast of at least 4.5 on the theme's background and on the fill of its box."""
    for hue in (*(palette.hue(task, TASKS, theme) for task in TASKS), theme.shared, theme.input):
        assert palette.contrast(hue.text, theme.back) >= 4.5
        assert palette.contrast(theme.ink, hue.fill) >= 4.5
    assert palette.contrast(theme.muted, theme.back) >= 4.5


def test_what_is_shared_is_grey() -> None:
    """Parts without an owner, or owned by something that is not a task, have the shared colours."""
    assert palette.hue(None, TASKS) is palette.hue("shared", TASKS) is palette.GREY
