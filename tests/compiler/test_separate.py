"""Blocks whose weights are stored apart: the same model, with parameters that no other block shares."""

from __future__ import annotations

import pytest
import torch

import archspec
from archspec.nn.wrapped import unwrapped
from tests.compiler.models import NAMES, assert_agree, batch_of, run, spec_of

SPECS = tuple(name for name in NAMES if name in {"mmoe", "ple", "din_ple", "deepseek_moe", "pepnet", "star"})


def blocks_of(spec: archspec.Spec) -> list[str]:
    """An input, a tower and an expert or block of a spec."""
    graph = archspec.build_graph(spec)
    owners = dict.fromkeys(
        name.rpartition(".")[0] for name, _ in archspec.compile(spec, optimize=False).named_weights()
    )
    nodes = [name for name in graph.nodes if any(owner == name or owner.startswith(f"{name}.") for owner in owners)]
    first = {name.split(".")[0]: name for name in reversed(nodes)}
    return [name for name in first.values() if name.startswith(("inputs", "towers", "level", "blocks"))]


@pytest.mark.parametrize("name", SPECS)
def test_a_separate_block_changes_nothing_but_where_its_weights_are(name: str) -> None:
    """Outputs and gradients are those of the plain module, and no parameter has weights of the block and of others."""
    spec = spec_of(name)
    blocks = blocks_of(spec)
    assert blocks
    plain = archspec.compile(spec, optimize=False, seed=0).double()
    apart = archspec.compile(spec, seed=0, separate=blocks).double()
    batch = batch_of(spec, 8)
    torch.manual_seed(0)
    expected = run(plain, batch)
    torch.manual_seed(0)
    found = run(apart, batch)
    for mine, right in zip(found, expected, strict=True):
        assert_agree(mine, right, 1e-10)
    held: dict[str, set[str]] = {}
    for weight, parameter, _ in unwrapped(apart).weight_locations():  # type: ignore[operator]
        block = next((block for block in blocks if weight.startswith(f"{block}.")), "")
        held.setdefault(parameter, set()).add(block)
    assert all(len(found) == 1 for found in held.values())
    assert set(blocks) <= {block for found in held.values() for block in found}


def test_an_unknown_block_is_named_with_a_suggestion() -> None:
    """The message has the nearest canonical name, or the sections."""
    with pytest.raises(ValueError, match=r"`level1\.experts\.sharde` .* did you mean `level1\.experts\.shared`\?"):
        archspec.compile(spec_of("ple"), separate=["level1.experts.sharde"])
    with pytest.raises(ValueError, match="known: inputs, level1"):
        archspec.compile(spec_of("ple"), separate=["xyz"])
