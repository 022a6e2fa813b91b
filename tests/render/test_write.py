"""Files and formats."""

from __future__ import annotations

import json
import struct
import zlib
from typing import TYPE_CHECKING

import pytest

from archspec.diagnostics import SpecError
from archspec.render import letters, render
from archspec.render.picture import picture
from tests.render import graphs

if TYPE_CHECKING:
    from pathlib import Path


def code(problem: pytest.ExceptionInfo[SpecError]) -> str:
    """The code of the one diagnostic."""
    (diagnostic,) = problem.value.diagnostics
    return diagnostic.code


@pytest.mark.parametrize(
    ("name", "start"),
    [("a.svg", b"<svg"), ("a.PNG", b"\x89PNG"), ("a.pdf", b"%PDF"), ("a.dot", b"digraph"),
     ("a.mmd", b"%% ple\nflowchart BT"), ("a.txt", b"ple  Progressive")],
)  # fmt: skip
def test_the_ending_names_the_format(tmp_path: Path, name: str, start: bytes) -> None:
    """Each known extension, in any case, gives a complete file of that format, with the same bytes each time."""
    render(graphs.ple(), tmp_path / name)
    first = (tmp_path / name).read_bytes()
    assert first.startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    render(graphs.ple(), tmp_path / name)
    assert (tmp_path / name).read_bytes() == first


def test_png_has_300_dots_per_inch(tmp_path: Path) -> None:
    """A picture for a column of 8.5 cm is 1,004 dots wide."""
    render(graphs.ple(), tmp_path / "a.png", width=8.5 / 2.54 * 72)
    width, _ = struct.unpack(">II", (tmp_path / "a.png").read_bytes()[16:24])
    assert width == pytest.approx(8.5 / 2.54 * 300, abs=1)


def test_the_text_of_a_pdf_is_text(tmp_path: Path) -> None:
    """A PDF embeds both weights of the font and contains no picture."""
    render(graphs.ple(), tmp_path / "a.pdf")
    data = (tmp_path / "a.pdf").read_bytes()
    streams = [data]
    for part in data.split(b"stream\n")[1:]:
        try:
            streams.append(zlib.decompress(part.partition(b"\nendstream")[0]))
        except zlib.error:
            continue
    assert {weight for weight in (b"Arimo-Bold", b"Arimo") if any(weight in stream for stream in streams)} == {
        b"Arimo-Bold", b"Arimo",
    }  # fmt: skip
    assert not any(b"/Subtype /Image" in stream or b"/Subtype/Image" in stream for stream in streams)


def test_a_picture_that_cannot_be_made_is_reported() -> None:
    """An error of the library becomes one diagnostic instead of a traceback."""
    with pytest.raises(SpecError, match="could not make a PNG") as problem:
        picture("no picture", "png")
    assert code(problem) == "AS602"


def test_an_unknown_ending_lists_the_known(tmp_path: Path) -> None:
    """`.jpg` is refused before anything is drawn, with a list of the supported formats."""
    with pytest.raises(SpecError, match=r"\.svg, \.png, \.pdf, \.dot, \.mmd, \.txt") as problem:
        render(graphs.ple(), tmp_path / "figure.jpg")
    assert code(problem) == "AS604"
    assert not list(tmp_path.iterdir())


def test_the_widths_are_those_of_the_font() -> None:
    """Text is measured with the advance widths of the font files that draw the pictures."""
    fonts = pytest.importorskip("fontTools.ttLib")  # comes with matplotlib
    for weight, file in (("regular", "Arimo-Regular.ttf"), ("bold", "Arimo-Bold.ttf")):
        font = fonts.TTFont(letters.FOLDER / file)
        advances, scale = font["hmtx"], font["head"].unitsPerEm / 1000
        expected = {chr(code): round(advances[name][0] / scale) for code, name in font.getBestCmap().items()}
        assert json.loads((letters.FOLDER / "widths.json").read_text(encoding="utf-8"))[weight] == expected
