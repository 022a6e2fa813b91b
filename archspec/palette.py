"""The colours of all figures: one hue per task, grey for what is shared, yellow for inputs.

Every colour has six hexadecimal digits, because renderers treat colours with an alpha part differently.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

# Blue, vermilion, green, orange, purple, sky: after Okabe and Ito, "Color Universal Design". Any two are at least
# 0.07 apart in Oklab, also as seen with each of the three kinds of colour blindness (Machado 2009, full severity).
PALETTE: Final = ("#2f6db5", "#d0443c", "#1a9a78", "#e69f00", "#c779a7", "#5bb5e0")
SHADES: Final = ((0.0, "#000000"), (0.38, "#000000"), (0.3, "#ffffff"))  # a second and a third round: darker, lighter

WHITE: Final = "#ffffff"
INK: Final = "#1c1c1c"
MUTED: Final = "#8a8a8a"
FRAME: Final = "#b4b4b4"


@dataclass(frozen=True)
class Hue:
    """The colours of one owner: `line` for strokes, `text` for text, `fill` for boxes, `tint` behind boxes."""

    line: str
    text: str
    fill: str
    tint: str

    @property
    def edge(self) -> str:
        """A quieter stroke, around a group."""
        return blend(self.line, WHITE, 0.4)


def hue(owner: str | None, tasks: Sequence[str]) -> Hue:
    """The colours of a task by its position in `tasks`, or grey if the owner is None or not a task."""
    if owner is None or owner not in tasks:
        return GREY
    turn, place = divmod(list(tasks).index(owner), len(PALETTE))
    share, towards = SHADES[turn % len(SHADES)]
    return _shades(blend(PALETTE[place], towards, share))


def blend(colour: str, other: str, share: float) -> str:
    """`colour` with `share` (0 to 1) of `other` mixed in, channel by channel.

    >>> blend("#000000", "#ffffff", 0.5)
    '#808080'
    """
    pairs = zip(_channels(colour), _channels(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def contrast(colour: str) -> float:
    """Contrast ratio of `colour` on white, 1 to 21 (WCAG 2.1)."""
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in _channels(colour)))  # noqa: PLR2004 the constants of sRGB
    luminance = sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return 1.05 / (luminance + 0.05)


def _channels(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour.removeprefix("#")))


def _shades(line: str) -> Hue:
    readable = line
    while contrast(readable) < 4.5:  # noqa: PLR2004 WCAG's bound for small text
        readable = blend(readable, "#000000", 0.1)
    return Hue(line=line, text=readable, fill=blend(line, WHITE, 0.83), tint=blend(line, WHITE, 0.93))


GREY: Final = Hue(line="#6b6b6b", text="#5a5a5a", fill="#ececec", tint="#f7f7f7")
YELLOW: Final = Hue(line="#c9a227", text="#7a6110", fill="#fff3d6", tint="#fffaf0")
