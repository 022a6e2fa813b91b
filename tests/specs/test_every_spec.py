"""Every spec in `specs/`: valid without a warning, built, drawn, and trained for some steps."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
import torch
from torch import Tensor

import archspec
from archspec.render import render
from tests.compiler.models import NAMES, batch_of, spec_of

if TYPE_CHECKING:
    from pathlib import Path

every = pytest.mark.parametrize("name", NAMES)


def with_labels(spec: archspec.Spec, rows: int) -> dict[str, Tensor]:
    """A random batch with a label per task, and the columns for sample spaces and weights."""
    batch = batch_of(spec, rows, dtype=torch.float32)
    generator = torch.Generator().manual_seed(5)
    for block in spec.tasks.values():
        task = block.task
        label = torch.randint(block.settings.class_count() or 2, (rows,), generator=generator)
        batch[task.label or block.name] = label if block.settings.whole else label.float()
        for column in filter(None, (task.when, task.weight_column)):
            batch.setdefault(column, torch.ones(rows))
    return batch


@every
def test_it_is_valid_without_a_warning(name: str) -> None:
    """A published architecture gives at most notes, such as the one on PLE's last shared gate."""
    assert [item.message for item in spec_of(name).diagnostics if item.severity != "note"] == []


@every
def test_it_is_drawn(name: str, tmp_path: Path) -> None:
    """The figure is an SVG that contains the name of every task."""
    render(archspec.build_graph(spec_of(name)), tmp_path / "figure.svg")
    text = "".join(ET.parse(tmp_path / "figure.svg").getroot().itertext())  # noqa: S314 - our own file
    assert all(task in text for task in spec_of(name).tasks)


@every
def test_it_trains(name: str) -> None:
    """Thirty steps of Adam on one batch reduce the loss."""
    spec = spec_of(name)
    model = archspec.compile(spec, seed=0).train()
    criterion = archspec.MultiTaskLoss(model)
    batch = with_labels(spec, 64)
    optimizer = torch.optim.Adam([*model.parameters(), *criterion.parameters()], lr=1e-2)
    losses = []
    torch.manual_seed(0)
    for _ in range(30):
        loss, _ = criterion(model(batch), batch)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
