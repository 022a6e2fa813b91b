"""A figure into a file, in the format that the file's ending names."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

from archspec.files import ending_of, write_whole
from archspec.render.dot import to_dot
from archspec.render.draw import Format, draw
from archspec.render.mermaid import to_mermaid
from archspec.render.text import to_text

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    import networkx as nx


class Options(TypedDict, total=False):
    """What `to_dot` and its siblings take beside the graph."""

    selectors: bool
    collapse: int | None
    title: bool


def _drawn(graph: nx.DiGraph[str], format: Format, **options: Unpack[Options]) -> bytes:
    return draw(to_dot(graph, **options), format)


FORMATS: Final[dict[str, Callable[..., str | bytes]]] = {
    ".svg": partial(_drawn, format="svg"),
    ".png": partial(_drawn, format="png"),
    ".pdf": partial(_drawn, format="pdf"),
    ".dot": to_dot,
    ".mmd": to_mermaid,
    ".txt": to_text,
}


def render(graph: nx.DiGraph[str], path: str | os.PathLike[str], **options: Unpack[Options]) -> None:
    """Write the figure of a checked graph to `path`, whole or not at all.

    Raises:
        SpecError: AS604 for an ending that is none of FORMATS; what `draw` and `write_whole` raise.
    """
    write_whole(path, FORMATS[ending_of(path, FORMATS)](graph, **options))
