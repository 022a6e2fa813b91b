"""Models for inference: near the plain module on every spec, and whatever is written to them is what they compute."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

import archspec
from archspec.nn import inference
from tests.compiler.models import NAMES, batch_of, spec_of, tiles_of

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.nn.module import Compiled

TINY = """
archspec: 1
name: tiny
inputs:
  x: {kind: dense, dim: 5}
  a: {kind: sparse, vocab: 7, dim: 3}
levels:
  - experts: {shared: {count: 3, units: [8, 4]}}
    gates: {one: {sees: all}, two: {sees: all}}
towers: {one: {from: one, units: [6, 4]}, two: {from: two, units: [6, 4]}}
tasks: {one: {}, two: {}}
"""

packs = pytest.mark.skipif(
    not inference.can_be_packed(torch.zeros(2, 2, dtype=torch.bfloat16)), reason="this processor packs no weights"
)


@pytest.fixture
def exact() -> Compiled:
    """A model in float32."""
    return archspec.compile(TINY, seed=0).eval()


@pytest.fixture
def model(exact: Compiled) -> Any:  # noqa: ANN401 - a compiled model with the methods of ForInference
    """The same model for inference."""
    return archspec.for_inference(exact)


def rows(count: int = 9) -> dict[str, Tensor]:
    """A random batch."""
    generator = torch.Generator().manual_seed(count)
    return {"x": torch.randn(count, 5, generator=generator), "a": torch.randint(7, (count,), generator=generator)}


def outputs(model: nn.Module) -> Tensor:
    """The logits of `rows()`."""
    with torch.no_grad():
        return torch.stack(list(model(rows()).values()))


def in_every_call(exact: Compiled) -> Compiled:
    """The model that rounds the weights of products in every call."""
    model = archspec.compile(TINY, precision="bf16").eval()
    model.load_weights(dict(exact.named_weights()))
    return model


def other_weights(model: Compiled) -> dict[str, Tensor]:
    """Different weights for a model, by canonical name, in float32."""
    generator = torch.Generator().manual_seed(7)
    return {name: torch.randn(value.shape, generator=generator) for name, value in model.named_weights()}


@pytest.mark.parametrize("name", NAMES)
def test_every_spec_is_near_its_plain_module(name: str) -> None:
    """Names, shapes and types are those of the plain module in float32 for 0, 1 and 7 rows; values are near."""
    plain = archspec.compile(spec_of(name), optimize=False, seed=0).eval()
    rounded = archspec.for_inference(plain)
    for count in (0, 1, 7):
        batch = batch_of(spec_of(name), count, dtype=torch.float32)
        with torch.no_grad():
            torch.testing.assert_close(rounded(batch), plain(batch), rtol=0, atol=0.02)
        torch.testing.assert_close(rounded.predict(batch), plain.predict(batch), rtol=0.02, atol=0.02)


def test_products_are_rounded_as_in_every_call(exact: Compiled, model: Any) -> None:  # noqa: ANN401 - as the fixture
    """The weights of products are those of the model in bfloat16, all others exactly the model's own."""
    rounded = {name for name, value in model.named_weights() if value.dtype is torch.bfloat16}
    assert rounded == {
        name
        for name, _ in exact.named_weights()
        if name.endswith(".weight") and not name.startswith("inputs.") and not name.endswith(".head.weight")
    } | {f"level1.gates.{gate}.head.weight" for gate in ("one", "two")}
    for name, value in model.named_weights():
        expected = dict(exact.named_weights())[name]
        assert torch.equal(value, expected.bfloat16() if name in rounded else expected)


def test_it_computes_no_gradient_and_refuses_to_train(exact: Compiled, model: Any) -> None:  # noqa: ANN401 - as the fixture
    """Outputs have no gradient, the model stays in evaluation mode, and the message says what to train instead."""
    assert not any(value.requires_grad for value in model(rows()).values())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert model.eval() is model
    for wrong in (model.train, model.requires_grad_, nn.Sequential(model).train):
        with pytest.raises(RuntimeError, match="train the model that it was made from"):
            wrong()
    assert exact.train().training
    assert all(parameter.requires_grad for parameter in exact.parameters())


def test_loaded_weights_are_what_it_computes_with(exact: Compiled, model: Any) -> None:  # noqa: ANN401 - as the fixture
    """After load_weights and load_state_dict, also inside another module, it equals a new model of those weights."""
    before = outputs(model)
    exact.load_weights(other_weights(exact))
    expected = outputs(archspec.for_inference(exact))
    assert not torch.equal(before, expected)
    state = in_every_call(exact).state_dict()
    by_name, by_state, inside = (copy.deepcopy(model) for _ in range(3))
    by_name.load_weights(dict(exact.named_weights()))
    by_state.load_state_dict(state)
    nn.ModuleDict({"it": inside}).load_state_dict({f"it.{name}": value for name, value in state.items()})
    assigned = copy.deepcopy(model)
    assigned.load_state_dict(state, assign=True)
    for found in (by_name, by_state, inside, assigned):
        assert torch.equal(outputs(found), expected)
        assert {value.dtype for value in found.state_dict().values()} == {torch.bfloat16, torch.float32}


