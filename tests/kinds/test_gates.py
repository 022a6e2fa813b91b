"""Gates: weights of the experts seen, by kind and setting, and the resulting mix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import archspec
from tests.compiler.models import BOTH, ONE_TASK, assert_agree, model_of, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from archspec.nn.module import Compiled

INPUTS = "inputs: {x: {kind: dense, dim: 5}, place: {kind: domain, values: [a, b]}}\n"
EXPERTS = "{a: {count: 2, units: [3], from: x}, b: {units: [3], from: x}, c: {units: [3], from: x}}"
GATE = "level1.gates.g"


def gated(settings: str, *, optimize: bool, more: str = "") -> Compiled:
    """A model with one gate `g` over the four experts a.0, a.1, b, c, and a tower that is a head."""
    return model_of(gated_text(settings, more), optimize=optimize).eval()


def gated_text(settings: str, more: str = "") -> str:
    """The spec of `gated`; the tower also reads the gate `h` if there is one."""
    text = ONE_TASK + INPUTS + f"levels: [{{experts: {EXPERTS}, gates: {{{more}g: {{{settings}}}}}}}]\n"
    return text + f"towers: {{y: {{from: {'[g, h]' if more.startswith('h:') else 'g'}}}}}\n"


def batch(rows: int = 6) -> dict[str, Tensor]:
    """A batch for these models: rows of place a and b in turn."""
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(rows, 5, generator=generator, dtype=torch.float64)
    return {"x": x, "place": torch.arange(rows) % 2}


def experts_of(model: Compiled, x: Tensor, names: tuple[str, ...] = ("a.0", "a.1", "b.0", "c.0")) -> list[Tensor]:
    """Outputs of experts."""
    return [torch.relu(linear(model, x, f"level1.experts.{name}.layers.0")) for name in names]


def check(model: Compiled, weights: Tensor, experts: list[Tensor] | None = None, added: Tensor | float = 0.0) -> None:
    """The gate's weights are these, and the output is the head on their mix of the experts."""
    rows = batch()
    own = dict(model.named_weights())
    experts = experts_of(model, rows["x"]) if experts is None else experts
    mixed = (weights.unsqueeze(-1) * torch.stack(experts, dim=1)).sum(1) + added
    logits = functional.linear(mixed, own["towers.y.head.weight"], own["towers.y.head.bias"]).squeeze(-1)
    assert_agree(model.gate_weights(rows), model.gate_weights(rows) | {GATE: weights.expand(6, -1)}, 1e-12)
    assert_agree(model(rows), {"y": logits}, 1e-12)


def linear(model: Compiled, x: Tensor, name: str = f"{GATE}.head") -> Tensor:
    """The output of a linear layer of the model for x."""
    own = dict(model.named_weights())
    return functional.linear(x, own[f"{name}.weight"], own.get(f"{name}.bias"))


@BOTH
def test_softmax_is_one_linear_layer_on_the_selector(*, optimize: bool) -> None:
    """softmax(W x), no bias; every row of weights adds up to one."""
    model = gated("sees: all, selector: x", optimize=optimize)
    assert [name for name, _ in model.named_weights() if name.startswith(GATE)] == [f"{GATE}.head.weight"]
    check(model, linear(model, batch()["x"]).softmax(-1))
    torch.testing.assert_close(model.gate_weights(batch())[GATE].sum(1), torch.ones(6, dtype=torch.float64))


@BOTH
def test_temperature_bias_and_hidden_layers(*, optimize: bool) -> None:
    """softmax((W relu(V x + c) + b) / temperature)."""
    model = gated("sees: all, selector: x, units: [7], bias: true, temperature: 0.5", optimize=optimize)
    hidden = torch.relu(linear(model, batch()["x"], f"{GATE}.layers.0"))
    check(model, (linear(model, hidden) / 0.5).softmax(-1))


