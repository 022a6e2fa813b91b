"""How to train a compiled model in plain PyTorch. `python examples/train_synthetic.py` takes about ten seconds.

archspec is used only to create the model. `archspec build SPEC` writes the same class to a file that you can import:
`from build.synthetic_mmoe import SyntheticMmoe; model = SyntheticMmoe()`. `make demo` and `examples/synthetic.py` use
the same loop.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

import archspec
from archspec.synthetic import synthetic_tasks

if TYPE_CHECKING:
    from collections.abc import Callable

Batch = dict[str, Tensor]

SPECS = Path(__file__).parent / "specs"
TASKS = ("first", "second")
ROWS, TEST_ROWS = 100_000, 5_000  # enough that a model cannot memorize them
BATCH, EPOCHS = 125, 2  # divides the rows: a smaller last batch would make the step before a test noisier
RATE = 0.01
"""The rate of the paper's grid (0.0001, 0.001, 0.01) with the lowest mean loss over all models and p.
`examples/synthetic.py` chooses one for each model."""


def data(p: float, seed: int, rows: int = ROWS) -> tuple[Batch, Batch]:
    """Rows to train on and rows to test on: `x` `[rows, 100]`, labels `first` and `second` `[rows]`."""
    batch = synthetic_tasks(rows + TEST_ROWS, p, seed=seed)
    return {name: v[:rows] for name, v in batch.items()}, {name: v[rows:] for name, v in batch.items()}


def loss_of(model: nn.Module, batch: Batch) -> Tensor:
    """Squared error, averaged over rows and tasks. The model returns one logit per task, by its name in the spec."""
    logits = model(batch)
    return torch.stack([nn.functional.mse_loss(logits[task], batch[task]) for task in TASKS]).mean()


def train(
    model: nn.Module, rows: Batch, seed: int, *, rate: float = RATE, watch: Callable[[int], object] | None = None
) -> None:
    """Adam over shuffled batches. `watch` is called after every step, with the number of steps done."""
    shuffle = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    done = 0
    for _ in range(EPOCHS):
        for index in torch.split(torch.randperm(len(rows["x"]), generator=shuffle), BATCH):
            loss = loss_of(model, {name: column[index] for name, column in rows.items()})
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
            optimizer.step()
            done += 1
            if watch:
                watch(done)


@torch.no_grad()
def test(model: nn.Module, rows: Batch) -> float:
    """The loss on rows that the model was not trained on. Restores training mode afterwards."""
    training = model.training
    loss = float(loss_of(model.eval(), rows))
    model.train(training)
    return loss


def main() -> None:
    """Trains MMoE on tasks of correlation 0.9 and keeps its weights."""
    train_rows, test_rows = data(p=0.9, seed=0)
    model = archspec.compile(SPECS / "synthetic_mmoe.yaml", seed=0)
    print(f"test loss before {test(model, test_rows):.4f}")
    train(model, train_rows, seed=0)
    print(f"test loss after  {test(model, test_rows):.4f}")

    gates = model.gate_weights(test_rows)  # the weights of each gate for each row: [B, experts seen]
    for name, weights in gates.items():
        print(name, " ".join(f"{share:.2f}" for share in weights.mean(0).tolist()))

    Path("build").mkdir(exist_ok=True)
    archspec.save_weights(model, "build/synthetic_mmoe.safetensors")
    again = archspec.compile(SPECS / "synthetic_mmoe.yaml")
    archspec.load_weights(again, "build/synthetic_mmoe.safetensors")
    print(f"from the file    {test(again, test_rows):.4f}")


if __name__ == "__main__":
    main()
