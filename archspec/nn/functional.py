"""Functions of emitted models. Shapes: `B` batch, `D` input width, `E` experts, `H` expert width, `V` cases.

Each one stands alone: it uses torch and nothing else of this file, since an emitted file holds only those it calls.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - PyTorch's own idiom


def mix(weights: Tensor, experts: list[Tensor]) -> Tensor:
    """Weighted sum of experts: weights `[B, E]` or `[E]`, experts E times `[B, H]` -> `[B, H]`."""
    experts_BEH = torch.stack(experts, dim=1)
    return (weights.unsqueeze(-1) * experts_BEH).sum(dim=1)


def lookup_tables(columns: list[Tensor], tables: Tensor, offsets: Tensor, sparse: bool = False) -> Tensor:  # noqa: FBT001, FBT002 - as in F.embedding
    """One lookup for N columns of ids `[B]` in tables that stand one below the other, `[rows, D]` -> `[B, N D]`.

    Offsets `[1, N]` are the first rows of the tables.
    """
    return F.embedding(torch.stack(columns, dim=1) + offsets, tables, sparse=sparse).flatten(1)


def mix_all(weights_GBE: Tensor, experts_EBH: Tensor) -> Tensor:
    """Every gate mixes every expert: `[G, B, E], [E, B, H] -> [G, B, H]`."""
    return torch.bmm(weights_GBE.transpose(0, 1), experts_EBH.transpose(0, 1)).transpose(0, 1)


def mix_seen(
    weights_GBn: Tensor,
    experts_EBH: Tensor,
    columns: tuple[int, int],
    shared: int,
    own: tuple[tuple[int, int, int], ...],
) -> Tensor:
    """Each gate mixes shared experts and some of its own: `[G, B, n], [E, B, H] -> [G, B, H]`.

    Weight columns first to last belong to the experts from `shared` on, for every gate. For each (column, start, step)
    of `own`, gate g's weight in that column belongs to expert start + g * step.
    """
    first, last = columns
    weights_BGn, experts_BEH = weights_GBn.transpose(0, 1), experts_EBH.transpose(0, 1)
    mixed = None
    if last > first:
        mixed = torch.bmm(weights_BGn[:, :, first:last], experts_BEH[:, shared : shared + last - first])
    for column, start, step in own:
        part = experts_BEH[:, start::step][:, : weights_BGn.shape[1]]
        weight = weights_BGn[:, :, column : column + 1]
        mixed = weight * part if mixed is None else torch.addcmul(mixed, weight, part)
    assert mixed is not None
    return mixed.transpose(0, 1)


def select(ids: Tensor, cases: list[Tensor]) -> Tensor:
    """Each row takes its own case: ids `[B]`, cases V times `[B, H]` -> `[B, H]`."""
    cases_BVH = torch.stack(cases, dim=1)
    index = ids.view(-1, 1, 1).expand(-1, 1, cases_BVH.shape[2])
    return cases_BVH.gather(1, index).squeeze(1)


def pool(ids: Tensor, table: Tensor, how: str, sparse: bool = False) -> Tensor:  # noqa: FBT001, FBT002 - as in F.embedding
    """Rows of a table `[rows, D]` pooled over ids `[B, L]` -> `[B, D]`; -1 pads, a row of padding alone gives zeros."""
    mask = (ids >= 0).unsqueeze(-1)
    rows_BLD = F.embedding(ids.clamp_min(0), table, sparse=sparse)
    if how == "max":
        largest = rows_BLD.masked_fill(~mask, float("-inf")).amax(dim=1)
        return torch.where(mask.any(dim=1), largest, torch.zeros_like(largest))
    total = (rows_BLD * mask).sum(dim=1)
    return total / mask.sum(dim=1).clamp_min(1) if how == "mean" else total


def batch_norm(x: Tensor, weights: tuple[Tensor, Tensor, Tensor, Tensor], training: bool) -> Tensor:  # noqa: FBT001 - the module's mode
    """Batch normalisation of `[B, D]`; weights are scale, shift, running mean and running variance.

    A batch of one row or none has no variance: the running statistics serve it, in training too.
    """
    scale, shift, mean, var = weights
    return F.batch_norm(x, mean, var, scale, shift, training and x.shape[0] > 1)


def rows_like(weights: Tensor, x: Tensor) -> Tensor:
    """Static weights `[E]` for every row of x `[B, H]` -> `[B, E]`."""
    return weights.expand(x.shape[0], -1)


def mask_logits(logits: Tensor, allowed: Tensor, value: float) -> Tensor:
    """Logits `[B, E]` or `[E]` with `value` where allowed `[B, E]` is False."""
    return torch.where(allowed, logits, value)


def top_k(logits: Tensor, k: int) -> Tensor:
    """Softmax over the k largest logits of each row, zero elsewhere: `[B, E] -> [B, E]`."""
    largest, index = logits.topk(k, dim=-1)
    return torch.zeros_like(logits).scatter(-1, index, largest.softmax(dim=-1))


def balance_loss(logits: Tensor, k: int) -> Tensor:
    """E * sum_i f_i P_i: f_i expert i's share of the choices, P_i its mean probability; `[B, E] -> []`, 1 when even."""
    chosen = torch.zeros_like(logits).scatter(-1, logits.topk(k, dim=-1).indices, 1.0)
    rows = max(logits.numel() // logits.shape[-1], 1)
    shares, probabilities = chosen.sum(0) / (rows * k), logits.softmax(dim=-1).sum(0) / rows
    return logits.shape[-1] * (shares * probabilities).sum()


def hard_concrete(log_a: Tensor, beta: float, gamma: float, zeta: float, training: bool) -> Tensor:  # noqa: FBT001 - the module's mode
    """Gates `[E]` in 0..1: sampled in training, their most likely value in evaluation (1712.01312, eq. 10-13)."""
    t = log_a
    if training:
        u = torch.rand_like(log_a).clamp(1e-6, 1 - 1e-6)
        t = (u.log() - (-u).log1p() + log_a) / beta
    return (t.sigmoid() * (zeta - gamma) + gamma).clamp(0, 1)


def open_gates(log_a: Tensor, beta: float, gamma: float, zeta: float) -> Tensor:
    """Expected number of gates that are not zero: sum sigmoid(log a - beta log(-gamma / zeta)); `[E] -> []`."""
    return (log_a - beta * math.log(-gamma / zeta)).sigmoid().sum()


def product_logit(a: Tensor, b: Tensor) -> Tensor:
    """The logit of sigmoid(a) * sigmoid(b), `[B]`: -log(e^-a + e^-b + e^-(a+b)), finite for any logits."""
    return -torch.logsumexp(torch.stack([-a, -b, -a - b]), dim=0)


def logit_of_log(log_p: Tensor) -> Tensor:
    """The logit of p from log p: log p - log(1 - p), with p kept below 1 by the smallest step."""
    log_p = log_p.clamp_max(-torch.finfo(log_p.dtype).eps)
    return log_p - torch.log(-torch.expm1(log_p))


def safe_log(x: Tensor) -> Tensor:
    """log x, with x no smaller than the smallest normal number."""
    return x.clamp_min(torch.finfo(x.dtype).tiny).log()
