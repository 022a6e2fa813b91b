"""Features of every compiled module: weights by canonical name, checks of a batch, copies, devices, seeds."""

from __future__ import annotations

import copy
import io
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import archspec
from tests.compiler.models import BOTH, HEAD, NAMES, assert_agree, batch_of, model_of, run, spec_file, spec_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from archspec.nn.module import Compiled

EVERYTHING = (
    HEAD
    + """
inputs:
  x: {kind: dense, dim: 3}
  one: {kind: dense, dim: 1, column: the one}
  user: {kind: sparse, vocab: 7, dim: 2}
  past: {kind: sequence, table: user, length: 4}
  scene: {kind: domain, values: [p, q], dim: 2}
tasks: {a: {kind: binary}, b: {kind: multiclass, classes: 3}}
levels:
  - experts: {$task: {units: [4], norm: batch}, shared: {count: 2, units: [4]}}
    gates:
      a: {sees: [a, shared], kind: topk, k: 2, balance: 0.1}
      b: {sees: all, selector: none, kind: linear}
towers: {a: {switch: scene, cases: {$domain: {}}}, b: {units: [3], dropout: 0.5}}
"""
)


def everything(*, optimize: bool, seed: int = 0) -> Compiled:
    """A model that uses a bit of everything."""
    return model_of(EVERYTHING, optimize=optimize, seed=seed)


@BOTH
def test_named_weights_are_views(*, optimize: bool) -> None:
    """Writing to what `named_weights` yields writes to the model."""
    model = everything(optimize=optimize)
    for _, view in model.named_weights():
        view.fill_(0.5)
    assert all((value == 0.5).all() for value in model.state_dict().values())
    assert not any(view.requires_grad for _, view in model.named_weights())


@BOTH
def test_one_seed_gives_one_start(*, optimize: bool) -> None:
    """With one seed, plain and optimized modules of every spec start alike; the global generator is not touched."""
    state = torch.get_rng_state()
    for name in NAMES:
        plain = dict(archspec.compile(spec_of(name), optimize=False, seed=7).named_weights())
        other = dict(archspec.compile(spec_of(name), optimize=optimize, seed=7).named_weights())
        assert plain.keys() == other.keys()
        assert all(value.equal(other[key]) for key, value in plain.items())
        third = dict(archspec.compile(spec_of(name), optimize=optimize, seed=8).named_weights())
        assert not all(value.equal(third[key]) for key, value in plain.items())
    assert torch.get_rng_state().equal(state)


@BOTH
def test_without_a_seed_the_global_generator_decides(*, optimize: bool) -> None:
    """`torch.manual_seed` before `compile` reproduces a model, as for any module."""
    torch.manual_seed(3)
    first = dict(archspec.compile(spec_file("mmoe"), optimize=optimize).named_weights())
    second = dict(archspec.compile(spec_file("mmoe"), optimize=optimize).named_weights())
    torch.manual_seed(3)
    again = dict(archspec.compile(spec_file("mmoe"), optimize=optimize).named_weights())
    assert all(value.equal(again[key]) for key, value in first.items())
    assert not all(value.equal(second[key]) for key, value in first.items())


@BOTH
def test_weights_start_like_those_of_torch(*, optimize: bool) -> None:
    """Linear weights and biases are uniform within 1/sqrt(fan-in of one expert); tables are standard normal."""
    weights = dict(archspec.compile(spec_file("mmoe"), optimize=optimize, seed=0).named_weights())
    for expert in range(8):
        first = weights[f"level1.experts.shared.{expert}.layers.0.weight"]
        bound = first.shape[1] ** -0.5
        assert 0.95 * bound < float(first.abs().max()) <= bound
        assert float(weights[f"level1.experts.shared.{expert}.layers.0.bias"].abs().max()) <= bound
    assert float(weights["inputs.user.weight"].std()) == pytest.approx(1, abs=0.02)


