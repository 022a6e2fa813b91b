"""Properties of the plugins of the modern architectures, beyond equality with a reference."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

import archspec
from tests.compiler.models import assert_equal, weight_gradients
from tests.plain.batches import batch_for
from tests.plain.dselect_k import DselectK
from tests.published import PLUGINS, SPECS
from tests.specs.test_modern_identities import loaded

WITH_PLUGIN = tuple(sorted(path.stem for path in PLUGINS.glob("*.py")))


def spec_of(name: str, *edits: tuple[str, str]) -> archspec.Spec:
    """A spec with its plugin, after edits to its text."""
    return loaded(name, edits)


def model_of(name: str, *edits: tuple[str, str]) -> Any:  # noqa: ANN401 - an emitted class
    """The module of a spec with its plugin, float64."""
    return archspec.compile(spec_of(name, *edits), seed=0).double()


def batch_of(name: str, rows: int = 32, seed: int = 0) -> dict[str, Tensor]:
    """A random batch for a spec."""
    return batch_for(spec_of(name).data()["inputs"], rows, seed, torch.float64)


def weight(model: Any, name: str) -> Tensor:  # noqa: ANN401 - an emitted class
    """A weight by its canonical name."""
    found: Tensor = dict(model.named_weights())[name]
    return found


@pytest.mark.parametrize("name", WITH_PLUGIN)
def test_validating_and_drawing_need_no_torch(name: str) -> None:
    """A spec with its plugin is loaded and turned into a graph in a process that cannot import torch."""
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "import archspec\n"
        f"graph = archspec.build_graph(archspec.load('specs/{name}.yaml', plugins=['plugins/{name}.py']))\n"
        "assert graph.nodes\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=SPECS.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", WITH_PLUGIN)
def test_a_spec_does_not_enable_its_plugin(name: str) -> None:
    """Unless the caller enables the plugin, the spec is refused, and the message says how to enable it."""
    with pytest.raises(archspec.SpecError, match=f"--plugin {name}"):
        archspec.load(SPECS / f"{name}.yaml")


def test_dselect_k_becomes_exactly_one_hot() -> None:
    """Selectors outside the smooth step choose one expert each: at most k weights are nonzero, and they sum to 1."""
    model, batch = model_of("dselect_k"), batch_of("dselect_k")
    weight(model, "level1.gates.engagement.z.weight").mul_(1e6)
    weights = model.gate_weights(batch)["level1.gates.engagement"]
    assert ((weights != 0).sum(1) <= 2).all()
    assert len(set(weights.argmax(1).tolist())) > 1
    assert_equal(weights.sum(1), torch.ones(32, dtype=torch.float64))


@pytest.mark.parametrize("optimize", [False, True], ids=["plain", "optimized"])
@pytest.mark.parametrize(("experts", "entropy"), [(8, 0.0), (8, 0.01), (6, 0.0), (3, 0.5), (2, 0.1)])
def test_dselect_k_regularizer(experts: int, entropy: float, optimize: bool) -> None:  # noqa: FBT001 - pytest's parameter
    """Outputs, the added loss and gradients match the handwritten formula; 8 experts without entropy add nothing."""
    spec = spec_of("dselect_k", ("count: 8", f"count: {experts}"), ("k: 2}", f"k: 2, entropy: {entropy}}}"))
    model: Any = archspec.compile(spec, seed=0, optimize=optimize).double().train()
    torch.manual_seed(1)
    written = DselectK(experts, entropy).double()
    with torch.no_grad():
        for name, parameter in written.named_parameters():
            if ".z." in name:
                parameter.mul_(0.5)  # some steps reach 0 and 1, most lie between
    model.load_weights(written.state_dict())
    batch = batch_of("dselect_k", 9)
    assert_equal(model(batch), written(batch))
    assert_equal(dict(getattr(model, "auxiliary_losses", {})), written.auxiliary_losses())
    assert bool(written.auxiliary_losses()) == ((experts, entropy) != (8, 0.0))
    if written.auxiliary_losses():
        torch.autograd.backward(list(model.auxiliary_losses.values()))
        torch.autograd.backward(list(written.auxiliary_losses().values()))
        wanted = {key: value.grad for key, value in written.named_parameters() if value.grad is not None}
        found = weight_gradients(model)
        assert any(".z." in key and value.any() for key, value in wanted.items())
        assert_equal({key: found[key] for key in wanted}, wanted)


def test_dselect_k_keeps_the_penalty_finite() -> None:
    """A selector that is entirely on codes without an expert has a high but finite penalty."""
    model, batch = model_of("dselect_k", ("count: 8", "count: 5")).train(), batch_of("dselect_k")
    weight(model, "level1.gates.engagement.z.weight").zero_()
    weight(model, "level1.gates.engagement.z.bias").fill_(1.0)  # every bit 1: code 7 of 0..4
    assert not model.gate_weights(batch)["level1.gates.engagement"].any()
    model(batch)
    loss = model.auxiliary_losses["level1.gates.engagement"]
    assert loss.item() == pytest.approx(32 * 2 * 1e6)
    torch.autograd.backward(loss)
    assert all(gradient.isfinite().all() for gradient in weight_gradients(model).values())


def test_dselect_k_of_one_expert() -> None:
    """A single expert has weight 1 in every row, so there is nothing to select; the lint says so."""
    spec = spec_of("dselect_k", ("count: 8", "count: 1"))
    assert {item.code for item in spec.diagnostics} == {"AS302"}
    model = archspec.compile(spec, seed=0).double()
    weights = model.gate_weights(batch_of("dselect_k"))
    assert all(torch.equal(each, torch.ones(32, 1, dtype=torch.float64)) for each in weights.values())
    assert [name for name, _ in model.named_weights() if ".gates." in name] == []


def test_dselect_k_in_its_old_form() -> None:
    """`bias: false, penalty: 0` has only the weights of the old kind and adds nothing to the loss."""
    model = model_of("dselect_k", ("count: 8", "count: 6"), ("k: 2}", "k: 2, bias: false, penalty: 0}")).train()
    model(batch_of("dselect_k"))
    assert not getattr(model, "auxiliary_losses", {})
    gate = [name for name, _ in model.named_weights() if name.startswith("level1.gates.engagement")]
    assert gate == ["level1.gates.engagement.z.weight", "level1.gates.engagement.w.weight"]


@pytest.mark.parametrize("count", [1, 5, 8])
def test_dselect_k_is_exported(count: int) -> None:
    """`torch.export` accepts the model, for batches of any size."""
    model, batch = model_of("dselect_k", ("count: 8", f"count: {count}")).eval(), batch_of("dselect_k")
    rows = {key: {0: torch.export.Dim("rows")} for key in batch}
    exported = torch.export.export(model, (batch,), dynamic_shapes=(rows,), strict=False)
    other = batch_of("dselect_k", 5, 1)
    assert_equal(exported.module()(other), model(other))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("dselect_k", "k: 2}", "k: 2, gamma: -0.2}"), ("dselect_k", "k: 2}", "k: 2, gamma: 0}"),
        ("dselect_k", "k: 2}", "k: 0}"), ("dselect_k", "k: 2}", "k: 2, entropy: -1}"),
        ("dselect_k", "k: 2}", "k: 2, penalty: -1}"), ("sluice", "penalty: 0.01", "penalty: -1"),
        ("aitm", "penalty: 0.6", "penalty: -0.6"), ("deepseek_moe", "k: 2,", "k: 0,"),
        ("deepseek_moe", "update: 0.001", "update: -1"), ("escm2", "clip: 0.05", "clip: 0"),
        ("escm2", "clip: 0.05", "clip: 1.5"),
    ],
)  # fmt: skip
def test_numbers_that_make_no_sense_are_refused(name: str, old: str, new: str) -> None:
    """Wrong numbers for plugins are refused when a spec is validated, not with a traceback when it is compiled."""
    with pytest.raises(archspec.SpecError) as raised:
        archspec.build_graph(spec_of(name, (old, new)))
    assert {item.code for item in raised.value.diagnostics} <= {"AS109", "AS210"}


def test_dselect_k_without_a_selector() -> None:
    """Static selectors give every row the same weights, and z gets a gradient from the start."""
    model = model_of("dselect_k", ("k: 2}", "k: 2, selector: none}"))
    batch = batch_of("dselect_k")
    weights = model.gate_weights(batch)["level1.gates.satisfaction"]
    assert torch.equal(weights, weights[:1].expand(32, 8))
    torch.autograd.backward(model(batch)["satisfaction"].sum())
    (z,) = (p for name, p in model.named_parameters() if "satisfaction" in name and name.endswith("z"))
    assert z.grad.all()


def test_aitm_weighs_evenly_without_keys() -> None:
    """With W1 = 0 the attention is uniform: every weight is one half."""
    model = model_of("aitm")
    weight(model, "level1.gates.request.key.weight").zero_()
    weights = model.gate_weights(batch_of("aitm"))["level1.gates.request"]
    assert torch.equal(weights, torch.full((32, 2), 0.5, dtype=torch.float64))


def test_aitm_penalty_is_zero_in_order() -> None:
    """If no later step is more likely than an earlier one, nothing is added; else 0.6 times the mean excess."""
    model, batch = model_of("aitm").train(), batch_of("aitm")
    for task, bias in (("click", 2.0), ("request", 0.0), ("approve", -2.0)):
        weight(model, f"towers.{task}.head.weight").zero_()
        weight(model, f"towers.{task}.head.bias").fill_(bias)
    model(batch)
    assert model.auxiliary_losses["fusion.in_order"].item() == 0
    weight(model, "towers.approve.head.bias").fill_(1.0)
    model(batch)
    expected = 0.6 * (torch.sigmoid(torch.tensor(1.0, dtype=torch.float64)) - 0.5)
    assert_equal(model.auxiliary_losses["fusion.in_order"], expected)


def test_aitm_order_is_no_score() -> None:
    """The fusion that only adds to the loss is neither an output nor a score."""
    model, batch = model_of("aitm").eval(), batch_of("aitm")
    assert set(model(batch)) == set(model.predict(batch)) == {"click", "request", "approve"}


def test_deepseek_biases_only_select() -> None:
    """A large bias makes every row choose an expert, but its weight is still its share of the chosen affinities."""
    model, batch = model_of("deepseek_moe").eval(), batch_of("deepseek_moe")
    before = model.gate_weights(batch)["level1.gates.click"]
    weight(model, "level1.gates.click.bias")[3] = 100.0
    after = model.gate_weights(batch)["level1.gates.click"]
    assert (after[:, :2] == 1).all()
    assert (after[:, 2 + 3] > 0).all()
    assert ((after[:, 2:] > 0).sum(1) == 2).all()
    assert_equal(after[:, 2:].sum(1), torch.ones(32, dtype=torch.float64))
    same = (before > 0).eq(after > 0).all(1)
    assert same.any()
    assert_equal(before[same], after[same])


def test_deepseek_biases_follow_the_load() -> None:
    """In training, biases of overloaded experts fall and those of idle ones rise by `update`; else none changes."""
    model, batch = model_of("deepseek_moe"), batch_of("deepseek_moe")
    model.eval()(batch)
    assert not weight(model, "level1.gates.click.bias").any()
    load = (model.gate_weights(batch)["level1.gates.click"][:, 2:] > 0).sum(0).double()
    model.train()(batch)
    expected = 0.001 * torch.sign(load.mean() - load)
    assert_equal(weight(model, "level1.gates.click.bias"), expected)
    assert "level1_gates_click_bias" not in dict(model.named_parameters())


def test_star_takes_each_row_to_its_own_domain() -> None:
    """Changing one scene's weights changes the outputs of its rows only."""
    model, batch = model_of("star").eval(), batch_of("star")
    before = model(batch)["click"]
    weight(model, "towers.main.layers.0.domains.weight")[1] = 0.5
    changed = model(batch)["click"] != before
    assert torch.equal(changed, batch["scene"] == 1)


