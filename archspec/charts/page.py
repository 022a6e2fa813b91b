"""A page to draw charts on: places panels in inches, measures words before placing them, and writes the file."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from archspec import palette
from archspec.diagnostics import unusable
from archspec.files import ending_of, write_whole

if TYPE_CHECKING:
    import os

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS: Final = (".svg", ".png")
DOTS_PER_INCH: Final = 200
LINE: Final = 7.0
"""Width of a line of panels in inches: the width of a printed page between its margins."""

EDGE: Final = 0.12
"""Empty margin around a page, in inches."""

TITLE, WORDS, SMALL = 8.0, 7.0, 6.0
"""Sizes of words in points."""

# matplotlib includes DejaVu Sans, so words have the same width everywhere; a viewer without it uses a narrower font.
FONTS: Final = ("DejaVu Sans", "Helvetica", "Arial")
SETTINGS: Final[dict[Any, Any]] = {  # matplotlib's type for the keys differs from release to release
    "font.family": "sans-serif",
    "font.sans-serif": FONTS,
    "svg.fonttype": "none",  # words stay text: sharp in print, and searchable
    "svg.hashsalt": "archspec",  # the ids inside the file are the same each time
    "path.simplify": False,
}


def need_matplotlib() -> None:
    """Raises SpecError AS601, which says how to install matplotlib, if it is missing."""
    try:
        import_module("matplotlib.figure")
    except ImportError as error:
        unusable(
            "AS601",
            f"charts are drawn by matplotlib, which cannot be imported: {error}",
            help="pip install 'archspec-mtl[train]'; from a checkout: pip install -e '.[train]'",
        )


def new_page(width: float, height: float) -> Figure:
    """An empty white page of `width` x `height` inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), facecolor=palette.WHITE)


def add_panel(page: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """A panel of `width` x `height` inches, its upper left corner `left` and `top` inches from that of the page."""
    across, down = page.get_size_inches()
    axes = page.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))
    axes.set_facecolor("none")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=palette.FRAME, linewidth=0.6)
    axes.tick_params(length=2, width=0.6, pad=2, color=palette.FRAME, labelcolor=palette.INK, labelsize=SMALL)
    axes.grid(axis="y", color=palette.blend(palette.FRAME, palette.WHITE, 0.6), linewidth=0.5)
    axes.set_axisbelow(True)
    return axes


def add_words(page: Figure, left: float, top: float, words: str, size: float = WORDS, **look: Any) -> None:  # noqa: ANN401 - what matplotlib's Text takes
    """Writes words, their upper left corner (with `ha="right"`, the upper right one) at `left` and `top` inches."""
    across, down = page.get_size_inches()
    look = {"color": palette.MUTED, "ha": "left"} | look
    page.text(left / across, 1 - top / down, words, fontsize=size, va="top", parse_math=False, **look)


@cache
def width_of(words: str, size: float) -> float:
    """Width of a line of words, in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    if not words.strip():
        return 0.0
    prop = FontProperties(family=FONTS[0], size=size)
    return float(TextPath((0, 0), words.replace("$", "S"), prop=prop).get_extents().width) / 72


def write_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Writes a chart to `path`, as .svg or .png by the file's suffix; completely or not at all.

    Raises:
        SpecError: AS604 for another suffix; also the errors of `write_whole`.
    """
    from matplotlib import rc_context

    ending, picture = ending_of(path, FORMATS), BytesIO()
    metadata = {"Date": None, "Creator": None} if ending == ".svg" else {"Software": None}
    with rc_context(SETTINGS):
        figure.savefig(picture, format=ending.removeprefix("."), dpi=DOTS_PER_INCH, metadata=metadata)
    write_whole(path, picture.getvalue())