@BOTH
def test_loading_lists_everything_that_is_wrong_and_copies_nothing(*, optimize: bool) -> None:
    """Missing, extra and misshapen weights are reported together; the model remains unchanged."""
    model, other = everything(optimize=optimize), everything(optimize=optimize, seed=5)
    before = {name: view.clone() for name, view in model.named_weights()}
    weights = dict(other.named_weights())
    del weights["towers.b.head.bias"]
    weights["towers.c.head.bias"] = torch.zeros(1)
    weights["towers.b.head.weight"] = torch.zeros(2, 2)
    with pytest.raises(ValueError, match="do not fit Tiny") as error:
        model.load_weights(weights)
    text = str(error.value)
    assert "towers.b.head.bias: missing" in text
    assert "towers.c.head.bias: the model has no such weight" in text
    assert "towers.b.head.weight: shape [2, 2], the model has [3, 3]" in text
    assert_agree(dict(model.named_weights()), before, 0.0)
    with pytest.raises(ValueError, match=r"head\.weight: shape"):
        model.load_weights(weights, strict=False)
    assert_agree(dict(model.named_weights()), before, 0.0)


@BOTH
def test_loading_without_strict_takes_what_fits_by_name(*, optimize: bool) -> None:
    """`strict=False` copies the weights whose names occur on both sides."""
    model, other = everything(optimize=optimize), everything(optimize=False, seed=5)
    weights = dict(other.named_weights())
    model.load_weights({"towers.b.head.bias": weights["towers.b.head.bias"], "unknown": torch.zeros(1)}, strict=False)
    assert dict(model.named_weights())["towers.b.head.bias"].equal(weights["towers.b.head.bias"])


@BOTH
def test_a_copy_is_a_model_of_its_own(*, optimize: bool) -> None:
    """`copy.deepcopy` shares nothing with the original, even after a training step with auxiliary losses."""
    model, batch = everything(optimize=optimize).train(), batch_of(EVERYTHING, 5)
    run(model, batch)
    other = copy.deepcopy(model)
    assert_agree(other.eval()(batch), model.eval()(batch), 0.0)
    for _, view in other.named_weights():
        view.zero_()
    assert all(view.any() for name, view in model.named_weights() if name.endswith("weight"))


@BOTH
def test_a_state_dict_goes_round(*, optimize: bool) -> None:
    """`state_dict` is plain torch: saved with torch.save, loaded with only tensors unpickled."""
    model, other, batch = everything(optimize=optimize), everything(optimize=optimize, seed=9), batch_of(EVERYTHING, 5)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert_agree(other.eval()(batch), model.eval()(batch), 0.0)


@BOTH
def test_precision_follows_the_module(*, optimize: bool) -> None:
    """`.double()` and `.float()` convert every tensor, and outputs have the module's type."""
    for dtype in (torch.float64, torch.float32):
        model = everything(optimize=optimize).to(dtype).eval()
        outputs = model(batch_of(EVERYTHING, 3, dtype=dtype))
        assert {value.dtype for value in outputs.values()} == {dtype}


@BOTH
def test_a_model_is_made_without_memory_and_filled_later(*, optimize: bool) -> None:
    """On the meta device nothing is allocated; `to_empty` and `reset_parameters` complete the model."""
    cls = type(everything(optimize=optimize))
    model = cls(device="meta")
    assert {value.device.type for value in (*model.parameters(), *model.buffers())} == {"meta"}
    model.to_empty(device="cpu")
    for value in (*model.parameters(), *model.buffers()):
        torch.nn.init.constant_(value.detach(), 99)
    model.reset_parameters()
    assert all(view.abs().max() < 10 for _, view in model.named_weights())
    outputs = model.eval()(batch_of(EVERYTHING, 3, dtype=torch.float32))
    assert all(value.isfinite().all() for value in outputs.values())


def on_meta(model: Compiled) -> Compiled:
    """A model of the same class, whose tensors have shapes but no values."""
    made: Compiled = type(model)(device="meta")
    return made


def emptied(model: Compiled) -> Compiled:
    """The same model with uninitialised memory on the CPU."""
    made = on_meta(model).to_empty(device="cpu")
    for value in (*made.parameters(), *made.buffers()):
        torch.nn.init.constant_(value.detach(), 99)
    return made


def by_state_dict(model: Compiled) -> Compiled:
    """By `load_state_dict`, the usual way in torch."""
    made = emptied(model)
    made.load_state_dict(model.state_dict())
    return made


def by_assignment(model: Compiled) -> Compiled:
    """By assignment, starting on the meta device."""
    made = on_meta(model)
    made.load_state_dict(model.state_dict(), assign=True)
    return made


def by_weights(model: Compiled) -> Compiled:
    """By canonical names."""
    made = emptied(model)
    made.load_weights(dict(model.named_weights()))
    return made


