"""From a checked graph to a drawing that fits a width, and from a drawing to SVG, PNG and PDF."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypedDict, Unpack

from archspec.diagnostics import Diagnostic
from archspec.palette import THEMES
from archspec.render.alike import MOST_ALIKE, fold_alike
from archspec.render.annotate import annotated
from archspec.render.compose import compose
from archspec.render.focus import faded, in_front
from archspec.render.fold import fold
from archspec.render.letters import unprintable
from archspec.render.levels import fold_levels
from archspec.render.paint import Paint
from archspec.render.picture import picture
from archspec.render.style import NARROW, SLIM, WIDE
from archspec.render.svg import to_svg as written

if TYPE_CHECKING:
    from collections.abc import Callable

    import networkx as nx

    from archspec.render.figure import Figure
    from archspec.render.scene import Scene
    from archspec.render.style import Style

    Graph = nx.MultiDiGraph[str]

SMALLEST: Final = 6.5  # points; smaller text is not legible in print
LARGEST: Final = 1.1  # a small figure is not enlarged further than this; it gets margins
PAGE: Final = 600.0  # points, 800 pixels: figures fold to this width by default


class Options(TypedDict, total=False):
    """How a figure is drawn; every option has a default."""

    selectors: bool
    """Whether to draw selectors that are the stream of the gate's own experts."""
    collapse: int | None
    """Groups with more experts than this are drawn as one expert with a count."""
    caption: bool
    """Whether name, `about` and remarks are below the figure."""
    legend: bool
    """Whether the legend explains the marks that the figure uses."""
    width: float | None
    """Width in points: the figure folds, and is then scaled down, to fit it."""
    detail: Literal["paper", "full"]
    """`full`: draws every expert, task and level separately."""
    theme: Literal["light", "dark", "print"]
    focus: str | None
    """`task=NAME`: all that the task's output needs; `node=NAME`: a node with its neighbours. The rest
    fades."""
    trained_by: str | None
    """A task: what its loss trains is highlighted; the rest fades, as do lines along which no gradient flows back."""
    annotate: Literal["params", "flops", "width"] | None
    """A number in each block. Of `params` and `flops`, the graph's nodes must have it as an attribute of that name."""


@dataclass(frozen=True)
class Drawing:
    """A scene, its width in points, and its diagnostics."""

    scene: Scene
    across: float
    findings: tuple[Diagnostic, ...] = ()


class _Try(NamedTuple):
    """One way to draw a figure: how far it folds, and how small it is."""

    collapse: int | None
    alike: int
    style: Style


TRIES: Final = tuple(
    _Try(collapse, alike, style)
    for alike in (MOST_ALIKE, 1)
    for style in (WIDE, NARROW, SLIM)
    for collapse in (None, 1)
)
"""From the fullest to the most folded."""


def drawing(graph: Graph, **options: Unpack[Options]) -> Drawing:
    """The drawing of a checked graph.

    Uses the first of several ways to fold it in which the text is legible at the requested width. Warns if there is
    none (AS605), or if pictures cannot show some characters (AS606).
    """
    graph = annotated(graph, options.get("annotate"))
    width, front = options.get("width"), in_front(graph, options.get("focus"), options.get("trained_by"))
    full = options.get("detail", "paper") == "full"
    folded, scene = _folding(graph, options, full=full), None
    for attempt in TRIES[:1] if full else TRIES:
        made = _made(folded(attempt.collapse, attempt.alike if front is None else 10**6), attempt.style, options)
        if scene is None or made.width / made.smallest < scene.width / scene.smallest:
            scene = made
        if full or _legible(made, width or PAGE) >= SMALLEST:
            scene = made
            break
    assert scene is not None
    if front is not None:
        scene = faded(scene, front)
    return Drawing(scene.at_least((width or 0.0) / LARGEST), width or scene.width, tuple(_findings(scene, width)))


def _folding(graph: Graph, options: Options, *, full: bool) -> Callable[[int | None, int], Figure]:
    """From `collapse` and `alike` of an attempt to its figure, which several attempts share."""
    levelled, collapsed = graph if full else fold_levels(graph), options.get("collapse")

    @cache
    def alike(most: int) -> Graph:
        return levelled if full else fold_alike(levelled, most)

    @cache
    def folded(collapse: int | None, most: int) -> Figure:
        limit = collapsed or (10**6 if full else collapse)
        return fold(alike(most), selectors=options.get("selectors", False), collapse=limit)

    return folded


def _made(figure: Figure, style: Style, options: Options) -> Scene:
    paint = Paint(figure.tasks, THEMES[options.get("theme", "light")], style)
    return compose(figure, paint, caption=options.get("caption", True), keys=options.get("legend", True))


def _legible(scene: Scene, width: float) -> float:
    """The size of the smallest text at a width."""
    return scene.smallest * min(1.0, width / scene.width)


def _findings(scene: Scene, width: float | None) -> list[Diagnostic]:
    found = []
    if width is not None and (size := _legible(scene, width)) < SMALLEST:
        message = f"at this width the smallest text of `{scene.title}` is {size:.1f} pt, less than {SMALLEST} pt"
        help = f"draw it {scene.width * SMALLEST / scene.smallest / 72 * 2.54:.1f} cm wide{scene.widest}"  # noqa: A001
        found.append(Diagnostic("AS605", message, help=help, severity="warning"))
    if strange := "".join(dict.fromkeys("".join(unprintable(text.text) for text in scene.texts()))):
        message = f"PNG and PDF of `{scene.title}` show boxes in place of `{strange}`, which their font does not have"
        found.append(
            Diagnostic("AS606", message, help="use SVG, which is drawn with the reader's fonts", severity="warning")
        )
    return found


def encode(made: Drawing, ending: str) -> str | bytes:
    """A drawing as SVG text, or as the bytes of a PNG (300 dots per inch) or a PDF (with selectable text).

    Raises:
        SpecError: AS602 if the library that makes PNG and PDF fails.
    """
    svg = written(made.scene, made.across)
    return svg if ending == ".svg" else picture(svg, "png" if ending == ".png" else "pdf", made.scene.title)


def to_svg(graph: Graph, **options: Unpack[Options]) -> str:
    """The figure of a checked graph as SVG; `archspec.render.svg` says what its elements mean."""
    made = drawing(graph, **options)
    return written(made.scene, made.across)
