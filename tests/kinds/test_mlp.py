"""Experts and towers: order of layers, norms, dropout, modulation; each is compared with plain torch code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import archspec
from tests.compiler.models import BOTH, HEAD, ONE_TASK, assert_agree, batch_of, gradients, model_of, run, total

if TYPE_CHECKING:
    from collections.abc import Callable

    from archspec.nn.module import Compiled

INPUTS = "inputs: {x: {kind: dense, dim: 5}, z: {kind: dense, dim: 2}}\n"
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "leaky_relu": functional.leaky_relu,
    "elu": functional.elu,
    "softplus": functional.softplus,
    "none": lambda x: x,
}


def tower(settings: str, *, optimize: bool) -> tuple[Compiled, dict[str, Tensor], dict[str, Tensor]]:
    """A model that is one tower, its weights and a batch."""
    text = ONE_TASK + INPUTS + f"towers: {{y: {{from: x, {settings}}}}}\n"
    model = model_of(text, optimize=optimize)
    weights = {name.removeprefix("towers.y."): view for name, view in model.named_weights()}
    return model, weights, batch_of(text, 6)


def head(hidden: Tensor, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The logits of a tower's head for its last hidden vector."""
    return {"y": functional.linear(hidden, weights["head.weight"], weights["head.bias"]).squeeze(-1)}


@BOTH
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_each_layer_is_linear_then_activation(*, activation: str, optimize: bool) -> None:
    """h = act(W h + b), once per entry of `units`."""
    model, weights, batch = tower(f"units: [4, 3], activation: {activation}", optimize=optimize)
    h = batch["x"]
    for index in range(2):
        h = ACTIVATIONS[activation](
            functional.linear(h, weights[f"layers.{index}.weight"], weights[f"layers.{index}.bias"])
        )
    assert_agree(model(batch), head(h, weights), 1e-12)


@BOTH
def test_layers_may_have_no_bias(*, optimize: bool) -> None:
    """`bias: false` removes the biases of the hidden layers only."""
    model, weights, batch = tower("units: [4], bias: false", optimize=optimize)
    assert sorted(weights) == ["head.bias", "head.weight", "layers.0.weight"]
    assert_agree(model(batch), head(torch.relu(batch["x"] @ weights["layers.0.weight"].T), weights), 1e-12)


@BOTH
def test_a_tower_without_units_is_its_head(*, optimize: bool) -> None:
    """Without hidden layers the head reads the tower's input."""
    model, weights, batch = tower("units: []", optimize=optimize)
    assert_agree(model(batch), head(batch["x"], weights), 1e-12)


@BOTH
def test_layer_norm_stands_between_linear_and_activation(*, optimize: bool) -> None:
    """relu(layer_norm(W x + b))."""
    model, weights, batch = tower("units: [4], norm: layer", optimize=optimize)
    h = functional.linear(batch["x"], weights["layers.0.weight"], weights["layers.0.bias"])
    h = functional.layer_norm(h, (4,), weights["norms.0.weight"], weights["norms.0.bias"])
    assert_agree(model(batch), head(torch.relu(h), weights), 1e-12)


@BOTH
def test_batch_norm_learns_statistics_in_training_and_uses_them_in_evaluation(*, optimize: bool) -> None:
    """Outputs in both modes, and the running statistics after a step, equal those of `nn.BatchNorm1d`."""
    model, weights, batch = tower("units: [4], norm: batch", optimize=optimize)
    norm = torch.nn.BatchNorm1d(4, dtype=torch.float64)
    norm.load_state_dict({key[8:]: value for key, value in weights.items() if key.startswith("norms.0")}, strict=False)
    for training in (True, True, False):
        model.train(training)
        norm.train(training)
        h = norm(functional.linear(batch["x"], weights["layers.0.weight"], weights["layers.0.bias"]))
        assert_agree(model(batch), head(torch.relu(h), weights), 1e-12)
    now = {name[17:]: view for name, view in model.named_weights() if ".running_" in name}
    assert_agree(now, {key: value for key, value in norm.state_dict().items() if key.startswith("running")}, 1e-12)


