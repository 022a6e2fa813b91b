"""A number in each block: parameters, FLOPs or width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    import networkx as nx

UNITS: Final = ((10**9, "G"), (10**6, "M"), (10**3, "K"))
WORDS: Final = {"params": "{} params", "flops": "{} FLOPs", "width": "\u2192 {}"}


def annotated(graph: nx.MultiDiGraph[str], what: str | None) -> nx.MultiDiGraph[str]:
    """The graph, marked so that its figure shows a number in each block."""
    if what is None:
        return graph
    marked = graph.copy()
    marked.graph["annotate"] = what
    return marked


def number(graph: nx.MultiDiGraph[str], names: Iterable[str]) -> tuple[str, ...]:
    """The number of a block of these nodes as a line of text: their sum, or the width of one."""
    what = graph.graph.get("annotate")
    if what is None:
        return ()
    found: list[int | None] = [graph.nodes[name].get(what) for name in names]
    if what == "width":
        found = found[:1]
    if None in found:
        return (WORDS[what].format("?"),)
    total = sum(value or 0 for value in found)
    return (WORDS[what].format(_short(total)),) if total else ()


def _short(value: int) -> str:
    """A number with three digits.

    >>> _short(950), _short(12_345), _short(1_200_000)
    ('950', '12.3K', '1.2M')
    """
    for size, unit in UNITS:
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return str(value)
