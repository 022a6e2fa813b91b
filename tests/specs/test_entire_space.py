"""Properties of ESM2, DCMT and ESCM2, which learn conversions over all impressions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import archspec
from archspec.train.criterion import MultiTaskLoss
from tests.compiler.models import assert_equal
from tests.plain.dcmt import entire_space
from tests.plain.escm2 import doubly_robust, doubly_robust_of_probability, inverse_propensity
from tests.specs.test_modern_identities import batch_of, compiled, loaded


def test_esm2_without_a_difference_is_esmm() -> None:
    """If buying is as likely with an action as without, conversions equal ESMM's, whatever the action's probability."""
    model, plain = compiled("esm2"), compiled("esmm")
    mine = dict(model.named_weights())
    for key, value in mine.items():
        if ".buy_without." in key:
            value.copy_(mine[key.replace("_without", "_after_action")])
    plain.load_weights({key: mine[key.replace(".cvr.", ".buy_without.")] for key, _ in plain.named_weights()})
    batch = batch_of("esm2")
    wanted = plain(batch)
    found = model(batch)
    assert_equal(found["ctcvr"], wanted["ctcvr"])
    assert_equal(found["ctr"], wanted["ctr"])


def outputs_and_batch(rows: int = 40, clicks: float = 0.5) -> tuple[Any, dict[str, Tensor], dict[str, Tensor]]:
    """The settings of DCMT's loss, random outputs and a random batch."""
    spec = loaded("dcmt")
    torch.manual_seed(0)
    names = ("ctr", "cvr", "cvr_without")
    outputs = {name: torch.randn(rows, dtype=torch.float64, requires_grad=True) for name in names}
    click = (torch.rand(rows) < clicks).double()
    return spec.tasks["cvr"].losses[0].settings, outputs, {"click": click, "buy": click * torch.randint(2, (rows,))}


@pytest.mark.parametrize("clicks", [0.0, 0.5, 1.0])
def test_dcmt_is_the_loss_of_its_paper(clicks: float) -> None:
    """Value and gradients equal explicit sums, also with no clicks or only clicks."""
    loss, outputs, batch = outputs_and_batch(clicks=clicks)
    own = loss.joint(outputs["cvr"], batch["buy"], outputs, batch).mean()
    ctr, cvr, without = outputs.values()
    written = entire_space(ctr, cvr, without, batch["click"], batch["buy"], 0.05, 0.001)
    assert_equal(own, written)
    wanted = [outputs["cvr"], outputs["cvr_without"]]
    assert_equal(torch.autograd.grad(own, wanted), torch.autograd.grad(written, wanted))
    again = loss.joint(outputs["cvr"], batch["buy"], outputs, batch).sum()
    assert torch.autograd.grad(again, outputs["ctr"], allow_unused=True)[0] is None


def test_dcmt_where_everybody_clicks_is_the_logistic_loss() -> None:
    """If all rows are clicked, with a constant propensity and no constraint, there is nothing to correct."""
    loss, outputs, batch = outputs_and_batch(clicks=1.0)
    plain = loss.model_copy(update={"prior": 0.0})
    even = {**outputs, "ctr": torch.zeros(40, dtype=torch.float64)}
    own = plain.joint(outputs["cvr"], batch["buy"], even, batch).mean()
    assert_equal(own, torch.nn.functional.binary_cross_entropy_with_logits(outputs["cvr"], batch["buy"]))


def test_dcmt_labels_without_a_click_do_not_count() -> None:
    """Without a click the conversion label may be anything, even NaN; an empty batch has a loss of 0."""
    loss, outputs, batch = outputs_and_batch()
    wild = torch.where(batch["click"] == 1, batch["buy"], torch.nan)
    both = [loss.joint(outputs["cvr"], labels, outputs, batch).sum() for labels in (batch["buy"], wild)]
    assert_equal(both[0], both[1])
    none = {name: value[:0] for name, value in outputs.items()}
    assert loss.joint(none["cvr"], batch["buy"][:0], none, {"click": batch["click"][:0]}).shape == (0,)


def test_dcmt_trains_both_towers_and_not_the_propensity() -> None:
    """The graph lists what the loss of cvr trains."""
    nodes = archspec.build_graph(loaded("dcmt")).nodes
    assert nodes["towers.cvr_without"]["tasks"] == ("cvr",)
    assert "cvr" not in nodes["towers.ctr"]["tasks"]


