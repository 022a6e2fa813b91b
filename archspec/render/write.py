"""Writes a figure to a file, in the format of the file's suffix."""

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
    """The arguments of `to_dot` and similar functions, except for the graph."""

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
    """Writes the figure of a checked graph to `path`, completely or not at all.

    Raises:
        SpecError: AS604 for a suffix that is not in FORMATS; also the errors of `draw` and `write_whole`.
    """
    write_whole(path, FORMATS[ending_of(path, FORMATS)](graph, **options))