@BOTH
@pytest.mark.parametrize("kind", ["softmax", "topk, k: 4"])
def test_hidden_layers_take_norm_and_activation(*, kind: str, optimize: bool) -> None:
    """softmax(W leaky_relu(norm(V x + c))): norm, eps, activation and slope are those of the gate's network."""
    network = "units: [7], norm: layer, eps: 0.1, activation: leaky_relu, slope: 0.3"
    model = gated(f"sees: all, selector: x, kind: {kind}, {network}", optimize=optimize)
    own = dict(model.named_weights())
    hidden = linear(model, batch()["x"], f"{GATE}.layers.0")
    hidden = functional.layer_norm(hidden, (7,), own[f"{GATE}.norms.0.weight"], own[f"{GATE}.norms.0.bias"], 0.1)
    check(model, linear(model, functional.leaky_relu(hidden, 0.3)).softmax(-1))


@BOTH
def test_hidden_dropout_is_drawn_for_each_gate_and_row(*, optimize: bool) -> None:
    """Two gates with equal weights on one selector drop different features, in training only."""
    network = "sees: all, selector: x, kind: linear, units: [7], activation: none, hidden_dropout: 0.5"
    model = gated(network, more=f"h: {{{network}}}, ", optimize=optimize)
    own = dict(model.named_weights())
    for name in ("layers.0.weight", "layers.0.bias", "head.weight"):
        own[f"level1.gates.h.{name}"].copy_(own[f"{GATE}.{name}"])
    large = {key: value[:1].repeat(200, *[1] * (value.dim() - 1)) for key, value in batch().items()}
    still = model.eval().gate_weights(large)
    torch.testing.assert_close(still["level1.gates.h"], still[GATE])
    torch.manual_seed(0)
    found = model.train().gate_weights(large)
    alike = torch.isclose(found["level1.gates.h"], found[GATE]).all(1)
    assert int(alike.sum()) < 12  # of 200; one in 128 is expected
    assert (
        len({tuple(row) for row in found[GATE].round(decimals=9).tolist()}) > 64
    )  # of the 128 ways to keep some of seven features


@BOTH
def test_sigmoid_and_linear_weights_are_each_on_their_own(*, optimize: bool) -> None:
    """`sigmoid` keeps each weight between 0 and 1, `linear` leaves it unchanged; the weights are independent."""
    model = gated("sees: all, selector: x, kind: sigmoid", optimize=optimize)
    check(model, linear(model, batch()["x"]).sigmoid())
    model = gated("sees: all, selector: x, kind: linear, bias: true", optimize=optimize)
    check(model, linear(model, batch()["x"]))


@BOTH
@pytest.mark.parametrize("k", [1, 2, 4])
def test_topk_is_a_softmax_over_the_k_largest(*, k: int, optimize: bool) -> None:
    """The k largest weights are positive and add up to one; the others are exactly zero."""
    model = gated(f"sees: all, selector: x, kind: topk, k: {k}", optimize=optimize)
    logits = linear(model, batch()["x"])
    kept = torch.full_like(logits, -torch.inf).scatter(1, logits.topk(k).indices, 0.0)
    check(model, (logits + kept).softmax(-1))
    assert ((model.gate_weights(batch())[GATE] > 0).sum(1) == k).all()


