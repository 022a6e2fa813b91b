"""Warm start of the gates of plugins that choose experts: DeepSeekMoE's router and DSelect-k's selectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from archspec.train.migration import SHARE
from tests.specs.test_modern_identities import batch_of, loaded
from tests.train.test_migration import migrated, trained

if TYPE_CHECKING:
    from archspec.train.changes import Migration

TASK = ("  like: {kind: binary}", "  like: {kind: binary}\n  buy: {kind: binary}")


def both(name: str, before: tuple[tuple[str, str], ...], now: tuple[tuple[str, str], ...]) -> tuple[float, Migration]:
    """The largest change of an old logit, and the migration of one edit of a spec to another."""
    old, new = trained(loaded(name, before), optimize=False), loaded(name, now)
    found = migrated(old, new, optimize=False)
    batch = batch_of(name)
    with torch.no_grad():
        logits, others = old(batch), found.model(batch)
    return max(float((logits[each] - others[each]).abs().max()) for each in logits), found


def experts(count: int, *edits: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """Edits to a spec: how many experts there are to choose from, and others."""
    return (("count: 8", f"count: {count}"), *edits)


def added_weight(name: str, found: Migration, known: int) -> float:
    """The largest weight that a row gives to all experts after the `known` first ones."""
    weights = found.model.gate_weights(batch_of(name))
    return max(float(each[..., known:].sum(-1).max()) for each in weights.values())


def reasons(found: Migration) -> set[str]:
    """Why added experts start with more than little weight."""
    return {change.why for change in found.changes if ".gates." in change.weight and change.why}


@pytest.mark.parametrize("name", ["deepseek_moe", "dselect_k"])
def test_a_new_task_changes_no_output(name: str) -> None:
    """Old tasks keep their outputs exactly; only what belongs to the new task is drawn."""
    task = TASK if name == "deepseek_moe" else ("  satisfaction: {kind: binary}", "  satisfaction: {}\n  buy: {}")
    change, found = both(name, (), (task,))
    assert change == 0
    assert {each.how for each in found.changes if "buy" not in each.weight} == {"kept"}


def test_an_added_routed_expert_is_not_chosen_at_first() -> None:
    """Its bias is below those of all others by more than an affinity can be, so outputs are exactly equal."""
    change, found = both("deepseek_moe", (), experts(10))
    assert change == 0
    assert added_weight("deepseek_moe", found, 10) == 0
    assert not reasons(found)
    grown = {each.weight: (each.kept, each.rows) for each in found.changes if each.how == "grown"}
    names = {f"level1.gates.{task}.{path}" for task in ("click", "like") for path in ("bias", "head.weight")}
    assert grown == dict.fromkeys(names, (8, 10))


def test_an_added_routed_expert_is_chosen_once_its_bias_rose() -> None:
    """`update` raises the bias of an expert that no row chooses with each training pass."""
    _, found = both("deepseek_moe", (), experts(9, ("update: 0.001", "update: 0.2")))
    model, batch = found.model.train(), batch_of("deepseek_moe")
    for _ in range(40):
        model(batch)
    assert added_weight("deepseek_moe", found, 10) > 0


def test_an_expert_in_front_leaves_the_routed_ones_their_rows() -> None:
    """Rows belong to routed experts only: a third shared one moves none; that it has weight 1 is said."""
    _, found = both("deepseek_moe", (), (("shared: {count: 2", "shared: {count: 3"),))
    before = dict(trained(loaded("deepseek_moe"), optimize=False).named_weights())
    after = dict(found.model.named_weights())
    assert torch.equal(after["level1.gates.click.head.weight"], before["level1.gates.click.head.weight"])
    assert reasons(found) == {"experts that are added to `shared` have weight 1 in every row"}
    assert "kept    level1.gates.click.head.weight: experts that are added" in found.text()


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (("k: 2", "k: 9"), "`k: 9` is more than the 8 trained experts"),
        (("update: 0.001", "update: 0"), "without `update`"),
    ],
)
def test_a_routed_expert_without_a_bound_is_said(edit: tuple[str, str], why: str) -> None:
    """If k exceeds the trained experts, or biases never change, added experts have weight at once, and it is said."""
    _, found = both("deepseek_moe", (edit,) if "update" in edit[0] else (), experts(10, edit))
    assert any(why in each for each in reasons(found))


@pytest.mark.parametrize("edit", [("k: 2", "k: 2, gamma: 4.0"), ("k: 2", "k: 2, selector: none"), ("k: 2", "k: 3")])
@pytest.mark.parametrize(("before", "now"), [(8, 9), (4, 7), (1, 2), (2, 5)])
def test_experts_with_a_further_bit_enter_below_the_share(before: int, now: int, edit: tuple[str, str]) -> None:
    """The step of each further bit starts so low that added experts have at most the share; a gradient reaches it."""
    _, found = both("dselect_k", experts(before, edit), experts(now, edit))
    assert 0 < added_weight("dselect_k", found, before) <= SHARE
    assert not reasons(found)


def test_the_other_experts_keep_their_proportions() -> None:
    """With a ninth expert, every old weight is scaled by the same factor of at least 1 - share in each selector."""
    old = trained(loaded("dselect_k"), optimize=False)
    found = migrated(old, loaded("dselect_k", experts(9)), optimize=False)
    batch = batch_of("dselect_k")
    for name, weights in old.gate_weights(batch).items():
        now = found.model.gate_weights(batch)[name]
        assert bool((now[:, :8] <= weights + 1e-12).all())
        torch.testing.assert_close(now[:, :8], weights, rtol=SHARE, atol=1e-12)


def test_an_expert_with_an_unused_code_leaves_the_others_exactly() -> None:
    """From six to seven experts no bit is added: old weights are equal, and the report says what the new one gets."""
    old = trained(loaded("dselect_k", experts(6)), optimize=False)
    found = migrated(old, loaded("dselect_k", experts(7)), optimize=False)
    batch = batch_of("dselect_k")
    for name, weights in old.gate_weights(batch).items():
        assert torch.equal(found.model.gate_weights(batch)[name][:, :6], weights)
    why = "an added expert takes a code without an expert, and starts with the weight that it already had"
    assert reasons(found) == {why}


def test_without_a_bias_a_further_bit_starts_at_one_half() -> None:
    """No row of z can be low for all inputs without a bias; the report says so."""
    edit = ("k: 2", "k: 2, bias: false")
    _, found = both("dselect_k", (edit,), experts(9, edit))
    assert reasons(found) == {"without `bias: true` in the gate, added experts start with half of the weight"}


def test_experts_with_other_numbers_are_drawn_anew() -> None:
    """Experts in another order have other codes: the selectors cannot keep their weights, and the report says so."""
    sees = ("shared: {count: 8, units: [64, 32]}", "a: {units: [64, 32]}\n      b: {units: [64, 32]}")
    old, new = (("sees: shared", f"sees: [{order}]") for order in ("a, b", "b, a"))
    _, found = both("dselect_k", (sees, old), (sees, new))
    assert any("experts that stay have other numbers" in each for each in reasons(found))
    assert {each.how for each in found.changes if ".gates." in each.weight} == {"new"}
