"""The memory that the weights of a model need: an error if no machine has as much, a warning if it is a lot."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from archspec.contract.limits import MANY_BYTES, MOST_BYTES
from archspec.diagnostics import Diagnostic, SpecError
from archspec.graph.calls import setting_span

if TYPE_CHECKING:
    from archspec.diagnostics import Severity
    from archspec.graph.graph import Graph
    from archspec.program import Program
    from archspec.program.program import Weight

BYTES = 4
"""Bytes of a number in float32."""


def check_size(program: Program, graph: Graph) -> tuple[Diagnostic, ...]:
    """A warning if the weights of a program need much memory, at the block with the largest weight.

    Raises:
        SpecError: AS221: they need more memory than any machine has.
    """
    if not program.weights:
        return ()
    total = BYTES * sum(prod(weight.shape) for weight in program.weights.values())
    if total <= MANY_BYTES:
        return ()
    largest = max(program.weights.values(), key=lambda weight: prod(weight.shape))
    if total <= MOST_BYTES:
        return (_finding("AS310", f"the weights need {_shown(total)} of memory as float32", largest, graph, "warning"),)
    message = f"the weights would need {_shown(total)} of memory as float32; at most {_shown(MOST_BYTES)} are allowed"
    raise SpecError([_finding("AS221", message, largest, graph, "error")])


def _finding(code: str, message: str, largest: Weight, graph: Graph, severity: Severity) -> Diagnostic:
    """A finding at the setting that makes the largest weight so large, or else at its block."""
    shape = " x ".join(f"{size:,}" for size in largest.shape)
    message = f"{message}: `{largest.name}` alone is {shape} numbers, {_shown(BYTES * prod(largest.shape))}"
    node = graph.nodes.get(largest.owner)
    if node is None:
        return Diagnostic(code, message, severity=severity)
    setting = next(
        (key for key in ("vocab", "units", "dim", "classes") if setting_span(node, key) != node.block.place), ""
    )
    span = setting_span(node, setting) if setting else node.block.place
    hint = "make it narrower"
    if setting == "vocab":
        hint = "hash ids into fewer rows (`vocab`), or make it narrower (`dim`)"
    return Diagnostic(code, message, span, notes=tuple(node.block.provenance), help=hint, severity=severity)


def _shown(size: float) -> str:
    """Bytes in words: GB, TB and so on, powers of 1000."""
    units = ["GB", "TB", "PB", "EB"]
    size /= 1e9
    while size >= 1000 and len(units) > 1:  # noqa: PLR2004 (of one unit in the next)
        size /= 1000
        del units[0]
    return f"{size:,.0f} {units[0]}" if size >= 10 else f"{size:.2g} {units[0]}"  # noqa: PLR2004 (digits enough)
