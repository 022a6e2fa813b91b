"""Gates whose rows see experts by their domain: `exclude` and `only`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.graph.construct.resolve import listed
from archspec.spec.spec import Block

if TYPE_CHECKING:
    from archspec.contract.exclude import Exclude
    from archspec.diagnostics import Diagnostics
    from archspec.graph.graph import Graph, Node


def check_by_domain(graph: Graph, node: Node, diagnostics: Diagnostics) -> None:
    """Checks that `exclude` or `only` fits the gate's kind, and leaves some experts for every value."""
    block = node.block
    assert isinstance(block, Block)
    rule: Exclude | None = block.common.by_domain
    if rule is not None and block.settings is not None and _fits(node, block, rule, diagnostics):
        _leaves_some(graph, node, block, rule, diagnostics)


def _fits(node: Node, block: Block, rule: Exclude, diagnostics: Diagnostics) -> bool:
    """Whether a gate of this kind can leave experts out, before or after its softmax."""
    word, kind = rule.setting, block.settings
    if rule.after_softmax and not kind.adds_up:
        message = f"{node.what}: a `{block.kind}` gate has no softmax after which it could apply `{word}`"
        fix = f"write `{word}: {rule.domain}`" if kind.excluded is not None else f"drop `{word}`"
        place = block.span(word, "after", key=True)
        diagnostics.error("AS230", message, place, notes=block.provenance, help=fix)
        return False
    if not rule.after_softmax and kind.excluded is None:
        message = f"{node.what}: a `{block.kind}` gate does not take `{word}`"
        fix = "use a softmax, sigmoid, linear or topk gate"
        diagnostics.error("AS210", message, block.span(word, key=True), notes=block.provenance, help=fix)
        return False
    return True


def _leaves_some(graph: Graph, node: Node, block: Block, rule: Exclude, diagnostics: Diagnostics) -> None:
    """Reports values of the domain whose rows would see no expert, or, with `only`, no expert of their own domain."""
    groups = {expert.group for expert in graph.seen[node.name]}
    values = graph.spec.domain(rule.domain) or ()
    missing = [value for value in values if value not in groups]
    if rule.setting == "only" and groups and missing:
        message = f"{node.what} sees only the experts of a row's own `{rule.domain}`, but no group `{missing[0]}`"
        fix = f"add an expert group for each value to `sees` (missing: {listed(missing)}), or drop `only`"
        diagnostics.error("AS236", message, block.span(*rule.path), notes=block.provenance, help=fix)
    if rule.setting == "exclude" and len(groups) == 1 and groups <= set(values):
        message = f"{node.what}: `exclude` leaves rows of `{groups.pop()}` without an expert"
        fix = "let the gate see experts of other domains too"
        diagnostics.error("AS210", message, block.span("exclude"), notes=block.provenance, help=fix)
