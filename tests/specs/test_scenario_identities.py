"""Architectures for several scenes: the identities of their papers, and which rows train which weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import archspec
from archspec.testing import check_kind
from tests.compiler.models import assert_equal, weight_gradients
from tests.published import PLUGINS
from tests.specs.test_modern_identities import batch_of, compiled, loaded, text_of, views


def test_hmoe_that_hears_its_own_scene_alone_is_a_mixture_of_experts() -> None:
    """With all weight on the own scene's vector, the model equals one without the mix, exactly."""
    own = ("sees: [$domain, {detach: {except: $domain}}]", "sees: $domain")
    model = compiled("hmoe", (("selector: inputs, units: [16]", "selector: inputs, units: [16], bias: true"),))
    plain = compiled("hmoe", (own,))
    for value in views(model, r"level2\.gates\.\w+\.head\.bias"):
        value[0], value[1:] = 0, -1000
    mine = dict(model.named_weights())
    plain.load_weights({key: value for key, value in mine.items() if "level2.gates" not in key}, strict=False)
    batch = batch_of("hmoe")
    assert_equal(model(batch), plain(batch))


def test_hmoe_trains_the_layers_of_a_row_s_own_scene() -> None:
    """A row's loss trains no level 2 expert of another scene, although its output depends on them."""
    model, batch = compiled("hmoe"), batch_of("hmoe", 64)
    batch["scene"] = torch.zeros_like(batch["scene"])
    torch.autograd.backward(model(batch)["buy"].square().sum())
    gradients = weight_gradients(model)
    assert gradients["level2.experts.spain.0.layers.0.weight"].any()
    assert not gradients["level2.experts.france.0.layers.0.weight"].any()
    before = model(batch)["buy"]
    for value in views(model, r"level2\.experts\.france"):
        value.normal_()
    assert (model(batch)["buy"] != before).all()


def test_sarnet_hides_the_experts_of_other_scenes() -> None:
    """A scene's experts change no logit of another scene; the shared ones change all."""
    model, batch = compiled("sarnet"), batch_of("sarnet", 64)
    before = model(batch)["click"]
    for value in views(model, r"level1\.experts\.search\.\d\.layers"):
        value.normal_()
    assert torch.equal((model(batch)["click"] != before).detach(), batch["scene"] == 1)
    weights = model.gate_weights(batch)["level1.gates.click"]
    assert ((weights != 0).sum(1) == 6).all()


def test_sarnet_with_factors_of_one_reads_the_features() -> None:
    """With w_s = 1 and b_s = 0 for every scene, features are unchanged."""
    plain = compiled("sarnet", (("{sum: [scaled, shift]}", "features"), (r"  shift: .*\n", ""),
                                (r"feature_gates:\n.*\n", "")))  # fmt: skip
    model = compiled("sarnet")
    (table,), (factors,), (shift,) = (views(model, name) for name in (r"scene\.weight", "scaled", r"shift\.weight"))
    for value, number in ((table, 0.0), (factors, 1.0), (shift, 0.0)):
        value.fill_(number)
    table[:, 0] = 1.0
    mine = dict(model.named_weights())
    plain.load_weights({key: mine[key] for key, _ in plain.named_weights()})
    batch = batch_of("sarnet")
    assert_equal(model(batch), plain(batch))


def test_apg_with_constant_generators_is_one_network() -> None:
    """With S(z) = 1 and b(z) = 0 for every z, the layers are low-rank layers that are the same for all rows."""
    model = compiled("apg")
    plain = archspec.compile(
        LOW_RANK + text_of("apg").partition("\ninputs:")[2].partition("levels:")[0] + LEVELS
    ).double()
    for value in views(model, r"(kernels|shifts)\.\d\.weight"):
        value.zero_()
    for value in views(model, r"shifts\.\d\.bias"):
        value.zero_()
    for value, k in zip(views(model, r"kernels\.\d\.bias"), (16, 8), strict=True):
        value.copy_(torch.eye(k).flatten())
    mine = dict(model.named_weights())
    places = {"down0": "downs.0", "up0": "ups.0", "down1": "downs.1", "up1": "ups.1"}
    for key, value in plain.named_weights():
        parts = key.split(".")
        own = f"level1.experts.trunk.0.{places[parts[2]]}.{parts[-1]}" if parts[2] in places else key
        value.copy_(mine[own])
    batch = batch_of("apg")
    assert_equal(model(batch), plain(batch))


LOW_RANK = "archspec: 1\nname: low_rank\ninputs:"
LEVELS = """
levels:
  - experts: {down0: {from: inputs, units: [16], activation: none}}
  - experts: {up0: {from: level1.experts.down0, units: [64]}}
  - experts: {down1: {from: level2.experts.up0, units: [8], activation: none}}
  - experts: {up1: {from: level3.experts.down1, units: [32]}}
towers:
  $task: {from: level4.experts.up1}
"""


