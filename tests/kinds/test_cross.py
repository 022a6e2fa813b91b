"""`cross`: DCN-V2 and GDCN, against their formulas written out."""

from __future__ import annotations

import pytest
import torch

import archspec
from archspec.testing import check_kind
from tests.compiler.models import BOTH, batch_of, model_of
from tests.kinds.experts import WIDTH, assert_as_written, fused, text_of
from tests.plain.interactions import Cross


@pytest.mark.parametrize("rank", [None, 2])
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("units", [[], [5, 4]])
def test_four_experts_are_the_formula(rank: int | None, units: list[int], *, gated: bool) -> None:
    """x_(l+1) = x_0 * (W_l x_l + b_l) [* sigmoid(G_l x_l)] + x_l, then hidden layers."""
    given = f"kind: cross, layers: 2, gated: {str(gated).lower()}, units: {units}"
    given += f", rank: {rank}" if rank else ""
    assert_as_written(
        given, lambda: Cross(WIDTH, 2, rank, gated=gated, units=units), units[-1] if units else WIDTH
    )  # fmt: skip


@pytest.mark.parametrize(
    "settings", [{"layers": 1}, {"layers": 2, "rank": 3, "gated": True, "units": [5], "norm": "batch"}]
)
def test_the_contract_holds(settings: dict[str, object]) -> None:
    """It supports empty batches, `torch.compile` in one graph, numerical gradients and another width."""
    check_kind("cross", settings=settings)


def test_four_experts_are_one_stack_of_products() -> None:
    """The first V and G, which read the same stream, are one wide product each; all later ones are stacks of four."""
    found = fused("kind: cross, layers: 3, rank: 2, gated: true, units: [4]")
    assert {key: n for key, n in found.items() if key[0] in {"linear", "product", "sum"}} == {
        ("linear", 1): 2, ("linear", 4): 3 + 2 + 2 + 1, ("product", 4): 3, ("sum", 4): 3,
    }  # fmt: skip


@BOTH
@pytest.mark.parametrize("rank", ["", ", rank: 2"])
def test_zero_weights_are_the_identity(rank: str, *, optimize: bool) -> None:
    """With all weights of the cross layers at zero the model equals one with an `identity` expert, bit for bit."""
    crossed, same = (
        model_of(text_of(kind, count=2), optimize=optimize)
        for kind in (f"kind: cross, layers: 3, gated: true{rank}", "kind: identity")
    )
    weights = dict(crossed.named_weights())
    assert len([value.zero_() for name, value in weights.items() if ".cross." in name]) > 0
    same.load_weights(weights, strict=False)
    batch = batch_of(text_of("kind: identity"), 5)
    torch.testing.assert_close(crossed(batch), same(batch), rtol=0, atol=0)


def test_canonical_names() -> None:
    """A checkpoint contains `cross.L` with `linear`, or `down` and `up`, and `gate`; then `layers.N`."""
    names = {
        rank: [
            name.removeprefix("level1.experts.e.0.")
            for name, _ in archspec.compile(text_of(f"kind: cross, layers: 1, {rank}units: [4]")).named_weights()
            if ".experts." in name
        ]
        for rank in ("", "rank: 2, gated: true, ")
    }
    last = ["layers.0.weight", "layers.0.bias"]
    assert names[""] == ["cross.0.linear.weight", "cross.0.linear.bias", *last]
    assert names["rank: 2, gated: true, "] == [
        "cross.0.down.weight", "cross.0.up.weight", "cross.0.up.bias", "cross.0.gate.weight", *last
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ("", "3 layers"),
        ("layers: 1, ", "1 layer"),
        ("layers: 2, rank: 4, gated: true, units: [8, 5], ", "2 x rank 4, gated, 8, 5"),
    ],
)
def test_what_a_figure_says(settings: str, shown: str) -> None:
    """The box shows layers, rank, gate and sizes."""
    expert = archspec.load(text_of(f"{settings}kind: cross")).levels[0].experts["e"].settings
    assert expert is not None
    assert (expert.title, expert.detail()) == ("cross", shown)


@pytest.mark.parametrize("wrong", ["layers: 0", "layers: 1001", "rank: 0", "gated: 2", "units: [0]", "bias: true"])
def test_wrong_settings_are_refused(wrong: str) -> None:
    """No layer, no rank, or a word of another kind: each raises one diagnostic that names the setting."""
    with pytest.raises(archspec.SpecError, match=wrong.partition(":")[0]):
        archspec.load(text_of(f"kind: cross, {wrong}"))


def test_settings_of_layers_that_are_not_there_are_idle() -> None:
    """`activation` without `units` has no effect, and AS235 reports it."""
    found = archspec.load(text_of("kind: cross, activation: silu, dropout: 0.1")).diagnostics
    assert [item.code for item in found if item.code == "AS235"] == ["AS235", "AS235"]
