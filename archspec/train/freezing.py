"""Blocks that are not trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.graph.load import graph_of
from archspec.nn.wrapped import unwrapped
from archspec.program.nodes import innermost
from archspec.train.weights import spec_of, weight_locations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from archspec.spec.spec import Spec
    from archspec.train.weights import WeightLocation


def freeze(model: nn.Module, blocks: Sequence[str], spec: Spec | None = None) -> tuple[str, ...]:
    """Excludes blocks of a compiled model from training: their parameters get no gradient (`requires_grad` is False).

        model = archspec.compile("specs/ple.yaml", separate=["inputs.user", "towers.vtr"])
        archspec.freeze(model, ["inputs.user", "towers.vtr"])

    `parameter_groups` then leaves them out, checkpoints contain them, and a backward pass skips them. Running
    statistics of norms still follow the batches in training mode. Call it before you make the optimizer and
    `MultiTaskLoss`.

    Args:
        model: plain, or fused with the same blocks as `separate`; wrapped or not.
        blocks: canonical names of blocks, of groups (`level1.experts.shared`), levels (`level1`) or sections
            (`towers`); or of single weights.
        spec: the model's spec, if the model comes from a built file.

    Returns:
        The canonical names of the weights that are frozen now.

    Raises:
        TypeError: the model is not a compiled model, or does not know its spec and none is given.
        ValueError: a name has no trainable weights; or its weights are in one parameter with others: compile the model
            with `separate`.
    """
    spec = spec_of(model) if spec is None else spec
    if spec is None:
        raise TypeError(f"{type(unwrapped(model)).__name__} comes from a built file: use freeze(model, blocks, spec)")
    found = weight_locations(model, graph_of(spec))
    chosen = innermost({location.weight: location.node for location in found}, blocks)
    frozen = [location for location in found if location.weight in chosen]
    _check_apart(found, frozen)
    for name in {location.parameter for location in frozen}:
        unwrapped(model).get_parameter(name).requires_grad_(False)  # noqa: FBT003 - torch's signature
    return tuple(location.weight for location in frozen)


def _check_apart(found: Sequence[WeightLocation], frozen: Sequence[WeightLocation]) -> None:
    """Raises ValueError if a parameter has frozen weights and others."""
    names, parameters = {location.weight for location in frozen}, {location.parameter for location in frozen}
    other = next((each for each in found if each.parameter in parameters and each.weight not in names), None)
    if other is not None:
        mine = next(each for each in frozen if each.parameter == other.parameter)
        raise ValueError(
            f"`{mine.weight}` and `{other.weight}` are in one parameter of the fused model: "
            f"compile it with separate=[{str(mine.node)!r}]"
        )
