"""Where canonical weights are stored in a compiled model, and which tasks train them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archspec.graph.reach import last_nodes, trained_by
from archspec.nn.wrapped import unwrapped
from archspec.program.nodes import owner_of, path_in
from archspec.spec.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import nn

    from archspec.graph.graph import Graph
    from archspec.program.nodes import NodeName


@dataclass(frozen=True, slots=True)
class WeightLocation:
    """A trainable canonical weight: its node, its path there, the parameter that contains it, and its place in that."""

    weight: str
    node: NodeName
    path: tuple[str, ...]
    parameter: str
    index: tuple[Any, ...]


def spec_of(model: nn.Module) -> Spec | None:
    """The Spec that a model was compiled from; None for the class of a built file, which only knows its weights."""
    found = getattr(type(unwrapped(model)), "spec", None)
    return found if isinstance(found, Spec) else None


def weight_locations(model: nn.Module, graph: Graph) -> tuple[WeightLocation, ...]:
    """The trainable weights of a compiled model, in canonical order; fused weights share a parameter.

    Raises:
        ValueError: the model was built from another spec than the graph.
    """
    inner: Any = unwrapped(model)
    learning = {name for name, parameter in inner.named_parameters() if parameter.requires_grad}
    nodes = {owner: names[0] for owner, names in graph.users().items()}
    nodes |= {name: node.name for name, node in graph.nodes.items()}
    return tuple(
        WeightLocation(name, *_place(name, nodes, graph), holder, index)
        for name, holder, index in inner.weight_locations()
        if holder in learning
    )


def shared(found: tuple[WeightLocation, ...], graph: Graph) -> tuple[WeightLocation, ...]:
    """The weights that more than one task trains."""
    tasks = trained_by(graph)
    return tuple(location for location in found if len(tasks[location.node]) > 1)


def last_shared(found: tuple[WeightLocation, ...], graph: Graph) -> tuple[WeightLocation, ...]:
    """The last weights that the most tasks train: one matrix per node, with no such node between it and the outputs.

    Gates are skipped: tasks share experts, while gates only mix them. A plugin's module counts as a whole.
    """
    last = last_nodes(graph, {location.node for location in found})
    return tuple(location for node in graph.order if node in last for location in _last_layer(node, found))


def _last_layer(node: NodeName, found: tuple[WeightLocation, ...]) -> Iterator[WeightLocation]:
    own = [location for location in found if location.node == node]
    layers = [
        location for location in own if location.path[-1] == "weight" and not {"norms", "modulate"} & {*location.path}
    ]
    yield from layers[-1:] or own


def _place(weight: str, nodes: Mapping[str, NodeName], graph: Graph) -> tuple[NodeName, tuple[str, ...]]:
    """The node that owns a canonical weight, that with the longest matching name, and the weight's path in it.

    If the owner of shared weights is pruned, it is the first node that uses them.
    """
    name = owner_of(weight, nodes)
    if name is None:
        raise ValueError(
            f"the model has a weight `{weight}` that the spec `{graph.spec.name}` does not have: is this another spec?"
        )
    return nodes[name], path_in(name, weight)