@BOTH
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_input_norm_stands_before_the_first_layer(*, norm: str, optimize: bool) -> None:
    """relu(W norm(x) + b); without layers, the head reads the normalised input."""
    for units in ([4], []):
        model, weights, batch = tower(f"units: {units}, input_norm: {norm}, eps: 0.1", optimize=optimize)
        axis = 0 if norm == "batch" else 1
        h = batch["x"]
        h = (h - h.mean(axis, keepdim=True)) / (h.var(axis, correction=0, keepdim=True) + 0.1).sqrt()
        h = h * weights["input_norm.weight"] + weights["input_norm.bias"]
        if units:
            h = torch.relu(functional.linear(h, weights["layers.0.weight"], weights["layers.0.bias"]))
        assert_agree(model.train()(batch), head(h, weights), 1e-12)


@BOTH
def test_the_slope_of_leaky_relu(*, optimize: bool) -> None:
    """`slope: 0.2` is TensorFlow's default: x above zero, 0.2 x below."""
    model, weights, batch = tower("units: [4, 3], activation: leaky_relu, slope: 0.2", optimize=optimize)
    h = batch["x"]
    for index in range(2):
        h = functional.linear(h, weights[f"layers.{index}.weight"], weights[f"layers.{index}.bias"])
        h = torch.where(h > 0, h, 0.2 * h)
    assert_agree(model(batch), head(h, weights), 1e-12)


@BOTH
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_eps_of_norms(*, norm: str, optimize: bool) -> None:
    """`eps: 0.1` is added to the variance over rows (`batch`) or features (`layer`)."""
    model, weights, batch = tower(f"units: [4], norm: {norm}, eps: 0.1, activation: none", optimize=optimize)
    h = functional.linear(batch["x"], weights["layers.0.weight"], weights["layers.0.bias"])
    axis = 0 if norm == "batch" else 1
    h = (h - h.mean(axis, keepdim=True)) / (h.var(axis, correction=0, keepdim=True) + 0.1).sqrt()
    h = h * weights["norms.0.weight"] + weights["norms.0.bias"]
    assert_agree(model.train()(batch), head(h, weights), 1e-12)


@BOTH
def test_momentum_of_running_statistics(*, optimize: bool) -> None:
    """`momentum: 0.01` is Keras's 0.99: 99 % of the old statistic and 1 % of the batch's."""
    model, weights, batch = tower("units: [4], norm: batch, momentum: 0.01, eps: 0.001", optimize=optimize)
    before = weights["norms.0.running_mean"].clone()
    h = functional.linear(batch["x"], weights["layers.0.weight"], weights["layers.0.bias"])
    model.train()(batch)
    now = dict(model.named_weights())["towers.y.norms.0.running_mean"]
    torch.testing.assert_close(now, 0.99 * before + 0.01 * h.mean(0))


@BOTH
def test_prelu_has_a_slope_per_feature(*, optimize: bool) -> None:
    """x above zero, w x below, as `nn.PReLU(units)`; the slopes start at 0.25 and are trained."""
    model, weights, batch = tower("units: [4], activation: prelu", optimize=optimize)
    assert min(weights) == "activations.0.weight"
    written = torch.nn.PReLU(4, dtype=torch.float64)
    written.load_state_dict({"weight": weights["activations.0.weight"]})
    h = written(functional.linear(batch["x"], weights["layers.0.weight"], weights["layers.0.bias"]))
    _, found, _ = run(model, batch)
    torch.autograd.backward(total(head(h, weights)))
    assert_agree(model(batch), head(h, weights), 1e-12)
    assert written.weight.grad is not None
    assert_agree({"w": found["towers.y.activations.0.weight"]}, {"w": written.weight.grad}, 1e-12)
    fresh = archspec.compile(ONE_TASK + INPUTS + "towers: {y: {from: x, units: [4], activation: prelu}}")
    assert dict(fresh.named_weights())["towers.y.activations.0.weight"].tolist() == [0.25] * 4


