"""Kinds that build a module run, are counted, and can be saved, loaded, copied and pickled like all others."""

from __future__ import annotations

import copy
import io
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

import archspec
from archspec.compiler.compile import build, instantiate
from archspec.compiler.count import count
from archspec.graph.load import graph_of
from archspec.testing import check_kind
from tests.compiler.models import BOTH, HEAD, assert_agree, batch_of, run

if TYPE_CHECKING:
    from archspec import Width
    from archspec.nn.module import Compiled

KINDS = Path(__file__).with_name("opaque_kinds.py")

TEXT = (
    HEAD
    + """
inputs:
  x: {kind: dense, dim: 3}
  user: {kind: sparse, vocab: 5, dim: 2}
  scene: {kind: domain, values: [one, two], dim: 2}
feature_gates:
  scaled: {kind: opaque_factors, from: [x, user], selector: scene}
tasks: {one: {}, two: {}, all_rows: {}}
levels:
  - experts:
      one: {kind: opaque_expert, from: scaled}
      two: {kind: opaque_expert, from: scaled}
      shared: {kind: opaque_expert, count: 3, from: scaled}
    gates:
      one: {kind: opaque_gate, sees: all, selector: x, exclude: scene}
      two: {kind: opaque_domain, sees: all, selector: scene}
      all_rows: {kind: opaque_static, sees: all, selector: none}
towers:
  one: {kind: opaque_tower}
  two: {kind: opaque_tower}
  all_rows: {units: [2]}
"""
)


def spec() -> archspec.Spec:
    """A spec that uses all of these kinds."""
    return archspec.load(TEXT, plugins=[KINDS])


def model_and_batch(*, optimize: bool) -> tuple[Compiled, dict[str, torch.Tensor]]:
    """A float64 model and five rows."""
    return archspec.compile(spec(), optimize=optimize, seed=0).double(), batch_of(spec(), 5)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("opaque_expert", {}),
        ("opaque_gate", {}),
        ("opaque_gate", {"exclude": "scene"}),
        ("opaque_static", {"selector": "none"}),
        ("opaque_domain", {"selector": "scene"}),
        ("opaque_factors", {}),
        ("opaque_tower", {}),
    ],
)
def test_the_test_kit_takes_modules(kind: str, settings: dict[str, Any]) -> None:
    """`check_kind` accepts kinds that `build`: shapes, gradients, batches and torch.compile."""
    check_kind(kind, plugins=[KINDS], settings=settings)


def test_plain_and_optimized_models_with_modules_are_equal() -> None:
    """With one seed, outputs and gradients are equal, and an excluded expert has the weight zero."""
    plain, batch = model_and_batch(optimize=False)
    optimized, _ = model_and_batch(optimize=True)
    for actual, wanted in zip(run(optimized, batch), run(plain, batch), strict=True):
        assert_agree(actual, wanted, 1e-12)
    weights = optimized.gate_weights(batch)["level1.gates.one"]
    assert weights.shape == (5, 5)
    own = batch["scene"]
    assert not weights[torch.arange(5), own].any()
    assert optimized.gate_weights(batch)["level1.gates.all_rows"].shape == (5, 5)


@BOTH
def test_modules_are_counted(*, optimize: bool) -> None:
    """Numbers that kinds report equal those of their modules; numbers that are not reported are unknown, not zero."""
    counted = count(graph_of(spec())).nodes
    model, _ = model_and_batch(optimize=optimize)
    held: dict[str, int] = {}
    for name, value in model.named_weights():
        node = next((node for node in counted if name.startswith(f"{node}.")), "")
        held[node] = held.get(node, 0) + value.numel()
    told = ["level1.experts.one.0", "level1.experts.shared.2", "level1.gates.one", "feature_gates.scaled"]
    assert all(counted[node].parameters == held[node] for node in told)
    assert counted["level1.gates.two"].parameters is None
    assert counted["level1.experts.one.0"].flops == 4 * (4 * 5 + 1)


@BOTH
def test_weights_of_modules_are_saved_and_loaded(*, optimize: bool, tmp_path: Path) -> None:
    """Weights load by canonical name into the spec's other module, and by state dict, also from the meta device."""
    model, batch = model_and_batch(optimize=optimize)
    archspec.save_weights(model, tmp_path / "weights.safetensors")
    other = archspec.compile(spec(), optimize=not optimize, seed=5).double()
    archspec.load_weights(other, tmp_path / "weights.safetensors")
    assert_agree(other.eval()(batch), model.eval()(batch), 1e-12)
    empty = type(model)(device="meta").to_empty(device="cpu").double()
    empty.load_state_dict(model.state_dict())
    assert_agree(empty.eval()(batch), model.eval()(batch), 0.0)


@BOTH
def test_modules_are_copied_and_pickled(*, optimize: bool) -> None:
    """Copies and pickles keep weights, frozen weights and modes, for classes found by name and for others."""
    model, batch = model_and_batch(optimize=optimize)
    expert: Any = model.get_submodule("level1_one_0")
    expert.left.weight.requires_grad_(requires_grad=False)
    expert.right.eval()
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for made in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), torch.load(file, weights_only=False)):  # noqa: S301 - its own
        assert type(made) is type(model)
        assert_agree(made(batch), model(batch), 0.0)
        assert [p.requires_grad for p in made.parameters()] == [p.requires_grad for p in model.parameters()]
        assert [m.training for m in made.modules()] == [m.training for m in model.modules()]
        assert not {p.data_ptr() for p in made.parameters()} & {p.data_ptr() for p in model.parameters()}


