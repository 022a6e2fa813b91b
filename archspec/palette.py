"""The colours of all figures: one hue per task, grey for what is shared, the colour of sand for inputs.

Every colour has six hexadecimal digits, because renderers treat colours with an alpha part differently.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

# Blue, vermilion, green, gold, purple, sky: after Okabe and Ito, "Color Universal Design". Any two of them, and of the
# shared grey and the inputs' line, are at least 0.1 apart in Oklab, also as seen with each of the three kinds of colour
# blindness (Machado 2009, full severity).
PALETTE: Final = ("#2f61b5", "#d04614", "#34ad79", "#d9b400", "#b378c3", "#5bc1fb")
SHADES: Final = ((0.0, "#000000"), (0.38, "#000000"), (0.3, "#ffffff"))  # tasks 7-12 are darker, tasks 13-18 lighter

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


@dataclass(frozen=True)
class Theme:
    """The colours of a figure that belong to no task. `away`: hues are mixed with it where text needs more contrast."""

    back: str
    paper: str
    ink: str
    muted: str
    frame: str
    away: str
    shared: Hue
    input: Hue


def hue(owner: str | None, tasks: Sequence[str], theme: Theme | None = None) -> Hue:
    """The colours of a task by its position in `tasks`, or the shared ones if the owner is None or not a task."""
    theme = theme or LIGHT
    if owner is None or owner not in tasks:
        return theme.shared
    turn, place = divmod(list(tasks).index(owner), len(PALETTE))
    share, towards = SHADES[turn % len(SHADES)]
    line = blend(PALETTE[place], towards, share)
    while theme.back != WHITE and contrast(line, theme.back) < 4.5:  # noqa: PLR2004 WCAG's bound for small text
        line = blend(line, theme.away, 0.1)
    return _shades(line, theme.back, theme.away)


def recoloured(tasks: Sequence[str], old: Theme, new: Theme) -> dict[str, str]:
    """Each colour of a figure of these tasks in one theme -> the same in another."""
    return dict(zip(_colours(tasks, old), _colours(tasks, new), strict=True))


def _colours(tasks: Sequence[str], theme: Theme) -> list[str]:
    hues = [theme.shared, theme.input, *(hue(task, tasks, theme) for task in tasks)]
    own = [theme.back, theme.paper, theme.ink, theme.muted, theme.frame]
    return own + [colour for each in hues for colour in (each.line, each.text, each.fill, each.tint, each.edge)]


def blend(colour: str, other: str, share: float) -> str:
    """`colour` with `share` (0 to 1) of `other` mixed in, channel by channel.

    >>> blend("#000000", "#ffffff", 0.5)
    '#808080'
    """
    pairs = zip(_channels(colour), _channels(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def contrast(colour: str, other: str = WHITE) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.1)."""
    one, two = sorted((_luminance(colour), _luminance(other)))
    return (two + 0.05) / (one + 0.05)


def _luminance(colour: str) -> float:
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in _channels(colour)))  # noqa: PLR2004 the constants of sRGB
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _channels(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour.removeprefix("#")))


def _shades(line: str, back: str = WHITE, away: str = "#000000") -> Hue:
    readable = line
    while contrast(readable, back) < 4.5:  # noqa: PLR2004 WCAG's bound for small text
        readable = blend(readable, away, 0.1)
    return Hue(line=line, text=readable, fill=blend(line, back, 0.83), tint=blend(line, back, 0.93))


GREY: Final = Hue(line="#535353", text="#4a4a4a", fill="#ececec", tint="#f7f7f7")
SAND: Final = Hue(line="#7a726f", text="#5c5552", fill="#f6f1e4", tint="#fbf8f0")
LIGHT: Final = Theme(WHITE, WHITE, INK, "#5f5f5f", FRAME, "#000000", GREY, SAND)
PRINT: Final = Theme(WHITE, "none", "#000000", "#404040", "#8a8a8a", "#000000", GREY, SAND)
NIGHT: Final = "#16181c"
DARK: Final = Theme(
    NIGHT, NIGHT, "#ececec", "#a8a8a8", "#565a61", WHITE,
    Hue("#a6a6a6", "#b8b8b8", "#2b2d31", "#202226"), Hue("#a39a86", "#c2b9a4", "#2c2a24", "#23211d"),
)  # fmt: skip
THEMES: Final = {"light": LIGHT, "dark": DARK, "print": PRINT}
"""`print` has no background of its own."""