@BOTH
def test_topk_balance_is_the_loss_of_switch(*, optimize: bool) -> None:
    """balance * E * sum f_i P_i is added in training under the gate's name; its gradient trains the gate."""
    model = gated("sees: all, selector: x, kind: topk, k: 2, balance: 0.1", optimize=optimize).train()
    model(batch())
    ((name, found),) = model.auxiliary_losses.items()
    logits = linear(model, batch()["x"])
    shares = functional.one_hot(logits.topk(2).indices, 4).sum((0, 1)) / (6 * 2)
    torch.testing.assert_close(found, 0.1 * 4 * (shares * logits.softmax(-1).mean(0)).sum())
    torch.autograd.backward(found)
    trained = {key for key, weight in model.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert name == GATE
    assert trained


@BOTH
def test_static_gates_have_one_weight_per_expert(*, optimize: bool) -> None:
    """`selector: none`: learned logits `[E]` for every row alike."""
    for kind, function in (("softmax", lambda w: w.softmax(-1)), ("linear", lambda w: w), ("sigmoid", torch.sigmoid)):
        model = gated(f"sees: all, selector: none, kind: {kind}", optimize=optimize)
        check(model, function(dict(model.named_weights())[f"{GATE}.weight"]).expand(6, -1))


@BOTH
def test_static_gates_start_anywhere(*, optimize: bool) -> None:
    """`init: random` draws uniformly from +-sqrt(1/4) for four experts, and another seed gives other weights."""
    for kind in ("linear", "softmax"):
        text = f"sees: all, selector: none, kind: {kind}, init: random"
        starts = []
        for seed in range(60):
            model = archspec.compile(gated_text(text), optimize=optimize, seed=seed)
            starts.append(dict(model.named_weights())[f"{GATE}.weight"])
        start = torch.cat(starts)
        assert -0.5 <= start.min() < -0.45
        assert 0.45 < start.max() <= 0.5
        assert abs(float(start.mean())) < 0.1


@BOTH
def test_a_sum_gate_adds_what_it_sees(*, optimize: bool) -> None:
    """Every expert has weight 1 for every row, and the gate has no parameters."""
    model = gated("sees: [a, b], kind: sum", optimize=optimize)
    assert [name for name, _ in model.named_weights() if name.startswith(GATE)] == []
    check(model, torch.ones(6, 3, dtype=torch.float64), experts_of(model, batch()["x"], ("a.0", "a.1", "b.0")))


def test_a_sum_gate_takes_no_selector() -> None:
    """A selector is refused, because it would have no effect."""
    with pytest.raises(archspec.SpecError, match="selector"):
        gated("sees: all, kind: sum, selector: x", optimize=False)


@BOTH
def test_static_gates_start_uniform_or_as_the_identity(*, optimize: bool) -> None:
    """A linear static gate starts with equal weights; with `init: identity` only its own group has weight."""
    text = (
        ONE_TASK
        + INPUTS
        + f"levels: [{{experts: {EXPERTS}, gates: {{a: {{SETTINGS}}}}}}]\ntowers: {{y: {{from: a}}}}\n"
    )
    settings = "sees: [a, b], selector: none, kind: linear"
    uniform = archspec.compile(text.replace("SETTINGS", settings), optimize=optimize)
    identity = archspec.compile(text.replace("SETTINGS", f"{settings}, init: identity"), optimize=optimize)
    assert dict(uniform.named_weights())["level1.gates.a.weight"].tolist() == pytest.approx([1 / 3] * 3)
    assert dict(identity.named_weights())["level1.gates.a.weight"].tolist() == pytest.approx([0.5, 0.5, 0.0])


@BOTH
def test_a_domain_gate_takes_the_rows_own_group(*, optimize: bool) -> None:
    """Weights are one-hot by domain, shared equally among the group's experts."""
    model = gated("sees: [a, b], selector: place, kind: domain", optimize=optimize)
    weights = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64).repeat(3, 1)
    check(model, weights, experts_of(model, batch()["x"], ("a.0", "a.1", "b.0")))


@BOTH
@pytest.mark.parametrize(("kind", "function"), [("softmax", lambda x: x.softmax(-1)), ("sigmoid", torch.sigmoid)])
def test_exclude_leaves_the_rows_own_domain_out(*, kind: str, function: object, optimize: bool) -> None:
    """Experts of the row's own domain have weight zero; the others are weighted as if those did not exist."""
    assert callable(function)
    model = gated(f"sees: all, selector: x, kind: {kind}, exclude: place", optimize=optimize)
    own = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 0]], dtype=torch.bool).repeat(3, 1)
    check(model, function(linear(model, batch()["x"]).masked_fill(own, -torch.inf)))


@BOTH
def test_exclude_of_linear_and_topk_gates(*, optimize: bool) -> None:
    """A linear gate gives excluded experts weight 0; a top-k gate chooses among the others."""
    own = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 0]], dtype=torch.bool).repeat(3, 1)
    model = gated("sees: all, selector: x, kind: linear, exclude: place", optimize=optimize)
    check(model, linear(model, batch()["x"]).masked_fill(own, 0.0))
    model = gated("sees: all, selector: x, kind: topk, k: 1, exclude: place", optimize=optimize)
    logits = linear(model, batch()["x"]).masked_fill(own, -torch.inf)
    check(model, functional.one_hot(logits.argmax(-1), 4).double())