@BOTH
def test_dice_is_equation_3_of_din(*, optimize: bool) -> None:
    """p s + (1 - p) alpha s, p = sigmoid((s - E s) / sqrt(Var s + 1e-8)): of the batch, then of running statistics."""
    model, weights, batch = tower("units: [4], activation: dice, momentum: 0.2", optimize=optimize)
    names = ["activations.0.running_mean", "activations.0.running_var", "activations.0.weight"]
    assert sorted(weights)[:3] == names
    mean, var = (weights[name].clone() for name in names[:2])
    for training in (True, True, False):
        s = functional.linear(batch["x"], weights["layers.0.weight"], weights["layers.0.bias"])
        now = (s.mean(0), s.var(0, correction=0)) if training else (mean, var)
        p = torch.sigmoid((s - now[0]) / (now[1] + 1e-8).sqrt())
        wanted = head(p * s + (1 - p) * weights[names[2]] * s, weights)
        assert_agree(model.train(training)(batch), wanted, 1e-12)
        if training:
            mean, var = 0.8 * mean + 0.2 * s.mean(0).detach(), 0.8 * var + 0.2 * s.var(0).detach()
    kept = dict(model.named_weights())
    assert_agree({"mean": kept[f"towers.y.{names[0]}"]}, {"mean": mean}, 1e-12)
    assert_agree({"var": kept[f"towers.y.{names[1]}"]}, {"var": var}, 1e-12)


LEARNED = """
tasks: {y: {kind: regression}, z: {kind: regression}}
inputs: {x: {kind: dense, dim: 5}, place: {kind: domain, values: [a, b], dim: 2}}
levels:
  - experts:
      $domain: {count: 2, from: x, units: [6, 4], activation: dice, momentum: 0.3}
      one: {count: 2, from: x, units: [4], activation: prelu}
      two: {from: place, kind: cross, units: [4], activation: dice, layers: 1}
      again: {from: x, like: one}
    gates:
      $task: {sees: all, selector: x, units: [3], activation: prelu, exclude: place}
towers: {$task: {units: [3], activation: dice, norm: layer}}
"""


@pytest.mark.parametrize("rows", [0, 1, 9])
def test_activations_with_weights_stand_side_by_side(rows: int) -> None:
    """`prelu` and `dice` in experts, gates and towers: outputs, gradients and statistics match the plain modules."""
    text, found = HEAD + LEARNED, []
    for optimize in (False, True):
        model = model_of(text, optimize=optimize).train()
        found.append((*run(model, batch_of(text, rows)), dict(model.named_weights())))
    for plain, fast in zip(*found, strict=True):
        assert_agree(fast, plain, 1e-10)


def test_activations_with_weights_are_compiled_whole() -> None:
    """`torch.compile(fullgraph=True)` with a dynamic batch compiles them in training mode."""
    text = (
        ONE_TASK
        + INPUTS
        + "towers: {y: {from: x, units: [3], activation: dice}, t: {from: z, activation: prelu, units: [2]}}\n"
    )
    model, batch = model_of(text, optimize=True).train(), batch_of(text, 6)
    wanted = model(batch)
    compiled = torch.compile(model, fullgraph=True, backend="eager", dynamic=True)
    assert_agree(compiled(batch), wanted, 1e-12)


@pytest.mark.parametrize(
    "differ", ["activation: leaky_relu, slope: %s", "activation: dice, momentum: %s",
               "norm: batch, eps: %s", "norm: batch, momentum: %s",
               "norm: layer, eps: %s"],
)  # fmt: skip
def test_experts_that_differ_in_one_number_keep_their_own(differ: str) -> None:
    """Fusion only combines equal layers: outputs, gradients and statistics are those of the plain module."""
    groups = ", ".join(f"e{i}: {{units: [3], from: x, {differ % value}}}" for i, value in enumerate((0.3, 0.3, 0.01)))
    text = ONE_TASK + INPUTS + f"levels: [{{experts: {{{groups}}}, gates: {{y: {{sees: all, selector: x}}}}}}]\n"
    text += "towers: {y: {}}\n"
    models = [model_of(text, optimize=optimize) for optimize in (False, True)]
    found = [run(model.train(), batch_of(text, 7)) for model in models]
    for plain, fast in zip(*found, strict=True):
        assert_agree(fast, plain, 1e-10)
    plain, fast = (dict(model.named_weights()) for model in models)
    assert_agree(fast, plain, 1e-10)