def test_apg_learns_nothing_about_its_condition() -> None:
    """With `detach`, the scene's embedding gets a gradient only as a feature, and none if it is not a feature."""
    model, batch = compiled("apg", (("units: [64, 32]}", "units: [64, 32], from: [user, item]}"),)), batch_of("apg")
    torch.autograd.backward(sum(logits.square().sum() for logits in model(batch).values()))
    gradients = weight_gradients(model)
    assert gradients["level1.experts.trunk.0.kernels.0.weight"].any()
    assert not gradients["inputs.scene.weight"].any()


def test_m2m_without_attention_weighs_evenly() -> None:
    """With v = 0 every expert has the same weight in every row; otherwise the scenario decides."""
    model, batch = compiled("m2m"), batch_of("m2m", 32)
    before = model.gate_weights(batch)["level1.gates.click"]
    other = {**batch, "scene": (batch["scene"] + 1) % 3}
    assert (model.gate_weights(other)["level1.gates.click"] != before).any(1).all()
    for value in views(model, r"gates\.\w+\.v$"):
        value.zero_()
    for weights in model.gate_weights(batch).values():
        assert torch.equal(weights, torch.full((32, 4), 0.25, dtype=torch.float64))


def test_smes_with_every_expert_chosen_is_mmoe() -> None:
    """If shared and own choices cover all experts, the weights are a softmax of the router's logits."""
    model = compiled("smes", (("shared: 2", "shared: 15"),))
    plain = compiled("smes", (
        (r"routers: .*\n        shared: 2\n        own: 1\n        balance: 0.01\n", ""),
        ("kind: smes", "kind: softmax"),
        ("level1.experts.route_$task", "inputs"), (r"  - experts:\n      route_\$task.*\n", ""),
    ))  # fmt: skip
    mine = dict(model.named_weights())
    for key, value in plain.named_weights():
        task = key.split(".")[2]
        own = f"level1.experts.route_{task}.0.layers.0.weight" if ".gates." in key else key.replace("level1", "level2")
        value.copy_(mine[own])
    batch = batch_of("smes")
    assert_equal(model(batch), plain(batch))


def test_smes_runs_few_experts_and_shares_some() -> None:
    """Each task uses three experts per row, of which both tasks share at least two."""
    model, batch = compiled("smes"), batch_of("smes", 64)
    click, like = (model.gate_weights(batch)[f"level2.gates.{task}"] for task in ("click", "like"))
    assert ((click > 0).sum(1) == 3).all()
    assert_equal(click.sum(1), torch.ones(64, dtype=torch.float64))
    assert (((click > 0) & (like > 0)).sum(1) >= 2).all()
    first = model.gate_weights({key: value[:1] for key, value in batch.items()})
    assert_equal(first["level2.gates.click"], click[:1])


def test_smes_tasks_choose_by_their_weights() -> None:
    """With weight 1 for one task and 0 for the other, the shared experts are the first task's top ones."""
    model, batch = compiled("smes", (("own: 1", "own: 1\n        weights: [1, 0]"),)), batch_of("smes", 64)
    weights = model.gate_weights(batch)
    click, like = (weights[f"level2.gates.{task}"] for task in ("click", "like"))
    favourites = torch.zeros_like(click).scatter(1, click.topk(2).indices, 1.0)
    assert ((like > 0).double() >= favourites).all()


def test_smes_balance_is_one_when_the_load_is_even() -> None:
    """If all logits are equal, p is uniform, and the sum over tasks is `balance`, whichever experts are chosen."""
    model, batch = compiled("smes").train(), batch_of("smes", 64)
    for value in views(model, "route_"):
        value.zero_()
    model(batch)
    assert sum(loss.item() for loss in model.auxiliary_losses.values()) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("smes", "units: [16], activation", "units: [15], activation", "the selector gives 15 numbers for 16 experts"),
        ("smes", "shared: 2", "shared: 16", "chooses 16 \\+ 1 of 16 experts"),
        ("smes", "balance: 0.01", "weights: [1, 1, 1]", "`routers` gives 32 logits for 16 experts and 3 weights"),
        ("m2m", "kind: m2m, selector: level1.experts.scenario", "kind: m2m, selector: none", "needs a scenario"),
        ("hamur", "units: [64, 32]", "adapters: 3, units: [64, 32]", "`adapters: 3` for 2 hidden layers"),
        ("mlora", "domain: scene", "domain: user", "`user` is not a domain input"),
        ("apg", "by: {detach: scene}", "by: {detach: scenes}", "unknown `scenes`"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, old: str, new: str, said: str) -> None:
    """Settings of these kinds that contradict their surroundings give diagnostics instead of tracebacks."""
    with pytest.raises(archspec.SpecError, match=said):
        archspec.compile(loaded(name, ((old, new),)))


KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "apg expert": ("apg", "expert", {"by": "y", "units": [4], "divisor": 2}),
    "m2m tower": ("m2m", "tower", {"scenario": "y"}),
}


@pytest.mark.parametrize("case", KINDS)
def test_kinds_keep_the_contract(case: str) -> None:
    """Kinds that read a stream from their settings pass the test kit: shapes, gradients, copies, compiled graphs."""
    name, category, settings = KINDS[case]
    check_kind(name, category, settings=settings, plugins=[PLUGINS / f"{name}.py"], width=3)