@BOTH
def test_exclude_after_the_softmax_leaves_less_than_one(*, optimize: bool) -> None:
    """`after: softmax` weights all experts, then sets those of the row's own domain to 0, which leaves 1 - w_own."""
    own = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 0]], dtype=torch.bool).repeat(3, 1)
    model = gated("sees: all, selector: x, exclude: {domain: place, after: softmax}", optimize=optimize)
    weights = linear(model, batch()["x"]).softmax(-1)
    check(model, weights.masked_fill(own, 0.0))
    model = gated(
        "sees: all, selector: x, kind: topk, k: 2, exclude: {domain: place, after: softmax}", optimize=optimize
    )
    logits = linear(model, batch()["x"])
    kept = torch.zeros_like(own).scatter(1, logits.topk(2).indices, True)  # noqa: FBT003 - the value
    check(model, logits.masked_fill(~kept, -torch.inf).softmax(-1).masked_fill(own, 0.0))


@BOTH
@pytest.mark.parametrize(
    ("kind", "weigh"),
    [
        ("softmax", lambda logits, seen: logits.masked_fill(~seen, -torch.inf).softmax(-1)),
        ("sigmoid", lambda logits, seen: torch.sigmoid(logits) * seen),
        ("linear", lambda logits, seen: logits * seen),
        ("topk, k: 4", lambda logits, seen: logits.masked_fill(~seen, -torch.inf).softmax(-1)),
    ],
)
def test_only_leaves_the_rows_own_domain_and_what_belongs_to_none(
    *, kind: str, weigh: Callable[[Tensor, Tensor], Tensor], optimize: bool
) -> None:
    """A row uses the experts named after its own domain and those named after no domain; all others have weight 0."""
    model = gated(f"sees: all, selector: x, kind: {kind}, only: place", optimize=optimize)
    seen = torch.tensor([[1, 1, 0, 1], [0, 0, 1, 1]], dtype=torch.bool).repeat(3, 1)
    check(model, weigh(linear(model, batch()["x"]), seen))


@BOTH
def test_only_after_the_softmax_and_of_a_static_gate(*, optimize: bool) -> None:
    """`after: softmax` sets the weights of other domains to 0, also for a gate without a selector."""
    model = gated("sees: all, selector: none, only: {domain: place, after: softmax}", optimize=optimize)
    seen = torch.tensor([[1, 1, 0, 1], [0, 0, 1, 1]], dtype=torch.float64).repeat(3, 1)
    static = dict(model.named_weights())[f"{GATE}.weight"].softmax(-1)
    check(model, static * seen)


@BOTH
@pytest.mark.parametrize("settings", ["sees: [a, c], selector: x", "sees: a.0, selector: x"])
def test_only_over_one_domain_changes_nothing(*, settings: str, optimize: bool) -> None:
    """With a one-value domain `only` hides nothing: the gate equals the one without it, also with a single expert."""
    outputs = []
    for more in (", only: place", ""):
        text = gated_text(settings + more).replace("values: [a, b]", "values: [a]")
        outputs.append(
            model_of(text, optimize=optimize).eval()({**batch(), "place": torch.zeros(6, dtype=torch.int64)})
        )
    assert torch.equal(outputs[0]["y"], outputs[1]["y"])


@BOTH
def test_exclude_after_the_softmax_of_a_static_gate(*, optimize: bool) -> None:
    """Learned weights without a selector become one set of weights per domain."""
    model = gated("sees: all, selector: none, exclude: {domain: place, after: softmax}", optimize=optimize)
    own = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 0]], dtype=torch.float64).repeat(3, 1)
    static = dict(model.named_weights())[f"{GATE}.weight"].softmax(-1)
    check(model, static * (1 - own))


@BOTH
def test_transform_puts_a_matrix_before_each_expert_seen(*, optimize: bool) -> None:
    """SNR-Trans: sum_i w_i W_i E_i(x), W_i named by the place in `sees`."""
    model = gated("sees: [c, a], selector: x, transform: linear", optimize=optimize)
    seen = experts_of(model, batch()["x"], ("c.0", "a.0", "a.1"))
    experts = [linear(model, e, f"{GATE}.transform.{i}") for i, e in enumerate(seen)]
    check(model, linear(model, batch()["x"]).softmax(-1), experts)


