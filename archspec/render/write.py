"""Writes a figure to a file, in the format of the file's suffix."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Unpack

from archspec.files import ending_of, write_whole
from archspec.render.dot import to_dot
from archspec.render.drawing import drawing, encode, to_svg
from archspec.render.mermaid import to_mermaid
from archspec.render.text import to_text

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    import networkx as nx

    from archspec.render.drawing import Options


def _picture(graph: nx.MultiDiGraph[str], ending: str, **options: Unpack[Options]) -> str | bytes:
    return encode(drawing(graph, **options), ending)


FORMATS: Final[dict[str, Callable[..., str | bytes]]] = {
    ".svg": to_svg,
    ".png": partial(_picture, ending=".png"),
    ".pdf": partial(_picture, ending=".pdf"),
    ".dot": to_dot,
    ".mmd": to_mermaid,
    ".txt": to_text,
}
TEXTS: Final = (".dot", ".mmd", ".txt")
"""Formats without width, theme or legend: the only options for them are `selectors`, `collapse` and `caption`."""


def render(graph: nx.MultiDiGraph[str], path: str | os.PathLike[str], **options: Unpack[Options]) -> None:
    """Writes the figure of a checked graph to `path`, completely or not at all.

    Raises:
        SpecError: AS604 for a suffix that is not in FORMATS; also the errors of `write_whole`.
    """
    write_whole(path, FORMATS[ending_of(path, FORMATS)](graph, **options))
