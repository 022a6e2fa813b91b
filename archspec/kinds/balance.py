"""Kinds of balance: how the losses of the tasks are combined. Methods import torch, since validating does not need it.

`build(tasks)` returns a `BalanceModule`, whose docstrings say when its methods are called. With the class variable
`gradients`, a kind requests the gradients of each task's loss, `[T, N]`:
    "last"      on the last weights that tasks share
    "shared"    on all weights that tasks share; `aggregate` returns the gradient that these weights get
With a single task nothing is shared, and a balance that reads gradients does not change them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from archspec.contract import BalanceKind, KindError, balance
from archspec.contract.settings import Count, Finite, Positive

if TYPE_CHECKING:
    from torch import Tensor

    from archspec.contract.balance_module import BalanceModule


@balance("sum")
class Sum(BalanceKind):
    """Adds the tasks' losses, each times its `weight`."""

    formula: ClassVar[str] = "L = sum_k w_k L_k"

    def build(self, tasks: tuple[str, ...]) -> BalanceModule:
        """Returns a module without weights: weighted losses `[T]` -> `[]`."""
        from archspec.contract.balance_module import BalanceModule

        class Total(BalanceModule):
            def forward(self, losses: Tensor, counted: Tensor) -> Tensor:
                return losses.sum()

        return Total()


@balance("uncertainty")
class Uncertainty(BalanceKind):
    """Weighs the losses by learned log variances (Kendall et al., CVPR 2018, with s_k = log sigma_k^2).

    The sum is over the tasks that have rows in the batch: the log variance of a task without rows does not change.
    """

    paper: ClassVar[str] = "1705.07115"
    formula: ClassVar[str] = "L = sum_k (exp(-s_k) w_k L_k + s_k) / 2"

    def build(self, tasks: tuple[str, ...]) -> BalanceModule:
        """Returns a module with the parameter `log_variances` `[T]`: weighted losses `[T]` -> `[]`."""
        import torch
        from torch import nn

        from archspec.contract.balance_module import BalanceModule

        class Uncertain(BalanceModule):
            def __init__(self) -> None:
                super().__init__()
                self.log_variances = nn.Parameter(torch.zeros(len(tasks)))

            def forward(self, losses: Tensor, counted: Tensor) -> Tensor:
                terms = (-self.log_variances).exp() * losses + self.log_variances
                return torch.where(counted, terms, torch.zeros_like(terms)).sum() / 2

        return Uncertain()


@balance("dwa")
class DynamicWeightAverage(BalanceKind):
    """Dynamic weight average: tasks whose loss falls slowly get a larger weight (Liu et al., CVPR 2019).

    L_k(t) is the mean of the weighted loss over the batches of epoch t in which the task has rows; in the first two
    epochs all weights are 1. A task without any row in an epoch keeps its last mean. Call `criterion.next_epoch()`
    after each epoch.
    """

    paper: ClassVar[str] = "1803.10704"
    formula: ClassVar[str] = "L = sum_k v_k w_k L_k, v = K softmax(r / temperature), r_k = L_k(t-1) / L_k(t-2)"
    temperature: Positive = 2.0

    def build(self, tasks: tuple[str, ...]) -> BalanceModule:
        """Returns a module with buffers `weights`, `sums`, `counts`, `last` `[T]`: weighted losses `[T]` -> `[]`."""
        import torch

        from archspec.contract.balance_module import BalanceModule

        temperature = self.temperature

        class Averaged(BalanceModule):
            weights: Tensor
            sums: Tensor
            counts: Tensor
            last: Tensor

            def __init__(self) -> None:
                super().__init__()
                self.register_buffer("weights", torch.ones(len(tasks)))
                for name in ("sums", "counts", "last"):
                    self.register_buffer(name, torch.zeros(len(tasks)))

            def forward(self, losses: Tensor, counted: Tensor) -> Tensor:
                return (self.weights * losses).sum()

            def step(self, losses: Tensor, counted: Tensor, jacobian: Tensor) -> None:
                self.sums = self.sums + losses * counted
                self.counts = self.counts + counted

            def epoch(self) -> None:
                means = torch.where(self.counts > 0, self.sums / self.counts.clamp_min(1), self.last)
                known = (self.last > 0) & (means > 0)
                ratios = torch.where(known, means / torch.where(known, self.last, 1.0), 1.0)
                self.weights = len(tasks) * torch.softmax(ratios / temperature, dim=0)
                self.last, self.sums, self.counts = means, torch.zeros_like(means), torch.zeros_like(means)

        return Averaged()


