"""Synthetic data has the specified distribution: the tasks of the MMoE paper's section 3.2, and lists of events."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import archspec
from archspec.synthetic import synthetic_events, synthetic_tasks, synthetic_watch_time


def correlation(p: float, seed: int = 0) -> float:
    """Correlation of the labels of the two tasks."""
    batch = synthetic_tasks(20_000, p, seed=seed)
    return float(torch.corrcoef(torch.stack([batch["first"], batch["second"]]))[0, 1])


@pytest.mark.parametrize("seed", range(5))
def test_labels_correlate_the_more_the_larger_p_is(seed: int) -> None:
    """The correlation of the labels rises with p, from 0 to that of one task with two independent noises."""
    found = [correlation(p, seed) for p in (0.0, 0.5, 0.9, 1.0)]
    assert found == sorted(found)
    assert abs(found[0]) < 0.05
    assert found[-1] > 0.95


def test_shapes() -> None:
    """A batch contains float32 columns: x `[rows, d]` and two labels `[rows]`."""
    batch = synthetic_tasks(7, 0.5, seed=0, d=12)
    assert {name: tuple(column.shape) for name, column in batch.items()} == {
        "x": (7, 12),
        "first": (7,),
        "second": (7,),
    }
    assert {column.dtype for column in batch.values()} == {torch.float32}


def test_a_seed_gives_the_same_tasks_and_leaves_the_global_generator_alone() -> None:
    """The same seed gives the same bits, another seed other rows; torch's global generator is left alone."""
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = synthetic_tasks(10, 0.5, seed=3)
    torch.manual_seed(2)
    again = synthetic_tasks(10, 0.5, seed=3)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["x"], synthetic_tasks(10, 0.5, seed=4)["x"])
    torch.manual_seed(1)
    synthetic_tasks(10, 0.5, seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_p_changes_the_second_task_only() -> None:
    """For one seed, x and the first task do not depend on p, so runs can be compared in pairs."""
    low, high = synthetic_tasks(100, 0.5, seed=0), synthetic_tasks(100, 1.0, seed=0)
    assert torch.equal(low["x"], high["x"])
    assert torch.equal(low["first"], high["first"])
    assert not torch.equal(low["second"], high["second"])


@pytest.mark.parametrize("p", [-0.3, 0.0, 0.5, 1.0])
def test_weights_have_length_c_and_cosine_p(p: float) -> None:
    """Without sines and noise a label is w.x: the least-squares w have length c and cosine p."""
    batch = synthetic_tasks(500, p, seed=0, d=20, c=3.0, m=0, noise=0.0)
    x, labels = batch["x"].double(), torch.stack([batch["first"], batch["second"]], 1).double()
    w1, w2 = torch.linalg.lstsq(x, labels).solution.T
    assert float(w1.norm()) == pytest.approx(3.0, abs=1e-5)
    assert float(w2.norm()) == pytest.approx(3.0, abs=1e-5)
    assert float(w1 @ w2) / 9 == pytest.approx(p, abs=1e-5)


def test_noise_has_the_variance_asked_for() -> None:
    """At p = 1 the labels differ only by two draws of noise."""
    batch = synthetic_tasks(50_000, 1.0, seed=0, noise=0.01)
    assert float((batch["first"] - batch["second"]).var()) == pytest.approx(0.02, rel=0.03)


@pytest.mark.parametrize(("p", "d", "word"), [(1.1, 100, "cosine"), (-1.1, 100, "cosine"), (0.5, 1, "d must be 2")])
def test_impossible_tasks_are_refused(p: float, d: int, word: str) -> None:
    """A p that is not a cosine and a space with fewer than two directions are refused with a message."""
    with pytest.raises(ValueError, match=word):
        synthetic_tasks(10, p, seed=0, d=d)


def test_events_are_a_batch_of_din_ple() -> None:
    """Columns, types and ranges fit the spec; every list has an event, and -1 occurs only as padding at the end."""
    batch = synthetic_events(200, seed=3)
    model = archspec.compile(Path(__file__).parents[1] / "specs" / "din_ple.yaml", seed=0)
    assert model(batch)["buy"].shape == (200,)
    there = batch["clicks"] >= 0
    assert there[:, 0].all()
    assert torch.equal(there, there.cummin(1).values)
    assert torch.equal(batch["click_cates"][there], batch["clicks"][there] % 100)
    assert torch.equal(batch["cate"], batch["item"] % 100)
    assert not (batch["buy"] > batch["click"]).any()


def test_events_are_seeded() -> None:
    """The same seed gives the same rows, another seed other rows."""
    one, again, other = (synthetic_events(50, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["clicks"], other["clicks"])


@pytest.mark.parametrize(("slope", "least", "most"), [(6.0, 0.25, 1.0), (0.0, -0.05, 0.05)])
def test_a_candidate_like_a_past_click_is_clicked(slope: float, least: float, most: float) -> None:
    """Rows whose candidate has the category of a past click are clicked more often, increasingly with the slope."""
    batch = synthetic_events(20_000, seed=0, slope=slope)
    alike = (batch["click_cates"] == batch["cate"].unsqueeze(1)).any(1)
    assert 0.4 < alike.float().mean() < 0.7
    difference = float(batch["click"][alike].mean() - batch["click"][~alike].mean())
    assert least < difference < most
    bought = batch["buy"][batch["click"] == 1]
    assert bought[alike[batch["click"] == 1]].mean() > bought[~alike[batch["click"] == 1]].mean() + 0.2


def test_fewer_items_than_categories() -> None:
    """It is refused, because each category needs an item."""
    with pytest.raises(ValueError, match="5 items cannot have 9 categories"):
        synthetic_events(3, seed=0, items=5, categories=9)
    assert set(synthetic_events(500, seed=0, items=9, categories=9)["item"].tolist()) == set(range(9))


def test_watch_time_has_zeros_and_a_long_tail() -> None:
    """About two thirds are 0, no other row is; the largest of the rest are many times their median."""
    batch = synthetic_watch_time(20_000, seed=0)
    minutes, start = batch["minutes"], batch["start"]
    assert torch.equal(minutes > 0, start > 0)
    assert 0.6 < float((minutes == 0).float().mean()) < 0.75
    watched = minutes[start > 0]
    assert float(watched.quantile(0.99) / watched.median()) > 10
    assert {name: tuple(column.shape) for name, column in batch.items() if name not in {"minutes", "start"}} == {
        "user": (20_000,), "video": (20_000,), "length": (20_000, 1), "expected": (20_000,),
    }  # fmt: skip


def test_watch_time_has_the_expected_value_that_it_states() -> None:
    """In groups of rows with similar `expected`, the mean of `minutes` is the mean of `expected`, within 4 errors."""
    batch = synthetic_watch_time(100_000, seed=1)
    for rows in torch.argsort(batch["expected"]).chunk(10):
        minutes, expected = batch["minutes"][rows].double(), batch["expected"][rows].double()
        error = float((minutes - expected).std()) / len(rows) ** 0.5
        assert abs(float(minutes.mean() - expected.mean())) < 4 * error


def test_watch_time_is_the_same_for_a_seed() -> None:
    """The same seed gives the same bits, another one other rows."""
    first, again = (synthetic_watch_time(50, seed=3) for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["minutes"], synthetic_watch_time(50, seed=4)["minutes"])
