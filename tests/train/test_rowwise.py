"""Row-wise Adagrad against its formula."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archspec.train.rowwise import RowWiseAdagrad, rows_with_gradients

IDS = ([0, 2, 2], [4, 2, 0], [1, 1, 1])
"""The rows that each step looks up, of 6; rows 3 and 5 never."""


def trained(*, sparse: bool) -> tuple[nn.Parameter, RowWiseAdagrad]:
    """A table after three steps, and its optimizer."""
    table = nn.Embedding(6, 4, sparse=sparse, dtype=torch.float64)
    with torch.no_grad():
        table.weight.copy_(torch.linspace(-1, 1, 24, dtype=torch.float64).view(6, 4))
    optimizer = RowWiseAdagrad(table.parameters(), lr=0.1, eps=1e-6)
    for ids in IDS:
        optimizer.zero_grad()
        table(torch.tensor(ids)).pow(3).sum().backward()
        optimizer.step()
    return table.weight, optimizer  # type: ignore[return-value] # a Parameter


@pytest.mark.parametrize("sparse", [False, True])
def test_each_step_is_the_formula(*, sparse: bool) -> None:
    """In float64, rows and sums equal a loop over rows; rows that are never looked up keep their bits."""
    found, optimizer = trained(sparse=sparse)
    rows = [list(row) for row in torch.linspace(-1, 1, 24, dtype=torch.float64).view(6, 4).tolist()]
    sums = [0.0] * 6
    for ids in IDS:
        for row in set(ids):
            gradient = [ids.count(row) * 3 * value**2 for value in rows[row]]
            sums[row] += sum(value**2 for value in gradient) / 4
            step = 0.1 / (sums[row] ** 0.5 + 1e-6)
            rows[row] = [value - step * slope for value, slope in zip(rows[row], gradient, strict=True)]
    torch.testing.assert_close(found.detach(), torch.tensor(rows, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(
        optimizer.state[found]["sum"], torch.tensor(sums, dtype=torch.float64), rtol=1e-12, atol=0
    )
    start = torch.linspace(-1, 1, 24, dtype=torch.float64).view(6, 4)
    assert torch.equal(found[[3, 5]], start[[3, 5]])


SHAPES = [(1000, 4), (1003, 16), (130, 24), (40, 100), (3, 4), (2, 501, 8), (5, 1), (0, 4)]
"""Tables of many blocks of rows, also with rows left over or of several dimensions, of one block, and of none."""


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("every", [2, 97])
def test_every_form_of_a_gradient_makes_the_same_step(shape: tuple[int, ...], every: int) -> None:
    """Few or many rows of a dense gradient, a sparse one, and a table that is not contiguous: as the formula says."""
    generator = torch.Generator().manual_seed(0)
    start, gradient = (torch.randn(shape, dtype=torch.float64, generator=generator) for _ in range(2))
    count = gradient[..., 0].numel()
    gradient[(torch.arange(count) % every != every - 1).view(shape[:-1])] = 0.0
    strided = torch.cat((start, start), dim=-1)[..., : shape[-1]]
    tables = [nn.Parameter(start.clone()), nn.Parameter(start.clone()), nn.Parameter(strided)]
    optimizer = RowWiseAdagrad(tables, lr=0.1)
    for table, given in zip(tables, (gradient, gradient.to_sparse(len(shape) - 1), gradient), strict=True):
        table.grad = given
    optimizer.step()
    means = gradient.square().mean(-1)
    expected = start - 0.1 * gradient / (means.sqrt() + 1e-8).unsqueeze(-1)
    for table in tables:
        torch.testing.assert_close(table.detach(), expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(optimizer.state[table]["sum"], means, rtol=0, atol=1e-12)


def test_the_rows_of_a_dense_gradient_are_found_at_the_ends_of_blocks() -> None:
    """Of a dense gradient with few rows, exactly those are found: the first and last of a block, and of the rest."""
    gradient = torch.zeros(1003, 4)
    rows = [0, 15, 16, 640, 991, 1000, 1002]
    gradient[rows, 3] = 1e-12
    found, values = rows_with_gradients(gradient)
    assert found.tolist() == rows
    assert torch.equal(values, gradient[rows])


def test_state_loads_exactly() -> None:
    """An optimizer with a loaded state makes the same next step, bit for bit."""
    after = []
    for again in (False, True):
        weight, optimizer = trained(sparse=False)
        if again:
            fresh = RowWiseAdagrad([weight], lr=9.0)
            fresh.load_state_dict(optimizer.state_dict())
            optimizer = fresh
        weight.grad = torch.ones_like(weight)
        optimizer.step()
        after.append(weight.detach().clone())
    assert torch.equal(*after)


def test_what_has_no_rows_is_refused() -> None:
    """A vector has no rows, and a rate must be positive."""
    with pytest.raises(ValueError, match="needs rows"):
        RowWiseAdagrad([nn.Parameter(torch.ones(3))])
    with pytest.raises(ValueError, match="positive"):
        RowWiseAdagrad([nn.Parameter(torch.ones(3, 2))], lr=0.0)
