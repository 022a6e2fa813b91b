"""The synthetic regression tasks of the MMoE paper: two tasks, and one number that sets how related they are."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["synthetic_tasks"]


def synthetic_tasks(  # noqa: PLR0913 - the symbols of the paper's section 3.2
    rows: int,
    p: float,
    *,
    seed: int,
    d: int = 100,
    c: float = 1.0,
    m: int = 10,
    noise: float = 0.01,
) -> dict[str, Tensor]:
    """Two regression tasks whose weights have the cosine p (Ma et al., KDD 2018, section 3.2).

    u1, u2 are orthonormal in R^d; w1 = c u1, w2 = c (p u1 + sqrt(1 - p^2) u2); x ~ N(0, I_d);
    y_j = w_j.x + sum_(i<=m) sin(alpha_i w_j.x + beta_i) + noise, with alpha_i, beta_i ~ N(0, 1) shared by both tasks.
    All rows come from the same pair of tasks: split them into a training and a test set.

    Args:
        rows: number of rows.
        p: cosine of the two weight vectors, -1 to 1; the larger it is, the more the labels correlate.
        seed: seed of tasks, rows and noise. With the same seed, tasks of another p have the same u, alpha, beta and x.
        d: features of a row.
        c: length of the weight vectors.
        m: number of sines; with 0 the tasks are linear.
        noise: variance of the noise, which is the lowest possible expected squared error.

    Returns:
        A batch in float32: `x` `[rows, d]`, and the labels `first` `[rows]` and `second` `[rows]`.

    Raises:
        ValueError: p is outside -1 to 1, or d is too small for two orthogonal vectors.
    """
    if not -1 <= p <= 1:
        raise ValueError(f"p is a cosine, from -1 to 1, not {p}")
    if d < 2:  # noqa: PLR2004 - u1 and u2
        raise ValueError(f"d must be 2 or more for two orthogonal weight vectors, not {d}")
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    u1, u2 = torch.linalg.qr(normal(d, 2)).Q.T
    alpha, beta = normal(m), normal(m)
    x, errors = normal(rows, d), normal(2, rows) * noise**0.5
    w1, w2 = c * u1, c * (p * u1 + (1 - p**2) ** 0.5 * u2)
    batch = {"x": x}
    for name, w, error in zip(("first", "second"), (w1, w2), errors, strict=True):
        t = x @ w
        batch[name] = t + torch.sin(t.unsqueeze(1) * alpha + beta).sum(1) + error
    return {name: column.float() for name, column in batch.items()}