DOUBLY_ROBUST = {"": doubly_robust_of_probability, ", imputed: value": doubly_robust}


def with_loss(kind: str, options: str) -> archspec.Spec:
    """ESCM2 with this loss of cvr, and with an imputation tower if the loss is doubly robust."""
    plain = "{kind: escm2_ipw, propensity: ctr, observed: click, clip: 0.05}"
    loss = (plain, f"{{kind: {kind}, propensity: ctr, observed: click, {options}}}")
    tower = ("  cvr: {units: [64, 32]}\n", "  cvr: {units: [64, 32]}\n  error: {units: [8], output: regression}\n")
    return loaded("escm2", (loss, tower) if kind == "escm2_dr" else (loss,))


def losses(kind: str, more: str = "") -> tuple[Any, dict[str, Tensor], dict[str, Tensor]]:
    """The settings of an escm2 loss, random outputs and a random batch of 40 rows."""
    spec = with_loss(kind, f"clip: 0.3{', imputation: error' if kind == 'escm2_dr' else ''}{more}")
    torch.manual_seed(0)
    outputs = {name: torch.randn(40, dtype=torch.float64, requires_grad=True) for name in ("ctr", "cvr", "error")}
    batch = {name: torch.randint(2, (40,)).double() for name in ("click", "buy")}
    return spec.tasks["cvr"].losses[0].settings, outputs, batch


@pytest.mark.parametrize(("kind", "more"), [("escm2_ipw", ""), ("escm2_dr", ""), ("escm2_dr", ", imputed: value")])
def test_escm2_losses(kind: str, more: str) -> None:
    """The mean over all rows and its gradients match the loss computed row by row; pCTR gets no gradient."""
    loss, outputs, batch = losses(kind, more)
    own = loss.joint(outputs["cvr"], batch["buy"], outputs, batch).mean()
    ctr, cvr, error = outputs["ctr"], outputs["cvr"], outputs["error"]
    if kind == "escm2_ipw":
        written = inverse_propensity(ctr, cvr, batch["click"], batch["buy"], 0.3)
    else:
        written = DOUBLY_ROBUST[more](ctr, cvr, error, batch["click"], batch["buy"], 0.3)
    assert_equal(own, written)
    wanted = [cvr, error] if kind == "escm2_dr" else [cvr]
    assert_equal(torch.autograd.grad(own, wanted), torch.autograd.grad(written, wanted))
    again = loss.joint(cvr, batch["buy"], outputs, batch).sum()
    assert torch.autograd.grad(again, ctr, allow_unused=True)[0] is None


def test_escm2_labels_of_unseen_rows_do_not_count() -> None:
    """Without a click the label may be anything, even NaN."""
    loss, outputs, batch = losses("escm2_ipw")
    wild = torch.where(batch["click"] == 1, batch["buy"], torch.nan)
    both = [loss.joint(outputs["cvr"], labels, outputs, batch).sum() for labels in (batch["buy"], wild)]
    assert_equal(both[0], both[1])
    (gradient,) = torch.autograd.grad(both[1], outputs["cvr"])
    assert gradient.isfinite().all()


def test_escm2_names_of_outputs_are_checked() -> None:
    """A loss that reads a nonexistent output is refused at its location."""
    with pytest.raises(archspec.SpecError, match="unknown output `clicks`"):
        loaded("escm2", (("propensity: ctr", "propensity: clicks"),))


def test_doubly_robust_trains_the_imputation_but_not_the_propensity() -> None:
    """According to the graph, the loss of cvr reaches the imputation tower but not the propensity tower."""
    nodes = archspec.build_graph(with_loss("escm2_dr", "imputation: error")).nodes
    assert nodes["towers.error"]["tasks"] == ("cvr",)
    assert "cvr" not in nodes["towers.ctr"]["tasks"]


def test_escm2_trains_through_the_criterion() -> None:
    """`MultiTaskLoss` passes other outputs and the batch's columns to a joint loss; labels are read by column name."""
    model, batch = compiled("escm2").train(), batch_of("escm2", 32)
    torch.manual_seed(0)
    click, buy = torch.randint(2, (32,)).double(), torch.randint(2, (32,)).double()
    logits = model(batch)
    criterion = MultiTaskLoss(loaded("escm2"))
    _, parts = criterion(logits, {**batch, "click": click, "buy": buy, "click_and_buy": click * buy})
    assert_equal(parts["cvr"], inverse_propensity(logits["ctr"], logits["cvr"], click, buy, 0.05))