def inside_another(model: Compiled) -> Compiled:
    """As part of a larger module, which calls no method of the part except `_apply`."""
    outer = torch.nn.Sequential(on_meta(model)).to_empty(device="cpu")
    for ours, theirs in zip(outer.parameters(), model.parameters(), strict=True):
        ours.data.copy_(theirs)
    made: Any = outer[0]
    for name, value in model.state_dict().items():
        made.state_dict()[name].copy_(value)
    inner: Compiled = made
    return inner


def under_a_context(model: Compiled) -> Compiled:
    """Created and moved while `torch.device("meta")` is the default."""
    with torch.device("meta"):
        made = archspec.compile(vars(type(model))["spec"])
        made.to_empty(device="cpu")
    made.load_state_dict(model.state_dict())
    return made


def there_and_back(model: Compiled) -> Compiled:
    """Through half precision, with the weights copied from the model again."""
    made = copy.deepcopy(model).half().float()
    made.load_state_dict(model.state_dict())
    return made


@pytest.mark.parametrize(
    "way", [by_state_dict, by_assignment, by_weights, inside_another, under_a_context, there_and_back]
)
@pytest.mark.parametrize("name", ["hinet", "pepnet", "home", "star", "deepseek_moe"])
def test_constants_are_there_after_loading(name: str, way: Callable[[Compiled], Compiled]) -> None:
    """`exclude` tables, domain gates and table offsets are not in a state dict; a loaded model still has them."""
    model = archspec.compile(spec_of(name), seed=0).eval()
    batch = batch_of(spec_of(name), 5, dtype=torch.float32)
    assert_agree(way(model).eval()(batch), model(batch), 0.0)


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's own, about backends and about views among the outputs
@pytest.mark.parametrize("name", ["hinet", "pepnet"])
def test_fsdp2_may_begin_on_the_meta_device(name: str, tmp_path: Path) -> None:
    """Sharded without memory, then given memory and weights, it computes the outputs of the whole model."""
    model = archspec.compile(spec_of(name), seed=0).eval()
    batch = batch_of(spec_of(name), 5, dtype=torch.float32)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        made: Any = on_meta(model)
        fully_shard(made, mesh=init_device_mesh("cpu", (1,)))
        made.to_empty(device="cpu")
        set_model_state_dict(made, model.state_dict(), options=StateDictOptions(full_state_dict=True))
        assert_agree(made.eval()(batch), model(batch), 0.0)
    finally:
        torch.distributed.destroy_process_group()


@BOTH
def test_weights_are_not_loaded_into_nothing(*, optimize: bool) -> None:
    """`load_weights` raises an error for a model on the meta device instead of doing nothing."""
    model = everything(optimize=optimize)
    with pytest.raises(ValueError, match="meta device: call `to_empty"):
        on_meta(model).load_weights(dict(model.named_weights()))


def test_weights_of_another_spec_are_told_in_a_few_lines() -> None:
    """Of hundreds of mismatched names, ten are listed and the rest is counted."""
    model, other = (archspec.compile(spec_of(name), seed=0) for name in ("ple", "stem"))
    with pytest.raises(ValueError, match=r"weights do not fit Ple:\n(  .*\n){10}  and \d+ more$"):
        model.load_weights(dict(other.named_weights()))


@BOTH
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_model_runs_on_cuda(*, optimize: bool) -> None:
    """Outputs and gradients on a CUDA device equal those on the CPU."""
    model, batch = everything(optimize=optimize).eval(), batch_of(EVERYTHING, 5)
    right = run(model, batch)
    found = run(model.to("cuda"), {key: value.to("cuda") for key, value in batch.items()})
    for actual, wanted in zip(found, right, strict=True):
        assert_agree({key: value.cpu() for key, value in actual.items()}, wanted, 1e-10)


@BOTH
def test_gate_weights_have_no_gradient_and_one_row_per_row(*, optimize: bool) -> None:
    """Gate weights have canonical names and the shape `[B, experts seen]`, static gates included."""
    gates = everything(optimize=optimize).eval().gate_weights(batch_of(EVERYTHING, 5))
    assert {name: tuple(value.shape) for name, value in gates.items()} == {
        "level1.gates.a": (5, 3),
        "level1.gates.b": (5, 4),
    }
    assert not any(value.requires_grad for value in gates.values())
    torch.testing.assert_close(gates["level1.gates.a"].sum(1), torch.ones(5, dtype=torch.float64))