def test_nothing_is_loaded_if_something_does_not_fit(exact: Compiled, model: Any) -> None:  # noqa: ANN401 - as the fixture
    """A wrong shape or a missing name changes no weight."""
    before, wrong = outputs(model), other_weights(exact)
    del wrong["towers.two.head.bias"]
    with pytest.raises(ValueError, match=r"towers\.two\.head\.bias: missing"):
        model.load_weights(wrong)
    assert torch.equal(outputs(model), before)


def test_a_write_to_a_weight_is_seen_or_refused(model: Any) -> None:  # noqa: ANN401 - as the fixture
    """Writing to a value of `named_weights` changes the outputs, or raises an error if the value is a copy."""
    refused = 0
    for name, value in model.named_weights():
        before = outputs(model)
        try:
            value.mul_(3)
        except RuntimeError as error:
            assert "Inplace update to inference tensor" in str(error)  # noqa: PT017 - others change the outputs
            refused += 1
            assert torch.equal(outputs(model), before)
        else:
            assert not torch.equal(outputs(model), before), name
    assert bool(refused) == bool(model._packed())


def test_a_write_to_data_is_seen(model: Any) -> None:  # noqa: ANN401 - as the fixture
    """No parameter has a second copy: writing through `.data`, of which torch keeps no count, changes the outputs."""
    for name, parameter in model.named_parameters():
        before = outputs(model)
        parameter.data.mul_(3)
        assert not torch.equal(outputs(model), before), name


def test_state_dict_is_that_of_a_model_with_products_in_bfloat16(exact: Compiled, model: Any) -> None:  # noqa: ANN401 - as the fixture
    """`compile(precision="bf16")` has the same names in the same order, can load it, and then has rounded weights."""
    rounding = in_every_call(exact)
    assert list(model.state_dict()) == list(rounding.state_dict())
    assert [name for name, _ in model.named_weights()] == [name for name, _ in exact.named_weights()]
    rounding.load_state_dict(model.state_dict())
    assert torch.equal(outputs(archspec.for_inference(rounding)), outputs(model))


def test_a_file_of_weights_goes_both_ways(exact: Compiled, model: Any, tmp_path: Path) -> None:  # noqa: ANN401 - as the fixture
    """`save_weights` of either model can be loaded into the other."""
    exact.load_weights(other_weights(exact))
    archspec.save_weights(exact, tmp_path / "exact.safetensors")
    archspec.load_weights(model, tmp_path / "exact.safetensors")
    assert torch.equal(outputs(model), outputs(archspec.for_inference(exact)))
    archspec.save_weights(model, tmp_path / "rounded.safetensors")
    archspec.load_weights(exact, tmp_path / "rounded.safetensors")
    assert torch.equal(outputs(archspec.for_inference(exact)), outputs(model))


def test_copies_and_pickles_share_nothing(model: Any) -> None:  # noqa: ANN401 - as the fixture
    """deepcopy, pickle and torch.save give equal models, still for inference, which later writes do not reach."""
    model.check_inputs = False
    stream = io.BytesIO()
    torch.save(model, stream)
    stream.seek(0)
    unpickled = pickle.loads(pickle.dumps(model))  # noqa: S301 - pickled here
    copies = [copy.deepcopy(model), unpickled, torch.load(stream, weights_only=False)]
    before = outputs(model)
    model.load_weights(other_weights(model))
    for made in copies:
        assert torch.equal(outputs(made), before)
        assert not made.check_inputs
        assert made._packed().keys() == model._packed().keys()
        with pytest.raises(RuntimeError, match="is for inference"):
            made.train()


def test_it_can_be_made_from_itself(model: Any) -> None:  # noqa: ANN401 - as the fixture
    """A model for inference, and its unpacked form, give the same model again."""
    for source in (model, model.unpacked()):
        assert torch.equal(outputs(archspec.for_inference(source)), outputs(model))


def test_moves_keep_the_weights_of_products_in_bfloat16(model: Any) -> None:  # noqa: ANN401 - as the fixture
    """`.double()` and back gives the same outputs: other weights are converted, those of products stay."""
    before, packed = outputs(model), list(model._packed())
    model.double()
    types = {name: value.dtype for name, value in model.state_dict().items()}
    assert set(types.values()) == {torch.bfloat16, torch.float64}
    doubled = model({**rows(), "x": rows()["x"].double()})["one"]
    assert doubled.dtype is torch.float64
    torch.testing.assert_close(doubled.float(), before[0], rtol=0.02, atol=0.02)
    assert torch.equal(outputs(model.float()), before)
    assert list(model._packed()) == packed


