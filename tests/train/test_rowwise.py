"""Row-wise Adagrad against its formula."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archspec.train.rowwise import RowWiseAdagrad

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
