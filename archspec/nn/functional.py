"""Functions of emitted models. Shapes: `B` batch, `D` input width, `E` experts, `H` expert width, `V` cases.

Each one uses only torch and, of this file, at most constants and `Rows`: an emitted file contains only what it needs.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - PyTorch's own idiom


def mix(weights: Tensor, experts: list[Tensor]) -> Tensor:
    """Weighted sum of experts: weights `[B, E]` or `[E]`, experts E times `[B, H]` -> `[B, H]`."""
    experts_BEH = torch.stack(experts, dim=1)
    return (weights.unsqueeze(-1) * experts_BEH).sum(dim=1)


def mix_tokens(weights: Tensor, experts: list[Tensor]) -> Tensor:
    """Weighted sum of tokens of experts: weights `[B, E]` or `[E]`, experts E times `[B, T, H]` -> `[B, T, H]`."""
    experts_BETH = torch.stack(experts, dim=1)
    return (weights[..., None, None] * experts_BETH).sum(dim=1)


def mix_chosen(
    x: Tensor,
    weights: list[Tensor],
    layers: list[tuple[Tensor, Tensor | None, str]],
    bf16: bool = False,  # noqa: FBT001, FBT002 - written by the compiler
) -> Tensor:
    """Weighted sums of experts, per gate, if few rows chose each expert: `[B, D], G times [B, E] -> [G, B, H]`.

    Each expert runs on the rows for which any gate gives it a weight. A layer is (weights `[E, H, D]`, biases `[E, H]`
    or None, activation or "none"). On a GPU, and when a graph is traced (`torch.compile`, export), all experts run on
    all rows, because the choice of rows depends on data. `bf16` rounds the factors of the layers' matmuls.
    """
    factor = torch.bfloat16 if bf16 else x.dtype
    weights_BGE = torch.stack(weights, dim=1)
    count = weights_BGE.shape[2]
    if x.is_cuda or torch.compiler.is_compiling():
        h_EBH = x.expand(count, *x.shape)
        for weight, bias, activation in layers:
            product = torch.bmm(h_EBH.to(factor), weight.transpose(1, 2).to(factor)).to(x.dtype)
            product = product if bias is None else product + bias.unsqueeze(1)
            h_EBH = product if activation == "none" else getattr(F, activation)(product)
        return torch.bmm(weights_BGE, h_EBH.transpose(0, 1)).transpose(0, 1)
    expert, row = (weights_BGE != 0).any(dim=1).T.nonzero(as_tuple=True)
    parts = list(torch.split(x[row], torch.bincount(expert, minlength=count).tolist()))
    for weight, bias, activation in layers:
        biases = [None] * count if bias is None else list(bias.unbind())
        if bf16:
            products = [
                F.linear(part.to(factor), w).to(x.dtype) for part, w in zip(parts, weight.to(factor), strict=True)
            ]
            parts = [part if b is None else part + b for part, b in zip(products, biases, strict=True)]
        else:
            parts = [F.linear(part, w, b) for part, w, b in zip(parts, weight.unbind(), biases, strict=True)]
        parts = parts if activation == "none" else [getattr(F, activation)(part) for part in parts]
    weighted = weights_BGE[row, :, expert].unsqueeze(2) * torch.cat(parts).unsqueeze(1)
    return weighted.new_zeros(len(x), *weighted.shape[1:]).index_add(0, row, weighted).transpose(0, 1)


class Rows(torch.autograd.Function):
    """Rows of a table; the gradient is written into one block of zeros, where that of `index_select` copies it."""

    @staticmethod
    def forward(table: Tensor, rows: Tensor) -> Tensor:
        """`[V, D], [n] -> [n, D]`."""
        return table.index_select(0, rows)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # noqa: ANN401, ARG004 - torch's signature
        """Keeps the rows."""
        ctx.save_for_backward(inputs[1])
        ctx.size = inputs[0].shape

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 - torch's context
        """The dense gradient of the table."""
        (rows,) = ctx.saved_tensors
        return gradients[0].new_zeros(ctx.size).index_add_(0, rows, gradients[0]), None


def lookup_tables(ids: Tensor, tables: Tensor, offsets: Tensor, sparse: bool = False) -> Tensor:  # noqa: FBT001, FBT002 - as in F.embedding
    """One lookup for N columns of ids `[N, B]` in tables concatenated along rows, `[rows, D]` -> `[B, N D]`.

    Offsets `[N, 1]` are the first rows of the tables. On a CPU, the gradient takes less than half the time of that
    of `embedding`.
    """
    if tables.is_cpu and not sparse and not torch.compiler.is_compiling() and torch.is_grad_enabled():
        rows: Tensor = Rows.apply(tables, (ids + offsets).t().flatten())  # type: ignore[no-untyped-call] # torch leaves it untyped
        return rows.view(ids.shape[1], len(ids) * tables.shape[1])
    return F.embedding((ids + offsets).t(), tables, sparse=sparse).flatten(1)


def mix_all(weights_GBE: Tensor, experts_EBH: Tensor) -> Tensor:
    """Every gate mixes every expert: `[G, B, E], [E, B, H] -> [G, B, H]`.

    This is a batched matmul; if it is so small that torch would use a plain loop, it is computed elementwise.
    """
    if weights_GBE.shape[0] * experts_EBH.shape[0] * experts_EBH.shape[2] < 400:  # noqa: PLR2004 - torch's own limit
        return (weights_GBE.mT.unsqueeze(-1) * experts_EBH).sum(dim=1)
    return torch.bmm(weights_GBE.transpose(0, 1), experts_EBH.transpose(0, 1)).transpose(0, 1)


def mix_seen(weights_GBn: Tensor, experts: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    """Each gate mixes its own experts and shared ones, one by one: `[G, B, n]`, n times `[G, B, H]` or `[B, H]`.

    Returns `[G, B, H]`; an expert `[G, B, H]` contains one own expert of each gate.
    """
    columns = weights_GBn.unsqueeze(-1).unbind(2)
    mixed = experts[0] * columns[0]  # laid out as the experts, which are larger
    for column, expert in zip(columns[1:], experts[1:], strict=True):
        mixed.addcmul_(column, expert)
    return mixed


VECTOR = 16 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 8
"""How many float32 numbers a vector register of this processor has."""


def softmax(x: Tensor) -> Tensor:
    """Softmax over a short last axis, `[..., n]`.

    torch takes up to twelve times as long if that axis does not fill a vector register. In inference on a CPU, many
    rows are therefore computed side by side; in training this gains nothing.
    """
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or not x.is_cpu:
        return F.softmax(x, dim=-1)
    few = x.shape[-1] < VECTOR and x.numel() >= 128 * x.shape[-1]
    return F.softmax(x.mT, dim=-2).mT if few else F.softmax(x, dim=-1)


def select(ids: Tensor, cases: list[Tensor]) -> Tensor:
    """Selects each row from its own case: ids `[B]`, cases V times `[B, H]` -> `[B, H]`."""
    cases_BVH = torch.stack(cases, dim=1)
    index = ids.long().view(-1, 1, 1).expand(-1, 1, cases_BVH.shape[2])
    return cases_BVH.gather(1, index).squeeze(1)


def embed_list(ids: Tensor, table: Tensor, sparse: bool = False) -> Tensor:  # noqa: FBT001, FBT002 - as in F.embedding
    """Rows of a table `[rows, D]` for ids `[..., L]` -> `[..., L, D]`; zeros for -1, which is padding."""
    return F.embedding(ids.clamp_min(0), table, sparse=sparse) * (ids >= 0).unsqueeze(-1)


def embed_list_weighted(ids: Tensor, weights: Tensor, table: Tensor, sparse: bool = False) -> Tensor:  # noqa: FBT001, FBT002 - as in F.embedding
    """Rows of a table `[rows, D]` for ids `[..., L]`, times weights `[..., L]` -> `[..., L, D]`; zeros for -1."""
    factors = torch.where(ids >= 0, weights, torch.zeros_like(weights))
    return F.embedding(ids.clamp_min(0), table, sparse=sparse) * factors.unsqueeze(-1)


def pool(ids: Tensor, table: Tensor, how: str, sparse: bool = False) -> Tensor:  # noqa: FBT001, FBT002 - as in F.embedding
    """Rows of a table `[rows, D]` pooled over ids `[B, L]` -> `[B, D]`; -1 is padding; an empty row gives zeros.

    Several sequences at once: `[N, B, L] -> [N, B, D]`. Many ids without a gradient are summed without gathering rows.
    """
    mask, known = (ids >= 0).unsqueeze(-1), ids.clamp_min(0)
    if how == "max" and ids.shape[-1]:  # without ids, the sum below is zero
        rows_BLD = F.embedding(known, table, sparse=sparse)
        largest = rows_BLD.masked_fill(~mask, float("-inf")).amax(dim=-2)
        return torch.where(mask.any(dim=-2), largest, torch.zeros_like(largest))
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or not ids.is_cpu or ids.numel() < 2048:  # noqa: PLR2004 - measured
        total = (F.embedding(known, table, sparse=sparse) * mask).sum(dim=-2)
    else:
        weights = mask.to(table.dtype).flatten(0, -3).squeeze(-1)
        total = F.embedding_bag(known.flatten(0, -2), table, per_sample_weights=weights, mode="sum")
        total = total.view(*ids.shape[:-1], -1)
    return total / mask.sum(dim=-2).clamp_min(1) if how == "mean" else total


def linear_pair(query: Tensor, tokens: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """W [q, e, q - e, q * e] + b for tokens e: `[..., B, D], [..., B, T, D]`, W `[..., H, 4 D]` -> `[..., B, T, H]`.

    With W in four parts, this is (W2 - W3 + W4 diag(q)) e + (W1 + W3) q + b: a matrix `[D, H]` for each row of the
    batch, and one product of its tokens with it, half of what a product with W costs. Nothing is `[B, T, 4 D]`.
    """
    w1, w2, w3, w4 = weight.chunk(4, dim=-1)
    matrices = (w2 - w3).mT.unsqueeze(-3) + query.unsqueeze(-1) * w4.mT.unsqueeze(-3)
    start = query @ (w1 + w3).mT
    start = start if bias is None else start + bias.unsqueeze(-2)
    if tokens.dim() == 3:  # noqa: PLR2004 - [B, T, D]
        return torch.baddbmm(start.unsqueeze(-2), tokens, matrices)
    rows = torch.baddbmm(start.flatten(0, 1).unsqueeze(-2), tokens.flatten(0, 1), matrices.flatten(0, 1))
    return rows.view(*tokens.shape[:-1], weight.shape[-2])


def attend(scores: Tensor, tokens: Tensor, mask: Tensor | None, softmax: bool) -> Tensor:  # noqa: FBT001 - written by the compiler
    """The sum of tokens times scores, or times their softmax: `[..., T], [..., T, W] -> [..., W]`.

    Tokens that the mask `[..., T]` (None: all) leaves out do not count; a row without any gives zeros.
    """
    if softmax and mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = scores.softmax(dim=-1) if softmax else scores
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)
    return (weights.unsqueeze(-2) @ tokens).squeeze(-2)


def attention(  # noqa: PLR0913, PLR0917 - written by the compiler
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    heads: int,
    scaled: bool = True,  # noqa: FBT001, FBT002 - written by the compiler
) -> Tensor:
    """Scaled dot-product attention of tokens `[..., T, W]`, in `heads` parts of W each (1706.03762) -> `[..., T, W]`.

    Tokens that the mask `[..., T]` (None: all) leaves out get no weight; in a row without any, all tokens get one.
    """
    stack = query.shape[:-2]
    width = query.shape[-1] // heads
    q, k, v = (x.reshape(-1, x.shape[-2], heads, width).transpose(1, 2) for x in (query, key, value))
    seen = None
    if mask is not None:
        rows = mask.reshape(-1, mask.shape[-1])
        seen = (rows | ~rows.any(dim=-1, keepdim=True))[:, None, None, :]
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=None if scaled else 1.0)
    return mixed.transpose(1, 2).reshape(*stack, *query.shape[-2:])


def pool_tokens(x: Tensor, mask: Tensor | None, how: str) -> Tensor:
    """Mean, sum, maximum or last of the tokens `[..., T, W]` of a mask `[..., T]` (None: all) -> `[..., W]`.

    A row without tokens gives zeros.
    """
    if mask is None:
        mask = torch.ones(x.shape[:-1], dtype=torch.bool, device=x.device)
    there = mask.unsqueeze(-1)
    if how == "last":
        place = torch.arange(1, x.shape[-2] + 1, device=x.device)
        last = (place * mask).argmax(dim=-1)[..., None, None].expand(*x.shape[:-2], 1, x.shape[-1])
        return torch.where(mask.any(dim=-1, keepdim=True), x.gather(-2, last).squeeze(-2), 0.0)
    if how == "max":
        largest = x.masked_fill(~there, float("-inf")).amax(dim=-2)
        return torch.where(mask.any(dim=-1, keepdim=True), largest, 0.0)
    total = torch.where(there, x, 0.0).sum(dim=-2)
    return total / mask.sum(dim=-1, keepdim=True).clamp_min(1) if how == "mean" else total


def pool_last(ids: Tensor, table: Tensor, sparse: bool = False) -> Tensor:  # noqa: FBT001, FBT002 - as in F.embedding
    """The row of the last id that is no padding, `[..., L], [rows, D] -> [..., D]`; zeros where there is none."""
    if not ids.shape[-1]:
        return F.embedding(ids, table, sparse=sparse).sum(dim=-2)
    place = torch.arange(1, ids.shape[-1] + 1, device=ids.device)
    last = ids.gather(-1, (place * (ids >= 0)).argmax(dim=-1, keepdim=True)).squeeze(-1)
    rows = F.embedding(last.clamp_min(0), table, sparse=sparse)
    return torch.where((last >= 0).unsqueeze(-1), rows, torch.zeros_like(rows))


def pool_weighted(
    ids: Tensor,
    weights: Tensor,
    table: Tensor,
    how: str,
    sparse: bool = False,  # noqa: FBT001, FBT002 - as in F.embedding
) -> Tensor:
    """Sum or mean of rows of a table times weights: ids and weights `[..., L]`, `[rows, D] -> [..., D]`.

    -1 pads: its weight does not count. A mean divides by the sum of the weights, and is zero where that is zero.

    Raises:
        ValueError: ids and weights are of different lengths.
    """
    if ids.shape[-1] != weights.shape[-1]:
        raise ValueError(f"a sequence has {ids.shape[-1]} ids a row and {weights.shape[-1]} weights: one for each id")
    known = ids >= 0
    factors = torch.where(known, weights, torch.zeros_like(weights)).unsqueeze(-1)
    total = (F.embedding(ids.clamp_min(0), table, sparse=sparse) * factors).sum(dim=-2)
    if how == "sum":
        return total
    divisor = factors.sum(dim=-2)
    there = divisor != 0
    return torch.where(there, total / torch.where(there, divisor, torch.ones_like(divisor)), torch.zeros_like(total))


def bucket(x: Tensor, boundaries: Tensor) -> Tensor:
    """How many of the ascending boundaries `[1, n]` are at most each number, `[B, 1] -> [B]`; all of them for NaN."""
    return torch.bucketize(x.detach().squeeze(-1), boundaries.squeeze(0), right=True)


def batch_norm(
    x: Tensor,
    weights: tuple[Tensor, Tensor, Tensor, Tensor],
    training: bool,  # noqa: FBT001 - the module's mode
    eps: float = 1e-5,
    momentum: float = 0.1,
) -> Tensor:
    """Batch normalisation of `[..., D]` over all rows or tokens; weights are scale, shift, running mean and variance.

    A batch of one or zero rows has no variance: it is normalised by the running statistics, even in training.
    """
    scale, shift, mean, var = weights
    rows = x if x.dim() == 2 else x.flatten(0, -2)  # noqa: PLR2004 - [B, D]
    if training and rows.shape[0] < 2:  # noqa: PLR2004 - see above; a statement, which torch.compile can guard on
        training = False
    normed = F.batch_norm(rows, mean, var, scale, shift, training, momentum, eps)
    return normed if rows is x else normed.view_as(x)


def prelu(x: Tensor, slopes: Tensor) -> Tensor:
    """x above zero and slope * x below, with one slope `[D]` for each feature of x `[..., D]` (1502.01852)."""
    return F.prelu(x.flatten(0, -2), slopes).view_as(x)


def dice(
    x: Tensor,
    weights: tuple[Tensor, Tensor, Tensor],
    training: bool,  # noqa: FBT001 - the module's mode
    momentum: float = 0.1,
) -> Tensor:
    """p x + (1 - p) alpha x with p = sigmoid((x - mean) / sqrt(var + 1e-8)), for `[..., D]` (DIN, 1706.06978, eq. 3).

    Weights are alpha, running mean and running variance, `[D]` each. Mean and variance are those of the batch in
    training, over all rows or tokens, and the running ones in evaluation, and for a batch of one or zero rows.
    """
    alpha, mean, var = weights
    rows = x if x.dim() == 2 else x.flatten(0, -2)  # noqa: PLR2004 - [B, D]
    of_batch = training
    if rows.shape[0] < 2:  # noqa: PLR2004 - a row has no variance; `and` would give torch.compile a symbol
        of_batch = False
    p = F.batch_norm(rows, mean, var, None, None, of_batch, momentum, 1e-8).sigmoid()
    return (rows * (p + (1 - p) * alpha)).view_as(x)


def field_means(x: Tensor, widths: tuple[int, ...]) -> Tensor:
    """The mean of each field of x, whose fields have these widths side by side: `[B, D] -> [B, fields]`."""
    if len(set(widths)) == 1:
        return x.reshape(x.shape[0], len(widths), widths[0]).mean(dim=-1)
    return torch.stack([field.mean(dim=-1) for field in torch.split(x, list(widths), dim=-1)], dim=-1)


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


def squares_per_row(x: Tensor) -> Tensor:
    """The sum of all squares, divided by the number of rows: `[B, ...] -> []`, 0 without rows."""
    return x.square().sum() / max(x.shape[0], 1)


def sum_of_squares(*weights: Tensor) -> Tensor:
    """The sum of the squares of all weights, of any shapes: `[]`."""
    return torch.stack([weight.square().sum() for weight in weights]).sum()


def hard_concrete(log_a: Tensor, beta: float, gamma: float, zeta: float, training: bool) -> Tensor:  # noqa: FBT001 - the module's mode
    """Gates `[E]` in 0..1: sampled in training, their most likely value in evaluation (1712.01312)."""
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


def mixture(q: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """q a + (1 - q) b, `[B]`."""
    return q * a + (1 - q) * b


def mixture_logit(q: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The logit of s(q) s(a) + (1 - s(q)) s(b), `[B]`, finite for any logits; s is the sigmoid."""
    with_q, without = F.logsigmoid(q), F.logsigmoid(-q)
    log_p = torch.logaddexp(with_q + F.logsigmoid(a), without + F.logsigmoid(b))
    return log_p - torch.logaddexp(with_q + F.logsigmoid(-a), without + F.logsigmoid(-b))


