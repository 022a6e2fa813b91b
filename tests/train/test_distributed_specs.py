"""Three specs on two processes (gloo, CPU), with DDP and FSDP2, train like one process with all rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

import archspec
from tests.processes import printed_by
from tests.train.spec_on_processes import NAMES, SPECS, WAYS, batch_of, trained

if TYPE_CHECKING:
    from pathlib import Path

Losses = dict[str, list[float]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the weights of all runs."""
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def alone(folder: Path) -> Losses:
    """The losses of one process with all rows."""
    return {f"{name}.alone": trained(name, "alone", 0, 1, folder) for name in NAMES}


@pytest.fixture(scope="module")
def both(folder: Path) -> list[Losses]:
    """The losses of two processes, each with its own rows."""
    return printed_by(["-m", "tests.train.spec_on_processes", str(folder)], 2)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_two_processes_have_the_losses_of_one(name: str, way: str, alone: Losses, both: list[Losses]) -> None:
    """Each process reports the loss over the rows of both, at every step."""
    for found in both:
        assert found[f"{name}.{way}"] == pytest.approx(alone[f"{name}.alone"], abs=1e-9)


@pytest.mark.usefixtures("alone", "both")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_their_checkpoint_loads_into_the_plain_model(name: str, way: str, folder: Path, tmp_path: Path) -> None:
    """The weights are those of one process, by canonical name, and the plain model computes the same with them."""
    spec = archspec.load(SPECS / f"{name}.yaml")
    models = {}
    for each in (way, "alone"):
        optimized = archspec.compile(spec, seed=1).double()
        optimized.load_state_dict(torch.load(folder / f"{name}.{each}.pt", weights_only=True))
        archspec.save_weights(optimized, tmp_path / f"{each}.safetensors")
        models[each] = archspec.compile(spec, seed=2, optimize=False).double()
        archspec.load_weights(models[each], tmp_path / f"{each}.safetensors")
    expected = dict(models["alone"].named_weights())
    for key, value in models[way].named_weights():
        torch.testing.assert_close(value, expected[key], rtol=0, atol=1e-9)
    batch = batch_of(spec, slice(None))
    found = models[way].eval().predict(batch)
    for task, scores in models["alone"].eval().predict(batch).items():
        torch.testing.assert_close(found[task], scores, rtol=0, atol=1e-9)
