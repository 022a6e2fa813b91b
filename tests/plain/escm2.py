"""ESCM2 (2204.05125): ESMM's network; the losses on cvr over all impressions."""

from __future__ import annotations

import torch
from torch import Tensor

from .esmm import Esmm


class Escm2(Esmm):
    """ESMM under another loss."""


def logistic(logit: Tensor, label: Tensor) -> Tensor:
    """-y log p - (1 - y) log(1 - p), `[B]`."""
    p = torch.sigmoid(logit)
    return -label * torch.log(p) - (1 - label) * torch.log(1 - p)


def inverse_propensity(ctr: Tensor, cvr: Tensor, click: Tensor, buy: Tensor, clip: float) -> Tensor:
    """1/|D| sum over clicked rows of e / p, `[]`, p = pCTR, at least `clip`, without gradient."""
    p = torch.clamp(torch.sigmoid(ctr), min=clip).detach()
    rows = [error / p[i] for i, error in enumerate(logistic(cvr, buy)) if click[i] == 1]
    return torch.stack(rows).sum() / len(click)


def doubly_robust_of_probability(  # noqa: PLR0913, PLR0917 - as below
    ctr: Tensor, cvr: Tensor, imputation: Tensor, click: Tensor, buy: Tensor, clip: float
) -> Tensor:
    """The same where the imputation is a logit of the predicted error."""
    return doubly_robust(ctr, cvr, 1 / (1 + torch.exp(-imputation)), click, buy, clip)


def doubly_robust(  # noqa: PLR0913, PLR0917 - two networks, their labels, the imputation
    ctr: Tensor, cvr: Tensor, predicted: Tensor, click: Tensor, buy: Tensor, clip: float
) -> Tensor:
    """1/|D| (sum over all rows of d + sum over clicked rows of (e - d) / p + (e - d)^2 / p), `[]`."""
    p = torch.clamp(torch.sigmoid(ctr), min=clip).detach()
    total = predicted.sum()
    for i, error in enumerate(logistic(cvr, buy)):
        if click[i] == 1:
            total = total + (error - predicted[i]) / p[i] + (error - predicted[i]) ** 2 / p[i]
    return total / len(click)