@pytest.mark.parametrize(
    "setting",
    ["slope: 1", "slope: -0.1", "eps: 0", "eps: 1e-13", "momentum: -0.1", "momentum: 1.1", "hidden_dropout: 0.1"],
)
def test_numbers_that_are_none_of_a_layer_are_refused(setting: str) -> None:
    """A slope of 1, an eps too small for float32, a share outside 0..1, and `hidden_dropout` for layers are errors."""
    with pytest.raises(archspec.SpecError, match=setting.partition(":")[0]):
        tower(f"units: [4], norm: batch, activation: leaky_relu, {setting}", optimize=False)


@BOTH
@pytest.mark.parametrize("rows", [0, 1])
def test_batch_norm_trains_on_a_row_or_none(*, rows: int, optimize: bool) -> None:
    """A single row, which torch refuses, is normalised by the running statistics, which remain unchanged."""
    model, weights, batch = tower("units: [4], norm: batch", optimize=optimize)
    before = weights["norms.0.running_mean"].clone()
    rows_of = {key: value[:rows] for key, value in batch.items()}
    assert_agree(model.train()(rows_of), model.eval()(rows_of), 0.0)
    assert dict(model.named_weights())["towers.y.norms.0.running_mean"].equal(before)


@BOTH
def test_dropout_keeps_the_expectation(*, optimize: bool) -> None:
    """In training hidden features are dropped with p and the others scaled by 1/(1-p); evaluation changes nothing."""
    model, weights, batch = tower("units: [4], activation: none, dropout: 0.25", optimize=optimize)
    h = functional.linear(batch["x"], weights["layers.0.weight"], weights["layers.0.bias"])
    assert_agree(model.eval()(batch), head(h, weights), 1e-12)
    torch.manual_seed(0)
    large = {key: value[:1].repeat(40_000, 1) for key, value in batch.items()}
    samples = model.train()(large)["y"]
    expected = float(head(h[:1], weights)["y"].detach())
    assert float(samples.detach().mean()) == pytest.approx(expected, abs=5 * float(samples.detach().std()) / 200)
    assert len(samples.detach().round(decimals=9).unique()) == 16  # each of four features is kept or dropped


@BOTH
def test_modulation_of_hidden_layers(*, optimize: bool) -> None:
    """PPNet: every hidden layer is multiplied by scale * sigmoid(gate(selector)); the selector is another stream."""
    model, weights, batch = tower(
        "units: [4, 3], modulate: {selector: z, scale: 3, units: [2], bias: true}", optimize=optimize
    )
    h = batch["x"]
    for index in range(2):
        h = torch.relu(functional.linear(h, weights[f"layers.{index}.weight"], weights[f"layers.{index}.bias"]))
        at = f"modulate.{index}"
        gate = torch.relu(
            functional.linear(batch["z"], weights[f"{at}.layers.0.weight"], weights[f"{at}.layers.0.bias"])
        )
        h = h * 3 * torch.sigmoid(functional.linear(gate, weights[f"{at}.head.weight"], weights[f"{at}.head.bias"]))
    assert_agree(model(batch), head(h, weights), 1e-12)


