"""Limits that are checked before a graph is built, so that a graph that is too large costs neither time nor memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.contract.limits import MOST_ALL_LAYERS, MOST_CELLS, MOST_EDGES, MOST_EXPERTS
from archspec.spec.categories import bottom_blocks
from archspec.spec.spec import Block, Switch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from archspec.contract.sees import Sees
    from archspec.diagnostics import Diagnostics
    from archspec.graph.graph import Graph, Node
    from archspec.spec.spec import Spec, TaskBlock

_FEWER = "let gates see fewer experts, or let blocks read less: each expert has an edge for each thing that it reads"


def check_size(spec: Spec, diagnostics: Diagnostics) -> None:
    """Counts the experts and layers of a spec, and the experts that its gates see.

    Raises:
        SpecError: AS137, AS218, AS219: there are too many.
    """
    layers = edges = experts = 0
    for block in _blocks(spec):
        copies = getattr(block.common, "count", 1) if block.category == "expert" else 1
        experts += copies if block.category == "expert" else 0
        if experts > MOST_EXPERTS:
            message = (
                f"the groups up to `{block.name}` have {experts:,} experts; a spec may have at most {MOST_EXPERTS:,}"
            )
            diagnostics.error(
                "AS137",
                message,
                block.place,
                notes=block.provenance,
                help="lower the `count` of the group in its `like`",
            )
            diagnostics.raise_errors()
        units = getattr(block.settings, "units", ())  # a plugin may have one number under this name
        layers += copies * (1 + (len(units) if isinstance(units, tuple | list) else 1))
        if layers > MOST_ALL_LAYERS:
            message = (
                f"the blocks up to `{block.name}` have {layers:,} layers; a spec may have at most {MOST_ALL_LAYERS:,}"
            )
            diagnostics.error(
                "AS218",
                message,
                block.place,
                notes=block.provenance,
                help="lower `count` or `repeat`, or write fewer `units`",
            )
            diagnostics.raise_errors()
    for level in spec.levels:
        counts = {name: block.common.count for name, block in level.experts.items() if block.common}
        total = sum(counts.values())
        for gate in level.gates.values():
            edges += _seen(gate.common.sees, counts, total) if gate.common else 0
            if edges > MOST_EDGES:
                too_many_edges(diagnostics, f"gate `{gate.name}`", gate)


def too_many_edges(diagnostics: Diagnostics, what: str, block: Block | Switch | TaskBlock) -> None:
    """Reports that blocks read more than anybody could draw or train.

    Raises:
        SpecError: AS219, always.
    """
    message = f"the blocks up to {what} read more than {MOST_EDGES:,} things"
    diagnostics.error("AS219", message, block.place, notes=block.provenance, help=_FEWER)
    diagnostics.raise_errors()


def check_table(graph: Graph, node: Node, diagnostics: Diagnostics) -> bool:
    """Whether the table of a domain gate, or of `exclude` or `only`, is small enough; reports it if not."""
    assert isinstance(node.block, Block)
    by_domain = node.block.common.by_domain
    domains = [edge.source.name for edge in graph.into(node.name, "domain")]
    domains += [by_domain.domain] if by_domain else []
    sizes = {name: len(graph.spec.domain(name) or ()) for name in domains if name in graph.spec.inputs}
    seen = len(graph.seen.get(node.name, ()))
    name = max(sizes, key=lambda name: sizes[name], default="")
    if not name or sizes[name] * seen <= MOST_CELLS:
        return True
    diagnostics.error(
        "AS220", f"{node.what} needs a table of {sizes[name]:,} values of `{name}` times {seen:,} experts; "
        f"at most {MOST_CELLS:,} numbers are allowed", node.block.place, notes=node.block.provenance,
        help="give the domain fewer values, or let the gate see fewer experts",
    )  # fmt: skip
    return False


def _blocks(spec: Spec) -> Iterator[Block]:
    yield from (block for _, block in bottom_blocks(spec))
    for level in spec.levels:
        yield from level.experts.values()
        yield from level.gates.values()
    for tower in spec.towers.values():
        if isinstance(tower, Switch):
            yield from tower.cases.values()
        else:
            yield tower


def _seen(sees: Sees, counts: Mapping[str, int], total: int) -> int:
    """The approximate number of experts seen; a name that is not a group's counts as one."""
    match sees.form:
        case "all":
            return total
        case "except":
            return total - sum(counts.get(name, 0) for name in set(sees.names))
        case "name":
            return counts.get(sees.names[0], 1)
        case _:
            return sum(_seen(item, counts, total) for item in sees.items)
