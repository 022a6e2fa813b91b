"""The graph as networkx, which `archspec.build_graph` returns and the renderer draws."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from archspec.contract import FusionKind, Settings, overrides
from archspec.contract.reference import Name
from archspec.graph.construct.levels import is_none
from archspec.graph.load import graph_of
from archspec.program.nodes import NodeName
from archspec.spec.categories import DEFAULT_KIND
from archspec.spec.spec import Block, Spec, Switch, TaskBlock

if TYPE_CHECKING:
    from networkx import MultiDiGraph

    from archspec.contract import Reference
    from archspec.graph.graph import Graph, Node


def build_graph(spec: Spec) -> MultiDiGraph[str]:
    """The checked graph of a spec.

    Nodes are canonical names with the attributes `category, kind, level, width, tokens` (how many; None: rows), `tasks`
    (those whose loss reaches the node), `like` (the expert or block whose weights it uses, if not its own), `settings`
    (its canonical mapping), `changed` (those that differ from their defaults, unless an edge says it), `unsaid` (the
    keys of these that `detail` does not say), and for drawing `owner, group, index, case, title, detail`, `steered`
    (what decides a gate's weights, in words), `penalty` (whether a fusion gives no output and only adds to the loss)
    and `probability` (whether a task's output is one).

    Edges have `role` and `detached`; there is one for each (tail, head, role, detached), so two nodes can have several:
    a gate that reads a stream as its selector and also adds it has two. The graph itself has `name, about, tasks,
    levels, digest`, and `balance`, the canonical mapping of that section.
    """
    from networkx import MultiDiGraph

    graph = graph_of(spec)
    exported: MultiDiGraph[str] = MultiDiGraph(
        name=spec.name, about=spec.about, tasks=tuple(spec.tasks), levels=len(spec.levels), digest=spec.digest,
        balance={"kind": spec.balance.kind, **_changed(spec.balance.settings)},
    )  # fmt: skip
    for name, node in graph.nodes.items():
        exported.add_node(name, **_attributes(graph, node))
    for edge in graph.edges:
        key = f"{edge.role}, detached" if edge.detached else edge.role
        exported.add_edge(edge.source, edge.target, key=key, role=edge.role, detached=edge.detached)
    return exported


def _attributes(graph: Graph, node: Node) -> dict[str, Any]:
    return {
        "category": node.category,
        "kind": node.kind,
        "level": node.level,
        "width": graph.widths[node.name],
        "tokens": graph.tokens.get(node.name),
        "tasks": graph.tasks[node.name],
        "like": node.like,
        "settings": node.block.data(),
        "changed": _differing(graph, node),
        "unsaid": _unsaid(node),
        "owner": node.owner,
        "group": node.group,
        "index": node.index,
        "case": node.case,
        "title": _title(node),
        "detail": _detail(graph, node),
        "steered": _steered(node),
        "penalty": _is_penalty(node),
        "probability": isinstance(node.block, TaskBlock) and node.block.settings.output != "regression",
    }


def _is_penalty(node: Node) -> bool:
    """Whether a fusion has no score, and only adds to the loss."""
    return (
        node.category == "fusion"
        and isinstance(node.block, Block)
        and not overrides(node.block.settings, FusionKind.lower)
    )


def _title(node: Node) -> str:
    name = node.block.name
    match node.category:
        case "tower":
            return f"{node.case} tower" if node.case else f"{name} tower"
        case "expert" | "gate" | "fusion":
            title: str = node.block.settings.title if isinstance(node.block, Block) else ""
            return title or node.kind
        case _:
            return name


def _detail(graph: Graph, node: Node) -> str:
    if isinstance(node.block, Switch):
        return f"switch by {node.block.switch}"
    if not isinstance(node.block, Block):
        return node.kind
    detail: str = node.block.settings.detail()
    if node.category == "tower":
        task = graph.spec.tasks.get(node.name.name)
        head = str(task.settings.outputs() if task else 1)
        kind = "" if node.kind == DEFAULT_KIND["tower"] else node.block.settings.title or node.kind
        return ", ".join(part for part in (kind, detail, head) if part)
    if _is_penalty(node):
        return detail or "loss"
    if node.category == "block":
        detail = ", ".join(part for part in (node.block.settings.title or node.kind, detail) if part)
    if node.category in {"expert", "block"} and node.like is not None:
        return ", ".join(part for part in (detail, f"weights of {node.block.common.like}") if part)
    return detail


def _steered(node: Node) -> tuple[str, ...]:
    """A gate's selector in words: `("by scene", "not own scene")`; empty for a static gate."""
    if node.category != "gate" or not isinstance(node.block, Block):
        return ()
    selector, by_domain = node.block.common.selector, node.block.common.by_domain
    by = () if selector is None or is_none(selector) else (f"by {_spoken(selector)}",)
    return (*by, f"{by_domain.said} {by_domain.domain}") if by_domain else by


def _spoken(reference: Reference) -> str:
    """A reference as a formula: `a, b` for a concatenation, `a + b`, and `sg(a)` if the gradient is stopped."""
    parts = [_called(item.text) if isinstance(item, Name) else _spoken(item) for item in reference.items]
    match reference.combine:
        case "sum":
            return " + ".join(parts)
        case "detach":
            return f"sg({', '.join(parts)})"
        case _:
            return ", ".join(parts)


def _called(text: str) -> str:
    """The last name in a canonical name, such as `home` of `towers.ctr.cases.home`; another text as it is."""
    name = NodeName.parse(text)
    return text if name is None else name.case or name.name


def _differing(graph: Graph, node: Node) -> dict[str, Any]:
    """The keys of a node, common ones and its kind's, whose values are not the defaults; edges say the others."""
    edges = {edge.role for edge in graph.into(node.name)} - {"loss"}  # an edge names what a loss reads, not the loss
    match node.block:
        case Block() as block:
            found = _changed(block.common) | _changed(block.settings)
        case Switch() as switch:
            found = {"output": switch.output} if switch.output else {}
        case task:
            losses = [{"kind": loss.kind, **_changed(loss.common), **_changed(loss.settings)} for loss in task.losses]
            usual = losses == [task.settings.default_loss()]
            found = _changed(task.task) | _changed(task.settings) | ({} if usual else {"loss": losses})
    return {key: value for key, value in found.items() if key not in edges}


def _unsaid(node: Node) -> tuple[str, ...]:
    """The keys that differ from their defaults and are not in `detail`."""
    if not isinstance(node.block, Block):
        return ()
    own = () if node.block.settings is None else unsaid(node.block.settings)
    return (*_changed(node.block.common), *own)


def unsaid(settings: Settings) -> tuple[str, ...]:
    """The keys whose values are not the defaults and do not change `detail`."""
    found = []
    for name, field in type(settings).model_fields.items():
        value, usual = getattr(settings, name), field.get_default(call_default_factory=True)
        if value == usual:
            continue
        if field.is_required():
            text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
            told = re.search(rf"(?<![\w.]){re.escape(text)}(?![\w.])", settings.detail()) is not None
        else:
            told = settings.model_copy(update={name: usual}).detail() != settings.detail()
        if not told:
            found.append(field.alias or name)
    return tuple(found)


def _changed(settings: Settings | None) -> dict[str, Any]:
    """Settings that differ from their defaults, as plain data; of a setting inside another, the same."""
    if settings is None:
        return {}
    dumped: dict[str, Any] = settings.model_dump(mode="json", by_alias=True)
    found = {}
    for name, field in type(settings).model_fields.items():
        value, key = getattr(settings, name), field.alias or name
        if value != field.get_default(call_default_factory=True):
            found[key] = _changed(value) if isinstance(value, Settings) else dumped.get(key)
    return found