GATE = "level1.gates.entity_a"


def halves(model: Any, layer: int = 0) -> list[Tensor]:  # noqa: ANN401 - an emitted class
    """The weight matrices of both halves of task `entity` at level 1."""
    return [weight(model, f"level1.experts.entity_{half}.0.layers.{layer}.weight") for half in "ab"]


@pytest.mark.parametrize("optimize", [False, True], ids=["plain", "optimized"])
def test_sluice_penalty_is_that_of_the_weights(optimize: bool) -> None:  # noqa: FBT001 - pytest's parameter
    """It is penalty * ||W_a^T W_b||_F^2 for any batch, and its gradient is 2 W_b W_b^T W_a."""
    model: Any = archspec.compile(spec_of("sluice"), optimize=optimize, seed=0).double().train()
    a, b = halves(model)
    wanted = 0.01 * ((a @ a.T) * (b @ b.T)).sum()
    for rows, seed in ((1, 0), (32, 0), (32, 1), (4000, 2)):
        model(batch_of("sluice", rows, seed))
        assert_equal(model.auxiliary_losses[GATE], wanted)
    torch.autograd.backward(model.auxiliary_losses[GATE])
    found = {name: value for name, value in weight_gradients(model).items() if value.any()}
    assert_equal(found, {
        "level1.experts.entity_a.0.layers.0.weight": 0.02 * b @ b.T @ a,
        "level1.experts.entity_b.0.layers.0.weight": 0.02 * a @ a.T @ b,
    })  # fmt: skip


