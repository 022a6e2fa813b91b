"""Checkpoints: safetensors files by canonical name, for plain, optimized and edited models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file

import archspec
from tests.compiler.models import assert_agree, batch_of, model_of, spec_file

if TYPE_CHECKING:
    from pathlib import Path

PLE = spec_file("ple")


@pytest.mark.parametrize(("first", "second"), [(False, True), (True, False), (True, True)])
def test_weights_move_between_plain_and_optimized_models(*, first: bool, second: bool, tmp_path: Path) -> None:
    """Each loads what the other saved, and computes the same outputs."""
    model, other = model_of(PLE, optimize=first), model_of(PLE, optimize=second, seed=4)
    archspec.save_weights(model, tmp_path / "ple.safetensors")
    archspec.load_weights(other, tmp_path / "ple.safetensors")
    batch = batch_of(PLE, 7)
    assert_agree(other(batch), model(batch), 1e-10)


def test_a_file_holds_canonical_names_only(tmp_path: Path) -> None:
    """The keys of the file are the canonical names; the shapes are those of single layers."""
    model = model_of(PLE, optimize=True)
    archspec.save_weights(model, tmp_path / "ple.safetensors")
    found = load_file(tmp_path / "ple.safetensors")
    assert {key: value.shape for key, value in found.items()} == {
        key: view.shape for key, view in model.named_weights()
    }


@pytest.mark.parametrize("optimize", [False, True])
def test_an_edited_spec_keeps_what_kept_its_name(*, optimize: bool, tmp_path: Path) -> None:
    """With a task removed and an expert added, `strict=False` loads the rest; `strict` reports the differences."""
    model = model_of(PLE, optimize=True)
    archspec.save_weights(model, tmp_path / "ple.safetensors")
    edited = model_of(archspec.load(PLE, {"levels.1.experts.shared.count": 4}), optimize=optimize, seed=6)
    before = {name: view.clone() for name, view in edited.named_weights()}
    with pytest.raises(ValueError, match=r"level1.experts.shared.3.layers.0.weight: missing"):
        archspec.load_weights(edited, tmp_path / "ple.safetensors")
    kept = {name: view for name, view in model.named_weights() if before[name].shape == view.shape}
    edited.load_weights(kept, strict=False)
    after = dict(edited.named_weights())
    assert all(after[name].equal(view) for name, view in kept.items())
    assert all(after[name].equal(before[name]) for name in before if name not in kept)


@pytest.mark.parametrize("optimize", [False, True])
def test_a_file_loads_into_a_larger_spec(*, optimize: bool, tmp_path: Path) -> None:
    """A new tower keeps its initial weights; all other weights come from the file."""
    model = model_of(PLE, optimize=True)
    archspec.save_weights(model, tmp_path / "ple.safetensors")
    larger = archspec.load(PLE, {"towers.extra": {"from": "inputs", "units": [4]}})
    edited = model_of(larger, optimize=optimize, seed=6)
    archspec.load_weights(edited, tmp_path / "ple.safetensors", strict=False)
    batch = batch_of(PLE, 5)
    assert_agree({name: edited(batch)[name] for name in ("vtr", "vcr")}, model(batch), 1e-10)


@pytest.mark.parametrize("content", [None, b"", b"no safetensors file"])
def test_what_is_no_file_of_weights_is_refused(content: bytes | None, tmp_path: Path) -> None:
    """A missing or broken file raises a diagnostic with its path."""
    path = tmp_path / "weights.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(archspec.SpecError, match=r"weights\.safetensors"):
        archspec.load_weights(model_of(PLE, optimize=False), path)


def test_saving_into_nowhere_leaves_nothing(tmp_path: Path) -> None:
    """A missing folder raises a diagnostic, not a traceback from deep inside."""
    with pytest.raises(archspec.SpecError):
        archspec.save_weights(model_of(PLE, optimize=False), tmp_path / "none" / "ple.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_missing_is_named_with_its_neighbour(tmp_path: Path) -> None:
    """A misspelt name suggests the right one; a folder and a truncated file are one sentence each; nothing changes."""
    model = model_of(PLE, optimize=True)
    file = tmp_path / "weights.safetensors"
    archspec.save_weights(model, file)
    before = {name: view.clone() for name, view in model.named_weights()}
    with pytest.raises(archspec.SpecError, match=r"AS001.*wieghts.*`[^?]*did you mean `.*/weights\.safetensors`\?"):
        archspec.load_weights(model, tmp_path / "wieghts.safetensors")
    with pytest.raises(archspec.SpecError, match=r"AS001.*no file.*\n.*no folder"):
        archspec.load_weights(model, tmp_path / "none" / "weights.safetensors")
    with pytest.raises(archspec.SpecError, match=r"AS005.* cannot be read"):
        archspec.load_weights(model, tmp_path)
    whole = file.read_bytes()
    for length in (1, 7, 8, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(archspec.SpecError, match=r"AS005.*is not a complete safetensors file.*\n.*save it again"):
            archspec.load_weights(model, file)
    assert all(view.equal(before[name]) for name, view in model.named_weights())


@pytest.mark.parametrize("strict", [False, True])
def test_a_file_of_another_spec_is_refused(*, strict: bool, tmp_path: Path) -> None:
    """If no name matches, nothing could be loaded: that is an error even with `strict=False`."""
    tiny = "archspec: 1\nname: tiny\ninputs: {x: {kind: dense, dim: 2}}\ntasks: {y: {}}\ntowers: {y: {}}\n"
    archspec.save_weights(archspec.compile(tiny, seed=0), tmp_path / "tiny.safetensors")
    with pytest.raises(ValueError, match=r"tiny\.safetensors` has none of the \d+ weights of Ple: .*`towers.y.head"):
        archspec.load_weights(model_of(PLE, optimize=True), tmp_path / "tiny.safetensors", strict=strict)


def test_renamed_weights_are_told_in_pairs(tmp_path: Path) -> None:
    """For a renamed tower the error lists the missing weights beside those that the file has instead."""
    text = PLE.read_text(encoding="utf-8")
    archspec.save_weights(archspec.compile(text, seed=0), tmp_path / "ple.safetensors")
    renamed = archspec.compile(text.replace("vcr", "vcrs"), seed=0)
    with pytest.raises(ValueError, match=r"experts\.vcrs.*: missing; is it `.*experts\.vcr\."):
        archspec.load_weights(renamed, tmp_path / "ple.safetensors")


def test_wrapped_models_are_saved_and_loaded(tmp_path: Path) -> None:
    """Models inside DistributedDataParallel and torch.compile are found; other modules are refused by name."""
    model, other = model_of(PLE, optimize=True), model_of(PLE, optimize=False, seed=4)
    compiled: Any = torch.compile(torch.nn.DataParallel(model))
    archspec.save_weights(compiled, tmp_path / "ple.safetensors")
    archspec.load_weights(torch.nn.DataParallel(other), tmp_path / "ple.safetensors")
    assert_agree(dict(other.named_weights()), dict(model.named_weights()), 0.0)
    for call in (archspec.save_weights, archspec.load_weights):
        with pytest.raises(TypeError, match="Linear is not a compiled model"):
            call(torch.nn.Linear(1, 1), tmp_path / "ple.safetensors")


def test_a_model_without_values_is_not_saved(tmp_path: Path) -> None:
    """A model on the meta device has no values to save, and is refused."""
    with pytest.raises(ValueError, match="Ple is on the meta device: it has no values"):
        archspec.save_weights(type(model_of(PLE, optimize=True))(device="meta"), tmp_path / "ple.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_models_in_shards_are_told_how_to_be_saved(tmp_path: Path) -> None:
    """With FSDP2 no process has the whole weights: saving explains this, and following its advice works."""
    import torch
    from torch import distributed
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    address = f"file://{tmp_path / 'store'}"
    distributed.init_process_group("gloo", init_method=address, rank=0, world_size=1)
    try:
        model, other = model_of(PLE, optimize=True), model_of(PLE, optimize=True, seed=4)
        archspec.save_weights(model, tmp_path / "whole.safetensors")
        fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
        with pytest.raises(ValueError, match=r"is sharded \(FSDP2\)"):
            archspec.save_weights(model, tmp_path / "shards.safetensors")
        assert not (tmp_path / "shards.safetensors").exists()
        other.load_state_dict(get_model_state_dict(model, options=StateDictOptions(full_state_dict=True)))
    finally:
        distributed.destroy_process_group()
    archspec.save_weights(other, tmp_path / "gathered.safetensors")
    one, two = (load_file(tmp_path / f"{name}.safetensors") for name in ("whole", "gathered"))
    assert all(torch.equal(one[name], two[name]) for name in one)
