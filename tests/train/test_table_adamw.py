"""AdamW of sparse gradients against torch's, of the same gradients as dense tensors."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.optim import AdamW

from archspec.train import table_adamw
from archspec.train.table_adamw import TableAdamW

STEPS = ([0, 2, 2, 22], [4, 2, 0, 0], [1, 1, 1, 7], [9, 10, 11, 5])
"""The rows that each step looks up, of 23."""


def table_of(*, sparse: bool) -> nn.Embedding:
    """A table of 23 rows of 3 numbers."""
    weight = torch.linspace(-1, 1, 69, dtype=torch.float64).view(23, 3)
    table = nn.Embedding(23, 3, sparse=sparse, dtype=torch.float64)
    table.load_state_dict({"weight": weight})
    return table


def train(table: nn.Embedding, optimizer: torch.optim.Optimizer, steps: tuple[list[int], ...]) -> None:
    """Steps of a loss that is not linear in the table."""
    for ids in steps:
        optimizer.zero_grad()
        table(torch.tensor(ids)).pow(3).sum().backward()
        optimizer.step()


@pytest.mark.parametrize("piece", [1, 12, 30, 69, 1000])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_it_is_adamw_of_dense_gradients(monkeypatch: pytest.MonkeyPatch, piece: int, decay: float) -> None:
    """In float64, all rows and moments are AdamW's, however the table is divided, also into unequal pieces."""
    monkeypatch.setattr(table_adamw, "_PIECE", piece)
    sparse, dense = table_of(sparse=True), table_of(sparse=False)
    ours = TableAdamW(sparse.parameters(), lr=0.1, weight_decay=decay)
    torchs = AdamW(dense.parameters(), lr=0.1, weight_decay=decay)
    train(sparse, ours, STEPS)
    train(dense, torchs, STEPS)
    torch.testing.assert_close(sparse.weight, dense.weight, rtol=0, atol=1e-12)
    for name in ("exp_avg", "exp_avg_sq"):
        torch.testing.assert_close(
            ours.state[sparse.weight][name], torchs.state[dense.weight][name], rtol=0, atol=1e-12
        )
    assert not torch.equal(sparse.weight[0], sparse.weight.new_tensor([-1.0, -1.0, -1.0]))


def test_gradients_may_be_dense_and_tables_strided() -> None:
    """A dense gradient, and a table that is not contiguous, make AdamW's step too."""
    wide = torch.linspace(-1, 1, 20, dtype=torch.float64).view(5, 4)
    after = []
    for kind, sparse in ((AdamW, False), (TableAdamW, False), (TableAdamW, True)):
        table = nn.Parameter(wide.clone()[:, :2])
        gradient = torch.ones_like(table)
        table.grad = gradient.to_sparse(1) if sparse else gradient
        kind([table], lr=0.1).step()
        after.append(table.detach().clone())
    torch.testing.assert_close(after[1], after[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(after[2], after[0], rtol=0, atol=1e-12)


def test_it_continues_the_state_of_adamw() -> None:
    """A state of AdamW of dense gradients loads, and the next steps are those that AdamW would have made."""
    dense, sparse = table_of(sparse=False), table_of(sparse=True)
    torchs = AdamW(dense.parameters(), lr=0.1)
    train(dense, torchs, STEPS[:2])
    ours = TableAdamW(sparse.parameters(), lr=9.0)
    ours.load_state_dict(deepcopy(torchs.state_dict()))
    sparse.load_state_dict(dense.state_dict())
    train(dense, torchs, STEPS[2:])
    train(sparse, ours, STEPS[2:])
    torch.testing.assert_close(sparse.weight, dense.weight, rtol=0, atol=1e-12)


@pytest.mark.parametrize("wrong", [{"lr": 0.0}, {"eps": 0.0}, {"weight_decay": -1.0}, {"betas": (1.0, 0.9)}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    """Each is refused when the optimizer is made."""
    with pytest.raises(ValueError, match="must be positive"):
        TableAdamW([nn.Parameter(torch.ones(2, 2))], **wrong)  # type: ignore[arg-type] # wrong on purpose
