"""Synthetic rows: the regression tasks of the MMoE paper, lists of past clicks, and watch times with zeros."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["synthetic_events", "synthetic_tasks", "synthetic_watch_time"]


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


def synthetic_events(  # noqa: PLR0913 - each determines the data
    rows: int,
    *,
    seed: int,
    length: int = 20,
    items: int = 1000,
    categories: int = 100,
    users: int = 2000,
    interests: int = 4,
    slope: float = 6.0,
) -> dict[str, Tensor]:
    """Lists of past clicks, and a candidate: the more similar it is to one of them, the more likely a click.

    An item has a category (its number modulo `categories`) and a unit vector near that of its category. The clicks of a
    row are of a few categories; the candidate is of one of them in about every other row. With s the largest cosine
    between the candidate's vector and those of the clicks, u the activity of the user and n the number of clicks of the
    candidate's category, `click` is 1 with the probability sigmoid(slope (s - 0.7) + u), and after a click, `buy` is 1
    with the probability sigmoid(2 log(1 + n) - 2 + u). One click of twenty decides: a mean over all of them hides it.

    Args:
        rows: number of rows.
        seed: seed of vectors, users, lists and labels.
        length: longest list, 1 to `length` clicks, padded with -1.
        items: number of items.
        categories: number of categories.
        users: number of users.
        interests: categories in a row's list, at most.
        slope: how much the similarity matters; with 0 the clicks have no influence on `click`.

    Returns:
        A batch, as `specs/din_ple.yaml` reads it: int64 `user`, `item`, `cate` `[rows]`, `clicks` and `click_cates`
        `[rows, length]`; float32 labels `click` and `buy` `[rows]`.

    Raises:
        ValueError: there are fewer items than categories.
    """
    if items < categories:
        raise ValueError(f"{items} items cannot have {categories} categories: each category needs at least one")
    generator = torch.Generator().manual_seed(seed)

    def integers(high: int | Tensor, *shape: int) -> Tensor:
        return (torch.rand(*shape, generator=generator, dtype=torch.float64) * high).long()

    def chosen(probability: Tensor) -> Tensor:
        return torch.rand(probability.shape, generator=generator) < probability

    def of_category(cate: Tensor) -> Tensor:
        """An item of each category."""
        return cate + categories * integers((items - 1 - cate) // categories + 1, *cate.shape)

    centres = torch.randn(categories, _WIDTH, generator=generator)
    near = centres[torch.arange(items) % categories] + 0.4 * torch.randn(items, _WIDTH, generator=generator)
    vectors = near / near.norm(dim=1, keepdim=True)
    activity = 0.5 * torch.randn(users, generator=generator)
    own = integers(categories, rows, interests)
    click_cates = own.gather(1, integers(interests, rows, length))
    clicks = of_category(click_cates)
    there = torch.arange(length) <= integers(length, rows, 1)
    elsewhere = chosen(torch.full((rows,), 0.5))
    cate = torch.where(elsewhere, integers(categories, rows), click_cates[:, 0])
    item, user = of_category(cate), integers(users, rows)
    similarity = torch.einsum("rd,rld->rl", vectors[item], vectors[clicks]).masked_fill(~there, -1.0)
    alike = ((click_cates == cate.unsqueeze(1)) & there).sum(1)
    click = chosen(torch.sigmoid(slope * (similarity.amax(1) - 0.7) + activity[user]))
    buy = click & chosen(torch.sigmoid(2 * torch.log1p(alike) - 2 + activity[user]))
    return {
        "user": user, "item": item, "cate": cate,
        "clicks": clicks.masked_fill(~there, -1), "click_cates": click_cates.masked_fill(~there, -1),
        "click": click.float(), "buy": buy.float(),
    }  # fmt: skip


_WIDTH = 8
"""Width of the vectors of `synthetic_events`."""


def synthetic_watch_time(  # noqa: PLR0913 - each determines the data
    rows: int, *, seed: int, users: int = 500, videos: int = 500, width: int = 2, tail: float = 1.2
) -> dict[str, Tensor]:
    """Minutes of watching, with many zeros and a long tail.

    A user u has a taste t_u and a video v a topic z_v, both N(0, I) in R^width, and a video lasts d_v minutes, where
    log d_v ~ N(log 2, tail^2). With the fit a = t_u.z_v / sqrt(width), a row is watched at all (`start`) with the
    probability sigmoid(1.5 a + g_u - 1), where g_u ~ N(0, 1) is the user's activity; what is watched is the part
    sigmoid(a + 1.5 e) of the video, e ~ N(0, 1). So about two rows of three have 0, and the others a distribution that
    no model's loss assumes: the product of a bounded part and a long-tailed length.

    Args:
        rows: number of rows.
        seed: seed of users, videos, rows and labels.
        users: number of users.
        videos: number of videos.
        width: length of tastes and topics.
        tail: standard deviation of the logarithm of the lengths.

    Returns:
        A batch: int64 `user` and `video` `[rows]`; float32 `length` `[rows, 1]`, the logarithm of the minutes that the
        video lasts, standardised; the float32 labels `start` (0 or 1) and `minutes` `[rows]`; and `expected` `[rows]`,
        the mean of `minutes` given user and video: no prediction has a lower squared error.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    tastes, topics, activity, lengths = normal(users, width), normal(videos, width), normal(users), normal(videos)
    user = torch.randint(users, (rows,), generator=generator)
    video = torch.randint(videos, (rows,), generator=generator)
    fit = (tastes[user] * topics[video]).sum(1) / width**0.5
    duration = 2 * torch.exp(tail * lengths[video])
    chance = torch.sigmoid(1.5 * fit + activity[user] - 1)
    start = torch.rand(rows, generator=generator, dtype=torch.float64) < chance
    minutes = start * duration * torch.sigmoid(fit + 1.5 * normal(rows))
    grid = torch.linspace(-5, 5, 101, dtype=torch.float64)
    density = torch.exp(-grid.square() / 2)
    part = sum(weight * torch.sigmoid(fit + 1.5 * e) for e, weight in zip(grid, density / density.sum(), strict=True))
    expected = chance * duration * part
    return {
        "user": user, "video": video, "length": lengths[video].unsqueeze(1).float(),
        "start": start.float(), "minutes": minutes.float(), "expected": expected.float(),
    }  # fmt: skip
