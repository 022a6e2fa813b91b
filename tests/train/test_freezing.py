"""Blocks that are not trained, and learning rates for single tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

import archspec
from tests.compiler.models import BOTH, batch_of, spec_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.nn.module import Compiled

BLOCKS = ("inputs.user", "level1.experts.shared", "towers.vtr")


def labels(spec: archspec.Spec, rows: int) -> dict[str, torch.Tensor]:
    """Labels of 0 and 1 for all tasks."""
    return {name: (torch.arange(rows) % 2).double() for name in spec.tasks}


def trained(model: Compiled, spec: archspec.Spec, steps: int = 3) -> dict[str, torch.Tensor]:
    """The weights after steps of AdamW with weight decay, by canonical name."""
    criterion = archspec.MultiTaskLoss(model)
    optimizer = torch.optim.AdamW(archspec.parameter_groups(model), lr=0.05, weight_decay=0.5)  # type: ignore[arg-type]
    for step in range(steps):
        batch = batch_of(spec, 12, seed=step) | labels(spec, 12)
        loss, _ = criterion(model(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {name: value.clone() for name, value in model.named_weights()}


def frozen_by_hand(spec: archspec.Spec, blocks: Sequence[str]) -> dict[str, torch.Tensor]:
    """The plain model, whose parameters are single weights: those of the blocks get no gradient."""
    plain = archspec.compile(spec, optimize=False, seed=0).double()
    for weight, parameter, _ in plain.weight_locations():
        if any(weight.startswith(f"{block}.") for block in blocks):
            plain.get_parameter(parameter).requires_grad_(False)  # noqa: FBT003 - torch's signature
    return trained(plain, spec)


@BOTH
def test_a_frozen_block_keeps_every_bit(*, optimize: bool) -> None:
    """Weight decay and moments do not touch it, and everything else trains as if frozen in the plain model."""
    spec = spec_of("ple")
    model = archspec.compile(spec, optimize=optimize, seed=0, separate=BLOCKS).double()
    before = {name: value.clone() for name, value in model.named_weights()}
    names = archspec.freeze(model, BLOCKS)
    assert names == tuple(name for name in before if name.startswith(BLOCKS))
    listed = [name for group in archspec.parameter_groups(model) for name in group["weights"]]
    assert not set(listed) & set(names)
    after, expected = trained(model, spec), frozen_by_hand(spec, BLOCKS)
    for name, value in after.items():
        assert torch.equal(value, before[name]) == (name in names), name
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-9, msg=name)


def test_fused_weights_are_not_frozen_by_accident() -> None:
    """A parameter that also has other weights is refused, with the argument that stores the block apart."""
    model = archspec.compile(spec_of("ple"), seed=0)
    with pytest.raises(ValueError, match=r"are in one parameter .* separate=\['towers\.vtr'\]"):
        archspec.freeze(model, ["towers.vtr"])
    assert all(parameter.requires_grad for parameter in model.parameters())
    with pytest.raises(ValueError, match=r"`towers\.vrt` .* did you mean `towers\.vtr`\?"):
        archspec.freeze(model, ["towers.vrt"])


def test_a_whole_section_can_be_frozen_without_separation() -> None:
    """All towers are in parameters of their own in any case."""
    model = archspec.compile(spec_of("ple"), seed=0)
    names = archspec.freeze(model, ["towers"])
    assert names == tuple(name for name, _ in model.named_weights() if name.startswith("towers."))


def test_separate_towers_have_groups_of_their_own() -> None:
    """With `separate`, `by="task"` returns a group for each tower of the fused model, for a learning rate per task."""
    spec = spec_of("ple")
    towers = [f"towers.{task}" for task in spec.tasks]
    fused = archspec.parameter_groups(archspec.compile(spec), by="task")
    assert [group["tasks"] for group in fused if group["name"] == "towers"] == [tuple(spec.tasks)]
    apart = archspec.parameter_groups(archspec.compile(spec, separate=towers), by="task")
    assert [group["tasks"] for group in apart if group["name"] == "towers"] == [(task,) for task in spec.tasks]


def test_a_balance_that_reads_gradients_needs_shared_weights_that_train() -> None:
    """If all shared weights are frozen, the criterion says so."""
    model = archspec.compile("""
archspec: 1
name: bottom
inputs: {x: {kind: dense, dim: 3}}
tasks: {a: {}, b: {}}
blocks: {bottom: {kind: mlp, from: x, units: [4]}}
towers: {$task: {from: blocks.bottom, units: [2]}}
balance: mgda
""")
    archspec.freeze(model, ["blocks"])
    with pytest.raises(ValueError, match="the tasks share none"):
        archspec.MultiTaskLoss(model)