def logit_of_log(log_p: Tensor) -> Tensor:
    """The logit of p from log p: log p - log(1 - p), with p kept below 1 by the smallest float step."""
    log_p = log_p.clamp_max(-torch.finfo(log_p.dtype).eps)
    return log_p - torch.log(-torch.expm1(log_p))


def bounded_exp(x: Tensor) -> Tensor:
    """exp x, with x clamped to at most 80: finite in single precision, also when multiplied by a probability."""
    return x.clamp_max(80.0).exp()


def expected_class(logits: Tensor) -> Tensor:
    """The expected class of CORN's conditional logits, `[B, classes - 1] -> [B]`: sum_k P(y > k).

    The products of probabilities are sums of their logs, because ONNX has a cumulative sum but no cumulative product.
    """
    return F.logsigmoid(logits).cumsum(-1).exp().sum(-1)


def zero_inflated_mean(outputs: Tensor) -> Tensor:
    """The mean of a zero-inflated lognormal, `[B, 3] -> [B]`: sigmoid(a) exp(m + s^2 / 2), s = softplus(b)."""
    spread = F.softplus(outputs[..., 2])
    return outputs[..., 0].sigmoid() * (outputs[..., 1] + spread.square() / 2).clamp_max(80.0).exp()


def safe_log(x: Tensor) -> Tensor:
    """log x, with x clamped to at least the smallest normal number."""
    return x.clamp_min(torch.finfo(x.dtype).tiny).log()
