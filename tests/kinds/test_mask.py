"""`mask`: MaskNet, serial and parallel, against its formula written out."""

from __future__ import annotations

import pytest
import torch

import archspec
from archspec.testing import check_kind
from tests.compiler.models import BOTH, batch_of, model_of
from tests.kinds.experts import WIDTH, assert_as_written, fused, text_of
from tests.plain.interactions import MaskNet


@pytest.mark.parametrize("form", ["serial", "parallel"])
@pytest.mark.parametrize("fields", [None, 3])
@pytest.mark.parametrize(("units", "reduction"), [([], 1.0), ([5], 0.1), ([4], 2.5)])
def test_four_experts_are_the_formula(form: str, fields: int | None, units: list[int], reduction: float) -> None:
    """relu(LN(W3 (mask(x) * h))), block after block or side by side, then hidden layers."""
    blocks = [5, 4]
    given = f"kind: mask, blocks: {blocks}, form: {form}, reduction: {reduction}, units: {units}"
    given += f", fields: {fields}" if fields else ""
    serial = form == "serial"
    assert_as_written(
        given,
        lambda: MaskNet(WIDTH, blocks, serial=serial, reduction=reduction, fields=fields, units=units),
        units[-1] if units else 4 if serial else 9,
    )


@pytest.mark.parametrize(
    "settings", [{"blocks": [4, 3]}, {"blocks": [4, 3], "form": "serial", "units": [3], "fields": 3, "reduction": 2.0}]
)
def test_the_contract_holds(settings: dict[str, object]) -> None:
    """It supports empty batches, `torch.compile` in one graph, numerical gradients and another width."""
    check_kind("mask", settings=settings)


def test_four_experts_are_one_stack_of_products() -> None:
    """Four experts of two parallel blocks: the masks' first layers are one wide product, all others stacks of eight."""
    found = fused("kind: mask, blocks: [4, 4], units: [3]")
    assert {key: n for key, n in found.items() if key[0] in {"linear", "product"}} == {
        ("linear", 1): 1, ("linear", 8): 2, ("linear", 4): 1, ("product", 8): 1,
    }  # fmt: skip


@BOTH
def test_a_mask_of_ones_is_a_normed_layer(*, optimize: bool) -> None:
    """With W2 = 0 and b2 = 1 a serial block is relu(LN(W3 LN(x))), exactly as without a mask."""
    text = text_of("kind: mask, blocks: [4], form: serial")
    model, batch = model_of(text, optimize=optimize), batch_of(text, 5)
    weights = {name.removeprefix("level1.experts.e.0."): value for name, value in model.named_weights()}
    weights["blocks.0.project.weight"].zero_()
    weights["blocks.0.project.bias"].fill_(1.0)
    h = torch.layer_norm(batch["x"], (WIDTH,), weights["norm.weight"], weights["norm.bias"])
    h = h @ weights["blocks.0.hidden.weight"].T
    h = torch.relu(torch.layer_norm(h, (4,), weights["blocks.0.norm.weight"], weights["blocks.0.norm.bias"]))
    logit = h @ weights["towers.y.head.weight"].T + weights["towers.y.head.bias"]
    torch.testing.assert_close(model(batch)["y"], logit.squeeze(1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("settings", "shown"),
    [("blocks: [64, 32]", "parallel 64, 32"), ("blocks: [8], form: serial, units: [4, 2]", "serial 8 > 4, 2")],
)
def test_what_a_figure_says(settings: str, shown: str) -> None:
    """The box shows form and sizes."""
    expert = archspec.load(text_of(f"kind: mask, {settings}")).levels[0].experts["e"].settings
    assert expert is not None
    assert (expert.title, expert.detail()) == ("MaskNet", shown)


@pytest.mark.parametrize(
    "wrong", ["blocks: []", "form: both", "reduction: 0", "reduction: 101", "fields: 0", "fields: 4", "bias: true"]
)
def test_wrong_settings_are_refused(wrong: str) -> None:
    """No block, an unknown form, or fields that do not divide the input raise one diagnostic that names the setting."""
    blocks = "" if wrong.startswith("blocks") else "blocks: [4], "
    with pytest.raises(archspec.SpecError, match=wrong.partition(":")[0]):
        archspec.load(text_of(f"kind: mask, {blocks}{wrong}"))


def test_fields_help_works_when_followed() -> None:
    """The diagnostic names the input's width; the spec without `fields`, as the help suggests, loads."""
    with pytest.raises(archspec.SpecError, match="6 wide, which is not a multiple of `fields: 4`") as raised:
        archspec.load(text_of("kind: mask, blocks: [4], fields: 4"))
    assert "or remove it" in raised.value.diagnostics[0].help
    assert archspec.load(text_of("kind: mask, blocks: [4]")).tasks