@BOTH
@pytest.mark.parametrize("units", [[], [4], [4, 3]])
def test_modulation_of_what_the_layers_of_a_tower_take(*, units: list[int], optimize: bool) -> None:
    """PPNet's formula: H = act(W (delta * H) + b) per layer, and the head's input; without `units` only the latter."""
    model, weights, batch = tower(f"units: {units}, modulate: {{at: layer_inputs, selector: z}}", optimize=optimize)
    gates = [
        2 * torch.sigmoid(batch["z"] @ weights[f"modulate.{index}.head.weight"].T) for index in range(len(units) + 1)
    ]
    h = batch["x"]
    for index in range(len(units)):
        taken = h * gates[index]
        h = torch.relu(functional.linear(taken, weights[f"layers.{index}.weight"], weights[f"layers.{index}.bias"]))
    assert_agree(model(batch), head(h * gates[-1], weights), 1e-12)
    assert f"modulate.{len(gates)}.head.weight" not in weights


@BOTH
def test_modulation_of_what_the_layers_of_an_expert_take(*, optimize: bool) -> None:
    """An expert has no head: it has one gate per layer, its output is not gated, and its own input is the selector."""
    text = ONE_TASK + INPUTS + "levels: [{experts: {e: {from: x, units: [4, 3], modulate: {at: layer_inputs}}}}]\n"
    text += "towers: {y: {from: level1.experts.e}}\n"
    model, batch = model_of(text, optimize=optimize), batch_of(text, 5)
    weights = dict(model.named_weights())
    h = batch["x"]
    for index in range(2):
        at = "level1.experts.e.0"
        h = h * 2 * torch.sigmoid(batch["x"] @ weights[f"{at}.modulate.{index}.head.weight"].T)
        h = torch.relu(
            functional.linear(h, weights[f"{at}.layers.{index}.weight"], weights[f"{at}.layers.{index}.bias"])
        )
    own = {name.removeprefix("towers.y."): view for name, view in weights.items()}
    assert_agree(model(batch), head(h, own), 1e-12)
    assert len([name for name in weights if ".modulate." in name]) == 2


@BOTH
def test_modulation_of_the_input_by_itself_in_low_rank(*, optimize: bool) -> None:
    """HoME: x * 2 sigmoid(x B A), with the block's own input as the selector."""
    model, weights, batch = tower("units: [4], modulate: {at: input, rank: 2}", optimize=optimize)
    low = batch["x"] @ weights["modulate.0.down.weight"].T
    x = batch["x"] * 2 * torch.sigmoid(low @ weights["modulate.0.head.weight"].T)
    h = torch.relu(functional.linear(x, weights["layers.0.weight"], weights["layers.0.bias"]))
    assert weights["modulate.0.down.weight"].shape == (2, 5)
    assert_agree(model(batch), head(h, weights), 1e-12)


@BOTH
def test_modulation_by_a_network_with_norm_and_leaky_relu(*, optimize: bool) -> None:
    """The gate's hidden layers have their own activation, slope, norm and eps, independent of the block's."""
    network = "units: [2], norm: layer, eps: 0.1, activation: leaky_relu, slope: 0.2"
    model, weights, batch = tower(f"units: [4], modulate: {{selector: z, {network}}}", optimize=optimize)
    gate = functional.linear(batch["z"], weights["modulate.0.layers.0.weight"], weights["modulate.0.layers.0.bias"])
    gate = functional.layer_norm(
        gate, (2,), weights["modulate.0.norms.0.weight"], weights["modulate.0.norms.0.bias"], 0.1
    )
    gate = functional.leaky_relu(gate, 0.2) @ weights["modulate.0.head.weight"].T
    h = torch.relu(functional.linear(batch["x"], weights["layers.0.weight"], weights["layers.0.bias"]))
    assert_agree(model(batch), head(h * 2 * torch.sigmoid(gate), weights), 1e-12)


@BOTH
@pytest.mark.parametrize("at", ["input", "hidden", "layer_inputs"])
def test_an_identity_expert_passes_its_input_on(*, at: str, optimize: bool) -> None:
    """`kind: identity` has no weights; when modulated, it is x times its gate."""
    experts = f"same: {{kind: identity, from: x}}, gated: {{kind: identity, from: x, modulate: {{at: {at}}}}}"
    text = ONE_TASK + INPUTS + f"levels: [{{experts: {{{experts}}}}}]\n"
    text += "towers: {y: {from: [level1.experts.same, level1.experts.gated]}}\n"
    model, batch = model_of(text, optimize=optimize), batch_of(text, 5)
    weights = dict(model.named_weights())
    assert [name for name in weights if ".same." in name] == []
    gated = batch["x"] * 2 * torch.sigmoid(batch["x"] @ weights["level1.experts.gated.0.modulate.0.head.weight"].T)
    own = {name.removeprefix("towers.y."): view for name, view in weights.items()}
    assert_agree(model(batch), head(torch.cat([batch["x"], gated], dim=1), own), 1e-12)


