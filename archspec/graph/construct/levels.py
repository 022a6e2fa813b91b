"""The nodes and edges of an extraction level: experts, and gates with what they see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.graph.construct.resolve import Reader
from archspec.program.nodes import NodeName
from archspec.spec.like import group_of

if TYPE_CHECKING:
    from archspec.contract import Reference
    from archspec.graph.construct.wiring import Wiring
    from archspec.spec.spec import Block


def connect_level(wiring: Wiring, number: int) -> None:
    """Experts and gates of a level."""
    level = wiring.spec.levels[number - 1]
    for name, block in level.experts.items():
        _experts(wiring, number, name, block)
    for name, block in level.gates.items():
        _gate(wiring, number, name, block)


def _experts(wiring: Wiring, number: int, name: str, block: Block) -> None:
    """Adds the experts of a group, which all read the same stream."""
    reader = Reader(f"expert group `{name}` at level {number}", number, block)
    like = block.common.like if block.common and block.settings is not None else None
    group = NodeName("experts", name, level=number)
    owner = None if like is None else group_of(like, group)
    nodes = [
        wiring.node(group.member(index), number, reader.what, block, like=owner and owner.member(index))
        for index in range(block.common.count if block.common else 1)
    ]
    wiring.read(nodes, "from", block.common and block.common.source, reader, ("from",))
    wiring.read_settings(nodes, reader)


def _gate(wiring: Wiring, number: int, name: str, block: Block) -> None:
    reader = Reader(f"gate `{name}` at level {number}", number, block)
    node = wiring.node(NodeName("gates", name, level=number), number, reader.what, block)
    if block.common is None:
        return
    before = len(wiring.diagnostics.items)
    seen = wiring.graph.seen[node] = wiring.resolver.sees(block.common.sees, reader)
    for expert in seen:
        wiring.edge(expert.node, node, "sees", detached=expert.detached)
    if not seen and len(wiring.diagnostics.items) == before and not wiring.diagnostics.incomplete:
        wiring.error(
            "AS206",
            f"{reader.what} sees no expert",
            reader.span("sees"),
            notes=block.provenance,
            help="list expert groups in `sees`",
        )
    _selector(wiring, node, reader)
    _residual(wiring, node, reader)
    rule = block.common.by_domain
    if rule is not None and wiring.domain_values(rule.domain, reader, *rule.path):
        wiring.edge(NodeName("inputs", rule.domain), node, rule.setting)
    wiring.read_settings([node], reader)


def _selector(wiring: Wiring, node: NodeName, reader: Reader) -> None:
    """Connects a gate's selector: a stream, nothing, or a domain input."""
    block = reader.block
    reference, selects = block.common.selector, block.settings.selects if block.settings else "stream"
    if selects == "domain":
        _domain_selector(wiring, node, reference, reader)
    elif reference is not None and not is_none(reference):
        if selects == "none":
            wiring.error(
                "AS210",
                f"{reader.what}: a `{block.kind}` gate has no selector",
                reader.span("selector", key=True),
                notes=block.provenance,
                help="remove `selector`",
            )
        else:
            wiring.read([node], "selector", reference, reader, ("selector",))


def _domain_selector(wiring: Wiring, node: NodeName, reference: Reference | None, reader: Reader) -> None:
    names = [name.text for name in reference.names()] if reference and reference.combine == "concat" else []
    if len(names) != 1:
        span = reader.span("selector") if reference else reader.block.place
        wiring.error(
            "AS212", f"{reader.what} needs one domain input as its selector", span, notes=reader.block.provenance,
            help=f"write `selector: {next(iter(wiring.domains()), 'scene')}`",
        )  # fmt: skip
    elif wiring.domain_values(names[0], reader, "selector"):
        wiring.edge(NodeName("inputs", names[0]), node, "domain")


def _residual(wiring: Wiring, node: NodeName, reader: Reader) -> None:
    """Connects the gate of the same level that is added to the mix."""
    residual = reader.block.common.residual
    if residual is None:
        return
    gates = wiring.spec.levels[reader.level - 1].gates
    if residual in gates:
        wiring.edge(node.sibling(residual), node, "residual")
    else:
        message = f"{reader.what} adds gate `{residual}`, which level {reader.level} does not have"
        others = [name for name in gates if name != reader.block.name]
        wiring.absent("AS211", residual, message, reader, ("residual",), others, "other gates there")


def is_none(reference: Reference) -> bool:
    """Whether a selector is `none`."""
    return bool(reference.data() == "none")
