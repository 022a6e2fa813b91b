"""Parameters of a compiled model in groups for optimizers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict

from archspec.graph.load import graph_of
from archspec.graph.reach import trained_by
from archspec.nn.wrapped import unwrapped
from archspec.spec.categories import DEFAULTS
from archspec.train.weights import WeightLocation, spec_of, weight_locations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from archspec.graph.graph import Graph
    from archspec.spec.spec import Spec

_WORDS = {category: "tables" if category == "input" else section for category, section in DEFAULTS.items()}


class ParameterGroup(TypedDict):
    """A parameter group for torch optimizers: `params`, and a description of them."""

    params: list[nn.Parameter]
    name: str
    """`tables`, `feature_gates`, `experts`, `gates`, `towers`; `experts+gates` if one tensor contains both."""
    tasks: tuple[str, ...]
    """The tasks that train them."""
    sparse: bool
    """Whether their gradients are sparse: for SparseAdam, not for Adam."""
    weights: list[str]
    """Canonical names."""


def parameter_groups(
    model: nn.Module, spec: Spec | None = None, *, by: Literal["category", "task"] = "category"
) -> list[ParameterGroup]:
    """The trainable parameters of a compiled model, each in exactly one group, from bottom to top.

        groups = archspec.parameter_groups(model)
        dense = torch.optim.Adam([group for group in groups if not group["sparse"]])
        sparse = torch.optim.SparseAdam([group for group in groups if group["sparse"]], lr=1e-2)

    Args:
        model: plain or fused, wrapped or not. Parameters are never split: one with several experts is one item.
        spec: the model's spec, if the model comes from a built file.
        by: `task` returns one group per category and set of tasks, for example for a learning rate per tower.

    Raises:
        TypeError: the model is not a compiled model, or does not know its spec and none is given.
    """
    spec = spec_of(model) if spec is None else spec
    if spec is None:
        name = type(unwrapped(model)).__name__
        raise TypeError(f"{name} comes from a built file, which contains no spec: use parameter_groups(model, spec)")
    graph = graph_of(spec)
    trained = trained_by(graph)
    held: dict[str, list[WeightLocation]] = {}
    for location in weight_locations(model, graph):
        held.setdefault(location.parameter, []).append(location)
    found: dict[tuple[str, bool, tuple[str, ...]], list[list[WeightLocation]]] = {}
    for members in held.values():
        tasks = _tasks(members, trained, spec) if by == "task" else ()
        key = (_category(members, graph), _sparse(members, spec), tasks)
        found.setdefault(key, []).append(members)
    inner = unwrapped(model)
    return [
        {
            "params": [inner.get_parameter(members[0].parameter) for members in parameters],
            "name": name,
            "tasks": _tasks([location for members in parameters for location in members], trained, spec),
            "sparse": sparse,
            "weights": [location.weight for members in parameters for location in members],
        }
        for (name, sparse, _), parameters in found.items()
    ]


def _tasks(members: list[WeightLocation], trained: Mapping[str, tuple[str, ...]], spec: Spec) -> tuple[str, ...]:
    """The tasks that train at least one of the weights."""
    reached = {task for location in members for task in trained[location.node]}
    return tuple(task for task in spec.tasks if task in reached)


def _category(members: list[WeightLocation], graph: Graph) -> str:
    held = {graph.nodes[location.node].category for location in members}
    return "+".join(word for category, word in _WORDS.items() if category in held)


def _sparse(members: list[WeightLocation], spec: Spec) -> bool:
    """Whether a table has sparse gradients, which is the same for all fused weights."""
    names = {location.node.name for location in members if location.node.section == "inputs"}
    return any(spec.inputs[name].settings.sparse_gradients() for name in names & set(spec.inputs))