def test_sluice_penalty_is_zero_for_orthogonal_halves() -> None:
    """Halves with W_a^T W_b = 0 have no penalty; biases do not count."""
    model = model_of("sluice").train()
    a, b = halves(model)
    a[16:] = 0
    b[:16] = 0
    model(batch_of("sluice"))
    assert model.auxiliary_losses[GATE].item() == 0
    assert model.auxiliary_losses["level1.gates.chunk_a"].item() > 0


def test_sluice_penalty_of_deep_halves() -> None:
    """Every hidden layer adds its own penalty; layers of a modulation add none."""
    deep = "units: [16, 32], modulate: {units: [4]}"
    model = model_of("sluice", ("${task}_a: {units: [32]}", f"${{task}}_a: {{{deep}}}"),
                     ("${task}_b: {units: [32]}", f"${{task}}_b: {{{deep}}}")).train()  # fmt: skip
    model(batch_of("sluice"))
    wanted = sum(0.01 * (a.T @ b).square().sum() for a, b in (halves(model, 0), halves(model, 1)))
    assert_equal(model.auxiliary_losses[GATE], wanted)


@pytest.mark.parametrize("units", ["[16, 32]", "[32], kind: identity"])
def test_sluice_halves_must_compare(units: str) -> None:
    """Halves with different layers, or none, are refused by `validate`, before anything is built."""
    identity = "identity" in units
    edit = (
        "${task}_b: {units: [32]}",
        "${task}_b: {kind: identity}" if identity else f"${{task}}_b: {{units: {units}}}",
    )
    width = (("dim: 128", "dim: 32"),) if identity else ()
    with pytest.raises(archspec.SpecError, match="weights do not compare"):
        archspec.build_graph(spec_of("sluice", edit, *width))