def test_printing_shows_modules_and_parts() -> None:
    """`print(model)` lists the parts of the network, with the modules of plugins below them."""
    text = str(archspec.compile(spec(), seed=0))
    for line in (
        "user: sparse [B, 2], 10 parameters",
        "experts shared: 3 opaque_expert [B, 5] -> [B, 4], 144 parameters",
        "gate two: opaque_domain of 5 experts",
        "all_rows: mlp [B, 4] -> [B, 2], 13 parameters",
        "(left): Linear(in_features=5, out_features=4, bias=True)",
    ):
        assert line in text


def test_a_kind_inside_a_function_is_refused_by_name() -> None:
    """A built file imports the class of a kind that builds a module; a class that it cannot import is a diagnostic."""

    @archspec.expert("hidden_away")
    class HiddenAway(archspec.ExpertKind):
        """One layer."""

        def width(self, input: Width) -> Width:
            return input

        def build(self, input: Width) -> nn.Module:
            return nn.Linear(input, input)

    loaded = archspec.load(TEXT.replace("opaque_expert", "hidden_away"), plugins=[KINDS, HiddenAway])
    with pytest.raises(archspec.SpecError, match=r"AS503.*expert.*`hidden_away` .*inside a function") as raised:
        archspec.compile(loaded)
    assert "top of its module" in str(raised.value)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda *_: 3, "AS502.*returns 3 as its `build`, which must be an nn.Module"),
        (lambda *_: 1 / 0, "AS502.*failed in `build`: ZeroDivisionError"),
    ],
)
def test_a_kind_that_builds_nothing_good_is_told(wrong: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401 - a method of any fault
    """If `build` raises an error or returns something else, a diagnostic names the kind at its place in the spec."""
    built = build(graph_of(spec()))
    cls = type(spec().levels[0].gates["one"].settings)
    monkeypatch.setattr(cls, "build", wrong)
    with pytest.raises(archspec.SpecError, match=message):
        instantiate(built)


class _Wrapped(nn.Linear):
    """A layer that wraps its result."""

    def forward(self, input: Tensor) -> Any:  # noqa: ANN401 - a tuple, which is the defect
        return (super().forward(input),)


class _Branching(nn.Linear):
    """A layer that branches on values, which the meta device does not have, and counts its calls."""

    calls = 0

    def forward(self, input: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(input) if input.sum().item() > 0 else super().forward(-input)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda _, width: nn.Linear(width, 7), r"returns \[B, 7\] rather than \[B, 4\]"),
        (lambda _, width: nn.Sequential(nn.Linear(width, 4), nn.Flatten(0)), r"returns \[8\] rather than"),
        (lambda _, width: _Wrapped(width, 4), r"returns a `tuple` rather than \[B, 4\]"),
    ],
)
def test_a_module_of_another_shape_is_reported_when_it_is_made(
    wrong: Any,  # noqa: ANN401 - a method with some defect
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A module that does not return what its kind declares is AS502 at the block, not a later error from torch."""
    cls = type(spec().levels[0].experts["one"].settings)
    built = build(graph_of(spec()))
    monkeypatch.setattr(cls, "build", wrong)
    with pytest.raises(archspec.SpecError, match=f"AS502.*{message}"):
        instantiate(built)


def test_a_module_that_needs_values_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that cannot be checked without values is accepted, and the check leaves its state unchanged."""
    monkeypatch.setattr(type(spec().levels[0].experts["one"].settings), "build", lambda _, width: _Branching(width, 4))
    model = archspec.compile(spec(), seed=0)
    made = [module for module in model.modules() if isinstance(module, _Branching)]
    assert made
    assert all(module.calls == 0 for module in made)


def test_a_module_that_meta_would_break_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A buffer that is in no state dict would be lost on the meta device, so creating the model raises an error."""

    def build_with_buffer(_: object, seen: archspec.Width) -> nn.Module:
        module = nn.Linear(5, 4)
        module.register_buffer("table", torch.ones(seen), persistent=False)
        return module

    cls = type(archspec.compile(spec(), seed=0))
    monkeypatch.setattr(type(spec().levels[0].experts["one"].settings), "build", build_with_buffer)
    with pytest.raises(ValueError, match=r"cannot be made on the meta device: no state dict holds its buffer `table`"):
        cls(device="meta")
    assert cls(seed=0).get_submodule("level1_one_0").state_dict().keys() == {"weight", "bias"}


def test_they_run_in_a_model_for_inference() -> None:
    """Modules of plugins compute in float32 beside rounded products; they are copied, pickled and loaded with them."""
    exact, batch = model_and_batch(optimize=True)
    exact.float().eval()
    batch = {name: value.float() if value.is_floating_point() else value for name, value in batch.items()}
    model = archspec.for_inference(exact)
    with torch.no_grad():
        expected, found = exact(batch), model(batch)
        for made in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):  # noqa: S301 - pickled here
            assert_agree(made(batch), found, 0)
    assert_agree(found, expected, 0.05)
    model.load_weights({name: torch.zeros_like(value) for name, value in exact.named_weights()})
    assert all(not value.any() for _, value in model.named_weights())