WRONG: dict[str, tuple[Callable[[dict[str, Any]], object], type[Exception], str]] = {
    "missing": (lambda b: b.pop("user"), KeyError, r"input `user` needs the column `user`; the batch holds .*scene"),
    "renamed": (lambda b: b.pop("the one"), KeyError, "input `one` needs the column `the one`"),
    "floats for ids": (lambda b: b.update(user=b["user"].double()), ValueError, "input `user`: .*float64"),
    "truths for ids": (lambda b: b.update(user=b["user"] > 1), ValueError, "input `user`: .*bool"),
    "ids for numbers": (lambda b: b.update(x=b["x"].long()), ValueError, "input `x`: .*int64"),
    "too wide": (lambda b: b.update(x=torch.zeros(5, 4)), ValueError, r"input `x`: .*shape \[5, 4\], not \[B, 3\]"),
    "too flat": (lambda b: b.update(x=torch.zeros(5)), ValueError, r"input `x`: .*shape \[5\], not \[B, 3\]"),
    "too long": (lambda b: b.update(past=torch.zeros(5, 9).long()), ValueError, "input `past`: .*9.*B, 4"),
    "too high": (lambda b: b["user"].__setitem__(3, 7), ValueError, r"input `user`: id 7 in row 3 .*0\.\.6"),
    "too low": (lambda b: b["user"].__setitem__(2, -1), ValueError, r"input `user`: id -1 in row 2 .*0\.\.6"),
    "in a sequence": (
        lambda b: b["past"].__setitem__((4, 1), 8),
        ValueError,
        r"input `past`: .*8.* in row 4 .*-1\.\.6",
    ),
    "domain": (lambda b: b["scene"].__setitem__(1, 2), ValueError, r"input `scene`: id 2 in row 1 .*0\.\.1"),
    "fewer rows": (lambda b: b.update(scene=b["scene"][:3]), ValueError, "3 rows"),
    "less precise": (lambda b: b.update(x=b["x"].float()), ValueError, "input `x`: .*float32, .* in torch.float64"),
    "half": (
        lambda b: b.update({"the one": b["the one"].half()}),
        ValueError,
        "input `one`: column `the one` holds torch.float16",
    ),
    "array": (lambda b: b.update(x=b["x"].numpy()), TypeError, "input `x`: column `x` is a numpy.ndarray, not a torch"),
    "array of ids": (lambda b: b.update(user=b["user"].numpy()), TypeError, "input `user`: .*numpy.ndarray"),
    "list": (lambda b: b.update(x=b["x"].tolist()), TypeError, "input `x`: column `x` is a list"),
    "list of ids": (lambda b: b.update(user=b["user"].tolist()), TypeError, "input `user`: .*a list"),
    "nothing": (lambda b: b.update(past=None), TypeError, "input `past`: .*NoneType"),
    "truths for numbers": (lambda b: b.update(x=b["x"] > 0), ValueError, "input `x`: .*bool"),
    "small ids": (lambda b: b.update(user=b["user"].to(torch.int16)), ValueError, "input `user`: .*int16"),
    "one number": (lambda b: b.update({"the one": torch.tensor(1.0)}), ValueError, r"input `one`: .*shape \[\]"),
    "an axis more": (
        lambda b: b.update(user=b["user"].unsqueeze(1)),
        ValueError,
        r"input `user`: .*\[5, 1\], not \[B\]",
    ),
    "elsewhere": (lambda b: b.update(x=b["x"].to("meta")), ValueError, r"input `x`: .* on meta, the model on cpu"),
    "ids elsewhere": (lambda b: b.update(user=b["user"].to("meta")), ValueError, "input `user`: .* on meta"),
}


@BOTH
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_batch_is_refused_by_the_inputs_name(*, name: str, optimize: bool) -> None:
    """Missing columns, wrong types or shapes, and ids out of range are reported with input, range and first bad row."""
    change, error, message = WRONG[name]
    model, batch = everything(optimize=optimize), batch_of(EVERYTHING, 5)
    change(batch)
    with pytest.raises(error, match=message):
        model(batch)


@BOTH
@pytest.mark.parametrize(("batch", "message"), [([1, 2], "not a list"), (torch.ones(3), "not a Tensor")])
def test_a_batch_is_a_mapping(*, batch: object, message: str, optimize: bool) -> None:
    """A list or a tensor instead of a dict is refused in one sentence."""
    with pytest.raises(TypeError, match=f"a batch is a dict of tensors by column, {message}"):
        everything(optimize=optimize)(batch)


