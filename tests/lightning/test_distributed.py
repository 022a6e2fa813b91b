"""Two processes under Lightning, each with its own rows, train and measure like one with all rows (gloo, CPU)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from archspec.lightning import MultiTaskModule
from tests.lightning.loops import rows_of
from tests.lightning.two_processes import ROWS, results
from tests.processes import printed_by

if TYPE_CHECKING:
    from pathlib import Path

STRATEGIES = ["ddp", "fsdp2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for the checkpoints of the runs."""
    return tmp_path_factory.mktemp("two_processes")


@pytest.fixture(scope="module")
def both(folder: Path) -> list[dict[str, Any]]:
    """The results of both processes, by strategy."""
    return printed_by(["-m", "tests.lightning.two_processes", str(folder), *STRATEGIES], 2)


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    """The results of one process with all rows."""
    return results("alone")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_processes_find_what_one_finds(strategy: str, both: list[dict[str, Any]], alone: dict[str, Any]) -> None:
    """Losses, metrics, gate weights, clocks and scores agree, with DistributedDataParallel and with FSDP2."""
    for process in both:
        found = process[strategy]
        assert found["metrics"] == pytest.approx(alone["metrics"], abs=1e-5)
        assert found["clocks"] == alone["clocks"]
        # Even if process 1 has no row in any batch, it takes part in every sum over processes.
        assert found["lonely"] == pytest.approx(alone["lonely"], abs=1e-5)
        for task, scores in alone["scores"].items():
            torch.testing.assert_close(torch.tensor(found["scores"][task]), torch.tensor(scores), rtol=0, atol=1e-5)


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_checkpoint_of_two_processes_loads_in_one(strategy: str, folder: Path, alone: dict[str, Any]) -> None:
    """It contains whole weights, even if each process held only a part of them."""
    module = MultiTaskModule.load_from_checkpoint(folder / f"{strategy}.ckpt")
    scores = module.eval().predict_step(rows_of(ROWS, seed=3))
    assert scores["a"].tolist() == pytest.approx(alone["scores"]["a"], abs=1e-5)
