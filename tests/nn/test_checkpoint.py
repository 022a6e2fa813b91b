"""Checkpoints: safetensors files by canonical name, for plain, optimized and edited models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from safetensors.torch import load_file

import archspec
from tests.compiler.models import assert_agree, batch_of, model_of, spec_file

if TYPE_CHECKING:
    from pathlib import Path

PLE = spec_file("ple")


@pytest.mark.parametrize(("first", "second"), [(False, True), (True, False), (True, True)])
def test_weights_move_between_plain_and_optimized_models(*, first: bool, second: bool, tmp_path: Path) -> None:
    """What one saves the other loads, and gives the same outputs."""
    model, other = model_of(PLE, optimize=first), model_of(PLE, optimize=second, seed=4)
    archspec.save_weights(model, tmp_path / "ple.safetensors")
    archspec.load_weights(other, tmp_path / "ple.safetensors")
    batch = batch_of(PLE, 7)
    assert_agree(other(batch), model(batch), 1e-10)


def test_a_file_holds_canonical_names_only(tmp_path: Path) -> None:
    """The keys of the file are the canonical names, the shapes those of single layers."""
    model = model_of(PLE, optimize=True)
    archspec.save_weights(model, tmp_path / "ple.safetensors")
    found = load_file(tmp_path / "ple.safetensors")
    assert {key: value.shape for key, value in found.items()} == {
        key: view.shape for key, view in model.named_weights()
    }


@pytest.mark.parametrize("optimize", [False, True])
def test_an_edited_spec_keeps_what_kept_its_name(*, optimize: bool, tmp_path: Path) -> None:
    """With another task removed and an expert added, `strict=False` loads the rest; `strict` says what differs."""
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
    """A tower that is new keeps its start; every other weight comes from the file."""
    model = model_of(PLE, optimize=True)
    archspec.save_weights(model, tmp_path / "ple.safetensors")
    larger = archspec.load(PLE, {"towers.extra": {"from": "inputs", "units": [4]}})
    edited = model_of(larger, optimize=optimize, seed=6)
    archspec.load_weights(edited, tmp_path / "ple.safetensors", strict=False)
    batch = batch_of(PLE, 5)
    assert_agree({name: edited(batch)[name] for name in ("vtr", "vcr")}, model(batch), 1e-10)


@pytest.mark.parametrize("content", [None, b"", b"no safetensors file"])
def test_what_is_no_file_of_weights_is_refused(content: bytes | None, tmp_path: Path) -> None:
    """A missing or broken file is a diagnostic with its path."""
    path = tmp_path / "weights.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(archspec.SpecError, match=r"weights\.safetensors"):
        archspec.load_weights(model_of(PLE, optimize=False), path)


def test_saving_into_nowhere_leaves_nothing(tmp_path: Path) -> None:
    """A folder that is not there is a diagnostic, not a traceback from deep inside."""
    with pytest.raises(archspec.SpecError):
        archspec.save_weights(model_of(PLE, optimize=False), tmp_path / "none" / "ple.safetensors")
    assert list(tmp_path.iterdir()) == []