def test_threads_compute_what_one_computes(model: Any) -> None:  # noqa: ANN401 - as the fixture
    """Four threads get the same outputs as one, while a fifth reads weights and loads equal ones."""
    expected, weights = outputs(model), {name: value.clone() for name, value in model.named_weights()}
    with ThreadPoolExecutor(5) as pool:
        loads = pool.submit(lambda: [(model.load_weights(weights), model.state_dict()) for _ in range(20)])
        found = list(pool.map(lambda _: outputs(model), range(40)))
        loads.result()
    assert all(torch.equal(each, expected) for each in found)


def test_tiles_compute_the_same(model: Any) -> None:  # noqa: ANN401 - as the fixture
    """A batch of 9 rows in tiles of 2 gives the outputs of the whole, up to rounding."""
    expected = outputs(model)
    with tiles_of(model, 2):
        torch.testing.assert_close(outputs(model), expected, rtol=0.01, atol=0.01)


def test_the_unpacked_form_can_be_exported(model: Any) -> None:  # noqa: ANN401 - as the fixture
    """torch.export takes `unpacked()`, also with a dynamic number of rows, and the results are near."""
    dynamic = {"x": {0: torch.export.Dim("rows", min=1)}, "a": {0: torch.export.Dim("rows", min=1)}}
    exported = torch.export.export(model.unpacked(), (rows(4),), dynamic_shapes=(dynamic,))
    torch.testing.assert_close(
        torch.stack(list(exported.module()(rows()).values())), outputs(model), rtol=0.02, atol=0.02
    )


@packs
def test_packed_weights_are_not_traced(model: Any) -> None:  # noqa: ANN401 - as the fixture
    """Tracing a packed model raises an error that names `unpacked`."""
    with pytest.raises(RuntimeError, match=r"model\.unpacked\(\)"):
        torch.export.export(model, (rows(4),))


@packs
def test_torch_compile_computes_a_packed_model_as_it_is(model: Any) -> None:  # noqa: ANN401 - as the fixture
    """Without `fullgraph`, torch.compile leaves it alone: it computes the same, rather than failing inside torch."""
    compiled = torch.compile(model, backend="eager")(rows())  # type: ignore[no-untyped-call] # torch leaves it untyped
    assert torch.equal(torch.stack(list(compiled.values())), outputs(model))


@packs
def test_matrices_of_rows_are_packed_and_stored_nowhere_else(model: Any) -> None:  # noqa: ANN401 - as the fixture
    """The first product of all experts is packed; no parameter has its shape."""
    packed = model._packed()
    assert packed
    assert all(value.is_mkldnn and value.dtype is torch.bfloat16 for value in packed.values())
    assert not {*packed} & {name for name, _ in model.named_parameters()}


def test_without_onednn_nothing_is_packed(exact: Compiled, monkeypatch: pytest.MonkeyPatch) -> None:
    """On other builds and processors all weights are parameters, and the outputs are near."""
    packed = outputs(archspec.for_inference(exact))
    monkeypatch.setattr(inference, "HAS_ONEDNN", False)
    model: Any = archspec.for_inference(exact)
    assert not model._packed()
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in exact.named_parameters()]
    torch.testing.assert_close(outputs(model), packed, rtol=0.02, atol=0.02)


def test_it_shows_its_source_and_its_parts(model: Any) -> None:  # noqa: ANN401 - as the fixture
    """`inspect.getsource` and `print` work as for every compiled model."""
    assert "linear_bf16(" in inspect.getsource(type(model))
    assert str(model).startswith("Tiny(")


def test_only_models_that_know_their_spec_are_taken(exact: Compiled) -> None:
    """A subclass, the class of a built file and another module raise TypeError; another precision ValueError."""

    class Changed(type(exact)):  # type: ignore[misc] # its class is made at run time
        pass

    scope: dict[str, Any] = {"__name__": "tiny"}
    exec(inspect.getsource(inspect.getmodule(type(exact))), scope)  # type: ignore[arg-type] # noqa: S102 - archspec wrote it
    for wrong, message in (
        (Changed(seed=0), "subclass"),
        (scope["Tiny"](seed=0), "built file"),
        (nn.Linear(2, 2), "not a compiled model"),
    ):
        with pytest.raises(TypeError, match=message):
            archspec.for_inference(wrong)
    with pytest.raises(ValueError, match="'fp8'"):
        archspec.for_inference(exact, precision="fp8")  # type: ignore[arg-type] # a wrong value
