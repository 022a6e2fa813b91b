"""Runs that are killed after a step of training, and continued."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from archspec.runs.checkpoints import CheckpointCallback
from archspec.runs.training import train

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.data.prepare import Source
    from archspec.graph.graph import Graph
    from archspec.runs.recipe import Recipe


class Killed(BaseException):
    """The exception with which a test interrupts a run; only the test catches it."""


def kill_after(step: int, patched: pytest.MonkeyPatch) -> None:
    """Raises Killed after this many steps of training."""
    steps = iter(range(1, 1000))
    end = CheckpointCallback.on_train_batch_end

    def stop(*arguments: Any) -> None:  # noqa: ANN401 - Lightning's signature
        end(*arguments)
        if next(steps) == step:
            raise Killed

    patched.setattr(CheckpointCallback, "on_train_batch_end", stop)


def killed_and_resumed(  # noqa: PLR0913, PLR0917 - the parts of a run
    graph: Graph, source: Source, recipe: Recipe, folder: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Trains in a folder, is killed after a step, and resumes."""
    with monkeypatch.context() as patched:
        kill_after(step, patched)
        with pytest.raises(Killed):
            train(graph, source, recipe, folder)
    train(graph, source, recipe, folder, resume=True)
