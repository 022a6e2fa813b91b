"""The nodes and edges of towers, and of switches over domains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.graph.construct.resolve import Reader, first_of
from archspec.program.nodes import NodeName
from archspec.spec.spec import Block, Switch

if TYPE_CHECKING:
    from archspec.graph.construct.wiring import Wiring


def connect_tower(wiring: Wiring, name: str, tower: Block | Switch) -> None:
    """Adds a tower node, or, for a switch, one per case and one that chooses."""
    what = f"tower `{name}`"
    if isinstance(tower, Block):
        _block(wiring, NodeName("towers", name), what, tower)
        return
    node = wiring.node(NodeName("towers", name), wiring.top, what, tower, kind="switch")
    values = _values(wiring, node, what, tower)
    if tower.cases and not wiring.diagnostics.incomplete:
        _compare(wiring, what, tower, values)
    for value, block in tower.cases.items():
        inner = f"case `{value}` of {what}"
        wiring.edge(_block(wiring, NodeName("towers", name, case=value), inner, block), node, "case")
        if block.common is not None and block.common.output is not None:
            wiring.error("AS109", f"{inner}: `output` belongs to the tower", block.span("output", key=True),
                         notes=block.provenance, help="write it next to `switch`")  # fmt: skip


def _values(wiring: Wiring, node: NodeName, what: str, tower: Switch) -> tuple[str, ...]:
    """The values of a switch's domain."""
    reader = Reader(what, wiring.top, tower)
    values = wiring.domain_values(tower.switch, reader, "switch") if tower.switch else None
    if values:
        wiring.edge(NodeName("inputs", tower.switch), node, "switch")
    return values or ()


def _compare(wiring: Wiring, what: str, tower: Switch, values: tuple[str, ...]) -> None:
    """Checks that each value has a case, and each case is a value."""
    missing = [value for value in values if value not in tower.cases]
    if missing:
        wiring.error(
            "AS213",
            f"{what} has no case for {first_of([f'`{value}`' for value in missing])} of `{tower.switch}`",
            tower.span("cases", key=True),
            notes=tower.provenance,
            help=f"add `{missing[0]}: ...` to `cases`, or write `$domain: ...`",
        )
    known = set(values)
    for value, block in tower.cases.items():
        if known and value not in known and value not in wiring.diagnostics.blamed:
            wiring.error("AS213", f"{what} has a case `{value}`, which is not a value of `{tower.switch}`", block.place,
                         notes=block.provenance, help=f"values: {first_of(values)}")  # fmt: skip


def _block(wiring: Wiring, node: NodeName, what: str, block: Block) -> NodeName:
    """A tower that is a block."""
    wiring.node(node, wiring.top, what, block)
    reader = Reader(what, wiring.top, block)
    wiring.read([node], "from", block.common and block.common.source, reader, ("from",))
    wiring.read_settings([node], reader)
    return node
