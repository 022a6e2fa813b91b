"""PNG and PDF of an SVG text, by Typst's renderer, with only the font in `arimo/`, so they are the same everywhere."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Literal

from archspec.diagnostics import unusable
from archspec.render.letters import FOLDER

DOTS_PER_INCH: Final = 300
PAGE: Final = (
    b"#set page(width: auto, height: auto, margin: 0pt, fill: none)\n"
    b'#image(bytes(sys.inputs.svg), format: "svg", alt: sys.inputs.title)'
)
EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)


def picture(svg: str, format: Literal["png", "pdf"], title: str = "") -> bytes:
    """The picture of an SVG text in its own size: PNG with 300 dots per inch, PDF with selectable text.

    Raises:
        SpecError: AS602 if the renderer fails, as for a picture that is too large.
    """
    import typst

    try:
        return _compiled(svg, format, title)
    except (RuntimeError, typst.TypstError) as problem:
        unusable(
            "AS602", f"the renderer could not make a {format.upper()}: {str(problem).splitlines()[0]}",
            help="the spec is not the cause; write SVG, which needs no renderer, or use a smaller `--width`",
        )  # fmt: skip


def _compiled(svg: str, format: Literal["png", "pdf"], title: str) -> bytes:
    import typst

    made: bytes = typst.compile(  # type: ignore[misc] # its stubs leave a type variable open
        PAGE, format=format, ppi=DOTS_PER_INCH, font_paths=[str(FOLDER)], ignore_system_fonts=True, timestamp=EPOCH,
        sys_inputs={"svg": svg, "title": title or "figure"},
    )  # fmt: skip
    return made