@BOTH
def test_experts_of_a_group_have_weights_of_their_own(*, optimize: bool) -> None:
    """`count: 3` creates three different networks, each with its own weights and `units` wide, named by index."""
    text = ONE_TASK + INPUTS + "levels: [{experts: {e: {count: 3, units: [4, 2], from: x}}}]\n"
    text += "towers: {y: {from: level1.experts.e}}\n"
    model, batch = model_of(text, optimize=optimize), batch_of(text, 5)
    weights = dict(model.named_weights())
    hidden = []
    for index in range(3):
        h = batch["x"]
        for layer in range(2):
            at = f"level1.experts.e.{index}.layers.{layer}"
            h = torch.relu(functional.linear(h, weights[f"{at}.weight"], weights[f"{at}.bias"]))
        hidden.append(h)
    own = {name.removeprefix("towers.y."): view for name, view in weights.items()}
    assert_agree(model(batch), head(torch.cat(hidden, dim=1), own), 1e-12)
    assert not weights["level1.experts.e.0.layers.0.weight"].equal(weights["level1.experts.e.1.layers.0.weight"])


@BOTH
def test_l2_adds_the_squares_of_a_block_s_matrices(*, optimize: bool) -> None:
    """l2 * sum ||W_i||^2 of each expert and tower, without biases, norms, modulation and head."""
    text = (
        HEAD
        + INPUTS
        + """
tasks: {a: {kind: regression}, b: {kind: regression}}
levels:
  - experts:
      shared: {count: 2, units: [4, 3], l2: 0.1, input_norm: layer, modulate: {units: [2], selector: z}}
    gates: {$task: {sees: [shared]}}
towers: {a: {units: [6], l2: 0.5}, b: {units: [6]}}
"""
    )
    model = model_of(text, optimize=optimize).train()
    weights = {name: view.clone().requires_grad_() for name, view in model.named_weights()}
    right = {f"level1.experts.shared.{n}": 0.1 * sum(
        (weights[f"level1.experts.shared.{n}.layers.{i}.weight"].square().sum() for i in (0, 1)), torch.zeros(())
    ) for n in (0, 1)}  # fmt: skip
    right["towers.a"] = 0.5 * weights["towers.a.layers.0.weight"].square().sum()
    model(batch_of(text, 5))
    assert_agree(model.auxiliary_losses, right, 1e-12)
    torch.autograd.backward(total(right))
    wanted = {name: torch.zeros_like(w) if w.grad is None else w.grad for name, w in weights.items()}
    assert_agree(gradients(model, total(model.auxiliary_losses)), wanted, 1e-12)


def test_l2_of_shared_matrices_counts_once() -> None:
    """A block `like` another has the other's matrices, whose squares only their owner adds."""
    text = (
        ONE_TASK
        + INPUTS.replace("dim: 2", "dim: 5")
        + """
blocks: {left: {from: x, kind: mlp, units: [6], l2: 0.5}, right: {from: z, like: left}}
towers: {y: {from: [blocks.left, blocks.right]}}
"""
    )
    model = model_of(text, optimize=False).train()
    model(batch_of(text, 5))
    assert set(model.auxiliary_losses) == {"blocks.left"}


def test_l2_without_layers_is_pointed_out() -> None:
    """A tower that is only a head has no matrices for `l2`."""
    spec = archspec.load(ONE_TASK + INPUTS + "towers: {y: {from: x, l2: 0.5}}\n")
    assert [note.message for note in spec.diagnostics if "`l2`" in note.message]