@balance("gradnorm")
class GradNorm(BalanceKind):
    """Weighs tasks so that all train at the same pace, by gradients on the last shared weights (Chen et al., 2018).

    G_k = v_k ||grad L_k|| moves towards mean(G) r_k^alpha, where r_k is L_k / L_k(0) over its mean over all tasks.
    After each step of training, the v_k take one step of gradient descent on sum_k |G_k - target_k| with `rate` and
    fixed targets, and are clamped at 0.001. They are then scaled to add up to the number of tasks. A task without
    rows in a batch, or without a gradient there, keeps its weight, and the others keep the sum of their weights.
    """

    paper: ClassVar[str] = "1711.02257"
    formula: ClassVar[str] = "L = sum_k v_k w_k L_k; v falls along the gradient of sum_k |G_k - mean(G) r_k^alpha|"
    gradients: ClassVar[Literal["none", "last", "shared"]] = "last"
    alpha: Finite = 1.5
    rate: Positive = 0.025

    def build(self, tasks: tuple[str, ...]) -> BalanceModule:
        """Returns a module with the buffers `weights` and `first` `[T]`: weighted losses `[T]` -> `[]`."""
        import torch

        from archspec.contract.balance_module import BalanceModule

        alpha, rate = self.alpha, self.rate

        class Normed(BalanceModule):
            weights: Tensor
            first: Tensor

            def __init__(self) -> None:
                super().__init__()
                self.register_buffer("weights", torch.ones(len(tasks)))
                self.register_buffer("first", torch.zeros(len(tasks)))

            def forward(self, losses: Tensor, counted: Tensor) -> Tensor:
                return (self.weights * losses).sum()

            def step(self, losses: Tensor, counted: Tensor, jacobian: Tensor) -> None:
                norms = jacobian.norm(dim=1)
                there = counted & (losses > 0) & (norms > 0)
                if not there.any():
                    return
                self.first = torch.where((self.first == 0) & there, losses, self.first)
                ratios = losses / torch.where(there, self.first, 1.0)
                sizes = self.weights * norms
                targets = sizes[there].mean() * (ratios / ratios[there].mean()) ** alpha
                moved = (self.weights - rate * torch.sign(sizes - targets) * norms).clamp_min(1e-3)
                share = self.weights[there].sum() / moved[there].sum()
                self.weights = torch.where(there, moved * share, self.weights)

        return Normed()


class Aggregation(BalanceKind):
    """Combines task gradients on shared weights with an aggregator of torchjd (the extra `train` installs it).

    The graph determines which weights are shared, by all tasks or by some; a task's own weights get its own gradient.
    The scale depends on the aggregator: most return a mean or a convex combination, while `sum` adds.
    """

    gradients: ClassVar[Literal["none", "last", "shared"]] = "shared"
    aggregator: ClassVar[str]
    """Name of the class in torchjd.aggregation."""

    def arguments(self) -> dict[str, Any]:
        """Arguments for the aggregator's class."""
        return self.model_dump()

    def build(self, tasks: tuple[str, ...]) -> BalanceModule:
        """Returns a module: weighted losses `[T]` -> their sum `[]`; `aggregate`: gradients `[T, N]` -> `[N]`.

        Raises:
            KindError: torchjd, or a solver that its aggregator needs, is not installed.
        """
        from importlib import import_module

        from archspec.contract.balance_module import BalanceModule

        try:
            aggregator = getattr(import_module("torchjd.aggregation"), self.aggregator)(**self.arguments())
        except ImportError as error:
            raise KindError(
                f"needs {self.aggregator} of torchjd: {error}", help="pip install 'archspec-mtl[train]'"
            ) from error

        class Aggregated(BalanceModule):
            def forward(self, losses: Tensor, counted: Tensor) -> Tensor:
                return losses.sum()

            def aggregate(self, jacobian: Tensor) -> Tensor:
                found: Tensor = aggregator(jacobian)
                return found

        return Aggregated()


@balance("upgrad")
class UPGrad(Aggregation):
    """Projects each gradient onto the cone of directions that harm no task, and averages (Quinton & Rey, 2024)."""

    paper: ClassVar[str] = "2406.16232"
    formula: ClassVar[str] = "mean_k of the vector nearest to g_k that has no negative product with any g_j"
    aggregator: ClassVar[str] = "UPGrad"


@balance("mgda")
class MGDA(Aggregation):
    """The shortest convex combination of the gradients (Désidéri, 2012; Sener & Koltun, NeurIPS 2018)."""

    paper: ClassVar[str] = "1810.04650"
    formula: ClassVar[str] = "sum_k a_k g_k with the a >= 0, sum a = 1, that minimise its norm"
    aggregator: ClassVar[str] = "MGDA"
    epsilon: Positive = 0.001
    max_iters: Count = 100


@balance("pcgrad")
class PCGrad(Aggregation):
    """Removes from each gradient the part that conflicts with the others, in random order (Yu et al., 2020)."""

    paper: ClassVar[str] = "2001.06782"
    formula: ClassVar[str] = "sum_k g_k', g_k' = g_k - (g_k' g_j / |g_j|^2) g_j for each j with g_k' g_j < 0"
    aggregator: ClassVar[str] = "PCGrad"


@balance("imtl_g")
class IMTLG(Aggregation):
    """The combination with equal projections onto all gradients (Liu et al., ICLR 2021)."""

    paper: ClassVar[str] = "Towards Impartial Multi-task Learning, ICLR 2021"
    formula: ClassVar[str] = "sum_k a_k g_k with equal (g, g_k / |g_k|), sum a = 1"
    aggregator: ClassVar[str] = "IMTLG"


@balance("aligned_mtl")
class AlignedMTL(Aggregation):
    """Replaces the gradients with the nearest orthogonal ones of equal length (Senushkin et al., CVPR 2023)."""

    paper: ClassVar[str] = "2305.19000"
    formula: ClassVar[str] = (
        "w^T G' with G' the nearest matrix to G of condition number 1, scaled to its smallest singular value"
    )
    aggregator: ClassVar[str] = "AlignedMTL"
