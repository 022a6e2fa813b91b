"""The training loop of the examples: Adam over shuffled batches of rows in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

import archspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn


def trained(  # noqa: PLR0913 - the settings of a run
    spec: Path,
    overrides: Mapping[str, Any],
    rows: dict[str, Tensor],
    *,
    seed: int,
    epochs: int,
    batch: int,
    rate: float,
) -> nn.Module:
    """The model of a spec with some settings replaced, trained on rows and in evaluation mode.

    Args:
        spec: the file of the spec.
        overrides: settings that replace those of the spec, as in `archspec.load`.
        rows: columns of the model and of the losses, `[rows, ...]` each.
        seed: seed of the first weights and of the order of rows.
        epochs: passes over the rows.
        batch: rows per step.
        rate: learning rate of Adam.
    """
    model = archspec.compile(archspec.load(spec, overrides=overrides), seed=seed)
    criterion = archspec.MultiTaskLoss(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    shuffle = torch.Generator().manual_seed(seed)
    count = len(next(iter(rows.values())))
    for _ in range(epochs):
        for index in torch.split(torch.randperm(count, generator=shuffle), batch):
            some = {name: column[index] for name, column in rows.items()}
            loss, _ = criterion(model(some), some)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()