@BOTH
def test_autocast_converts_numbers_but_float64(*, optimize: bool) -> None:
    """Under autocast torch converts float32 and bfloat16; float64, which it does not convert, is refused."""
    model, batch = everything(optimize=optimize).float().eval(), batch_of(EVERYTHING, 5, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert all(value.isfinite().all() for value in model({**batch, "x": batch["x"].bfloat16()}).values())
        with pytest.raises(ValueError, match=r"input `x`: .*float64"):
            model({**batch, "x": batch["x"].double()})


@BOTH
@pytest.mark.parametrize("name", ["meituan_search", "star", "hinet", "pepnet"])
def test_small_ids_are_ids(*, name: str, optimize: bool) -> None:
    """int32 ids work everywhere: in tables, sequences, domains, switches, gates and plugins."""
    model, batch = archspec.compile(spec_of(name), optimize=optimize, seed=0), batch_of(spec_of(name), 5)
    batch = {key: value.float() if value.is_floating_point() else value for key, value in batch.items()}
    small = {key: value if value.is_floating_point() else value.int() for key, value in batch.items()}
    assert_agree(model(small), model(batch), 0.0)


LOOKED_UP_TOGETHER = (
    HEAD
    + """
inputs:
  a: {kind: sparse, vocab: 7, dim: 2}
  again: {kind: sparse, vocab: 5, dim: 2, column: a}
  b: {kind: sparse, vocab: 4, dim: 2}
  x: {kind: dense, dim: 3}
tasks: {y: {}}
towers: {y: {from: inputs, units: [3]}}
"""
)
"""Three lookups at once; two inputs read one column, and the smaller table says which ids it may hold."""


def looked_up() -> dict[str, Tensor]:
    """A batch for it."""
    ids = {"a": torch.tensor([0, 4, 2]), "b": torch.tensor([3, 0, 1])}
    return {**ids, "x": torch.ones(3, 3, dtype=torch.float64)}


@BOTH
@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("a", torch.tensor([0, 5, 2]), r"input `again`: id 5 in row 1 of column `a` is outside 0\.\.4"),
        ("b", torch.tensor([0, 1, -1]), r"input `b`: id -1 in row 2"),
        ("b", torch.tensor([True, False, True]), "input `b`: .*bool"),
        ("b", torch.tensor([[0], [1], [2]]), r"input `b`: .*shape \[3, 1\]"),
        ("x", torch.ones(2, 3), "2 rows"),
        ("x", torch.ones(3, 2), r"input `x`: .*shape \[3, 2\]"),
    ],
)
def test_ids_that_are_looked_up_together_are_checked_each(
    *, column: str, value: Tensor, message: str, optimize: bool
) -> None:
    """Although one comparison checks all ids, the message names the input, the row and the range."""
    model = model_of(LOOKED_UP_TOGETHER, optimize=optimize)
    with pytest.raises(ValueError, match=message):
        model({**looked_up(), column: value})


def test_ids_of_another_integer_type_are_looked_up_all_the_same() -> None:
    """int32 ids, alone or mixed with int64, checked or not, give equal outputs."""
    model, batch = model_of(LOOKED_UP_TOGETHER, optimize=True), looked_up()
    wanted = model(batch)["y"]
    for changed in (("a",), ("a", "b")):
        small = {key: value.int() if key in changed else value for key, value in batch.items()}
        for model.check_inputs in (True, False):
            assert model(small)["y"].equal(wanted)


@BOTH
def test_checks_can_be_turned_off(*, optimize: bool) -> None:
    """With `check_inputs` off nothing is checked, so a mistake raises an error of torch."""
    model, batch = everything(optimize=optimize), batch_of(EVERYTHING, 5)
    batch["x"] = torch.zeros(5, 4, dtype=torch.float64)
    model.check_inputs = False
    with pytest.raises(RuntimeError):
        model(batch)


@BOTH
def test_training_lowers_the_loss(*, optimize: bool) -> None:
    """A few steps of gradient descent on the module's parameters reduce the loss."""
    model, batch = everything(optimize=optimize).eval(), batch_of(EVERYTHING, 16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = torch.stack([value.square().mean() for value in model(batch).values()]).sum()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.95 * losses[0]