@BOTH
def test_a_residual_gate_is_added_to_the_mix(*, optimize: bool) -> None:
    """AdaTT: the mix of one gate plus that of another."""
    model = gated("sees: all, selector: x, residual: r", optimize=optimize, more="r: {sees: [a], selector: x}, ")
    x = batch()["x"]
    weights = linear(model, x, "level1.gates.r.head").softmax(-1)
    added = (weights.unsqueeze(-1) * torch.stack(experts_of(model, x)[:2], dim=1)).sum(1)
    check(model, linear(model, x).softmax(-1), added=added)


@BOTH
def test_order_of_sees_is_the_order_of_the_weights(*, optimize: bool) -> None:
    """`[c, a.1]`: column 0 is c, column 1 is a.1."""
    model = gated("sees: [c, a.1], selector: x", optimize=optimize)
    check(model, linear(model, batch()["x"]).softmax(-1), experts_of(model, batch()["x"], ("c.0", "a.1")))


@BOTH
def test_hard_concrete_is_sampled_in_training_and_fixed_in_evaluation(*, optimize: bool) -> None:
    """Evaluation: clamp(s(log a)(zeta - gamma) + gamma); training: exact zeros and ones at the rates of the paper."""
    model = gated("sees: all, kind: hard_concrete, penalty: 0.01", optimize=optimize)
    (log_a,) = (view for name, view in model.named_weights() if name == f"{GATE}.weight")
    log_a.copy_(torch.tensor([-2.0, 0.0, 1.0, 9.0]))
    check(model, (log_a.sigmoid() * 1.2 - 0.1).clamp(0, 1).expand(6, -1))
    torch.manual_seed(0)
    model.train()
    samples = torch.stack([model.gate_weights(batch(1))[GATE][0] for _ in range(400)])
    open_rate = torch.sigmoid(log_a - 0.9 * torch.tensor(0.1 / 1.1).log())
    torch.testing.assert_close((samples > 0).double().mean(0), open_rate, rtol=0, atol=0.1)
    model(batch())
    torch.testing.assert_close(model.auxiliary_losses[GATE], 0.01 * open_rate.sum())
    assert samples.min() == 0
    assert samples.max() == 1


@BOTH
def test_gate_dropout_drops_weights_in_training_only(*, optimize: bool) -> None:
    """Weights are dropped with probability p and the others scaled by 1/(1-p), without renormalising."""
    model = gated("sees: all, selector: x, dropout: 0.5", optimize=optimize)
    right = linear(model, batch()["x"]).softmax(-1)
    torch.manual_seed(0)
    found = model.train().gate_weights(batch())[GATE]
    torch.testing.assert_close(torch.where(found == 0, 0.0, found / 2), torch.where(found == 0, 0.0, right))
    assert 0 < int((found == 0).sum()) < found.numel()


def test_a_tiny_temperature_is_refused() -> None:
    """A temperature too small to divide by is an error of the spec instead of infinite logits."""
    with pytest.raises(archspec.SpecError, match="too small"):
        gated("sees: all, selector: x, temperature: 1e-320", optimize=False)


@BOTH
def test_detached_experts_get_no_gradient(*, optimize: bool) -> None:
    """`sees: [a, {detach: b}]` mixes b and trains only a."""
    model = gated("sees: [a, {detach: b}], selector: {detach: x}", optimize=optimize)
    _, gradients, numbers = run(model, batch())
    assert not gradients["level1.experts.b.0.layers.0.weight"].any()
    assert gradients["level1.experts.a.0.layers.0.weight"].any()
    assert numbers["x"].any()


@pytest.mark.parametrize("gate", ["topk, k: 1, balance: -0.1", "hard_concrete, selector: none, penalty: -0.1"])
def test_a_penalty_is_no_reward(gate: str) -> None:
    """A negative factor of a loss term, which would reward what the term penalises, is refused."""
    text = (
        "archspec: 1\nname: x\ninputs: {x: {kind: dense, dim: 2}}\ntasks: {t: {}}\n"
        f"levels: [{{experts: {{e: {{count: 2, units: [2]}}}}, gates: {{t: {{sees: e, kind: {gate}}}}}}}]\n"
        "towers: {t: {}}\n"
    )
    with pytest.raises(archspec.SpecError, match="AS109"):
        archspec.load(text)
