"""Functions of emitted files that choose between ways of computing: all ways give the same result."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from archspec.nn.functional import (
    bounded_exp,
    mix,
    mix_all,
    mix_seen,
    pool,
    pool_last,
    pool_weighted,
    safe_log,
    select,
    softmax,
)


def drawn(*shape: int) -> Tensor:
    """Random float64 numbers that require a gradient."""
    torch.manual_seed(0)
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("how", ["mean", "sum", "max"])
@pytest.mark.parametrize("shape", [(300, 10), (2, 150, 10)])
def test_many_ids_are_pooled_without_a_gradient_as_with_one(how: str, shape: tuple[int, ...]) -> None:
    """Without a gradient rows are summed in place, with the same result as with one, also for rows of padding only."""
    table = drawn(7, 3)
    torch.manual_seed(1)
    ids = torch.randint(-1, 7, shape)
    ids[..., 4, :] = -1
    pooled = pool(ids, table, how)
    assert pooled.shape == (*shape[:-1], 3)
    assert not pooled[..., 4, :].any()
    with torch.no_grad():
        torch.testing.assert_close(pool(ids, table, how), pooled, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("gates", "experts", "width"), [(1, 3, 5), (2, 9, 40)])
def test_all_gates_mix_as_each_does(gates: int, experts: int, width: int) -> None:
    """A small and a large mix equal the plain weighted sum, including gradients."""
    weights, stack = drawn(gates, 4, experts), drawn(experts, 4, width)
    plain = torch.stack([mix(weights[g], list(stack)) for g in range(gates)])
    mixed = mix_all(weights, stack)
    torch.testing.assert_close(mixed, plain, rtol=0, atol=1e-12)
    for found, wanted in zip(
        *(torch.autograd.grad(x.square().sum(), (weights, stack)) for x in (mixed, plain)), strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_gates_mix_their_own_experts_and_shared_ones() -> None:
    """An expert `[G, B, H]` has one output per gate, `[B, H]` or `[1, B, H]` is shared by all gates."""
    weights, own, shared = drawn(2, 4, 3), drawn(2, 4, 5), drawn(2, 4, 5)
    mixed = mix_seen(weights, [own, shared[0], shared[1:]])
    plain = [mix(weights[g], [own[g], *shared]) for g in range(2)]
    torch.testing.assert_close(mixed, torch.stack(plain), rtol=0, atol=1e-12)


@pytest.mark.parametrize("how", ["mean", "sum", "max"])
@pytest.mark.parametrize("shape", [(2, 0), (0, 0), (0, 4), (3, 2, 0), (3000, 0)])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_list_of_no_ids_is_pooled_to_zeros(*, how: str, shape: tuple[int, ...], sparse: bool) -> None:
    """Lists of width 0 and batches without rows give zeros, and zero gradients where gradients are computed."""
    table = drawn(7, 3)
    ids = torch.empty(*shape, dtype=torch.int64)
    ids.fill_(-1)
    pooled = pool(ids, table, how, sparse)
    assert pooled.shape == (*shape[:-1], 3)
    assert not pooled.any()
    (gradient,) = torch.autograd.grad(pooled.sum(), table)
    assert not gradient.to_dense().any()
    with torch.no_grad():
        assert pool(ids, table, how, sparse).equal(pooled)


@pytest.mark.parametrize("how", ["mean", "sum", "last"])
@pytest.mark.parametrize("shape", [(2, 0), (0, 0), (0, 4), (3, 2, 0), (2, 4)])
@pytest.mark.parametrize("sparse", [False, True])
def test_lists_without_an_id_are_zeros_by_weight_and_by_place(
    *, how: str, shape: tuple[int, ...], sparse: bool
) -> None:
    """Without ids, or with only padding beside NaN weights, outputs and gradients are zero, never NaN."""
    table, weights = drawn(7, 3), torch.full(shape, torch.nan, dtype=torch.float64, requires_grad=True)
    ids = torch.full(shape, -1)
    pooled = pool_last(ids, table, sparse) if how == "last" else pool_weighted(ids, weights, table, how, sparse)
    assert pooled.shape == (*shape[:-1], 3)
    assert not pooled.any()
    used = [table] if how == "last" else [table, weights]
    for gradient in torch.autograd.grad(pooled.sum(), used):
        assert not gradient.to_dense().any()


def test_ids_that_select_may_be_small() -> None:
    """int32 ids select the same case as int64 ids."""
    cases = [drawn(3, 2), drawn(3, 2) + 1]
    ids = torch.tensor([1, 0, 1])
    assert select(ids.int(), cases).equal(select(ids, cases))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_logarithm_of_nothing_is_finite(dtype: torch.dtype) -> None:
    """The smallest normal number replaces zero and negative numbers; above it, the logarithm is exact."""
    tiny = torch.finfo(dtype).tiny
    numbers = torch.tensor([0.0, -1.0, tiny, 4 * tiny, 1e-3, 1.0, 8.0], dtype=dtype)
    found = safe_log(numbers)
    assert found.isfinite().all()
    assert found.equal(torch.cat([torch.full((2,), tiny, dtype=dtype), numbers[2:]]).log())


def test_the_exponential_of_much_is_finite() -> None:
    """It is exact up to 80 and constant beyond, also in single precision."""
    numbers = torch.tensor([-90.0, 0.0, 79.0, 80.0, 81.0, 1e4])
    assert bounded_exp(numbers).equal(numbers.minimum(torch.tensor(80.0)).exp())
    assert bounded_exp(numbers).isfinite().all()


@pytest.mark.parametrize("shape", [(0, 4), (1, 4), (127, 4), (300, 1), (300, 15), (300, 16), (2, 70, 3), (2, 3, 50, 5)])
def test_softmax_is_the_same_with_and_without_a_gradient(shape: tuple[int, ...]) -> None:
    """Few and many rows, short and long ones, and transposed views give torch's softmax; so do gradients."""
    x = drawn(*shape).requires_grad_()
    for view in (x, x.detach().mT.contiguous().mT):
        with torch.no_grad():
            torch.testing.assert_close(softmax(view), x.softmax(-1), rtol=1e-12, atol=1e-12)
    found, expected = (torch.autograd.grad(each.square().sum(), x)[0] for each in (softmax(x), x.softmax(-1)))
    assert torch.equal(found, expected)