def test_sluice_in_its_old_form() -> None:
    """`of: outputs` is penalty * ||H_a^T H_b||_F^2 of the outputs on the batch."""
    model, batch = model_of("sluice", ("penalty: 0.01}", "penalty: 0.01, of: outputs}")).train(), batch_of("sluice")
    model(batch)
    h = [
        torch.relu(batch["text"] @ w.T + weight(model, f"level1.experts.entity_{half}.0.layers.0.bias"))
        for half, w in zip("ab", halves(model), strict=True)
    ]
    assert_equal(model.auxiliary_losses[GATE], 0.01 * (h[0].T @ h[1]).square().sum())


def test_a_domain_is_asked_for_by_name() -> None:
    """A setting that takes a domain input refuses another input, and lists the domain inputs."""
    with pytest.raises(archspec.SpecError, match="`user` is not a domain input") as found:
        spec_of("star", ("domain: scene", "domain: user"))
    assert "scene" in str(found.value)


def test_optional_methods_have_a_signature_too() -> None:
    """An optional method of a kind with a wrong signature is refused when the class is marked."""

    class Wrong(archspec.Settings):
        def lower(self, at: object, gate: object) -> object: ...

        def values(self, at: object) -> None: ...

    with pytest.raises(TypeError, match=r"`values` takes \(at\), archspec calls it with \(at, gate\)"):
        archspec.gate("wrong")(Wrong)  # type: ignore[type-var] # a type checker wants GateKind
