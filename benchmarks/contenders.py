"""The contenders: the same PLE, built by each library, on the same ids."""

from __future__ import annotations

import importlib
import itertools
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everywhere in torch

import archspec

if TYPE_CHECKING:
    from collections.abc import Callable

LEVELS = 2


@dataclass(frozen=True, slots=True)
class Size:
    """A PLE over sparse inputs, with as many shared experts as experts per task; each gate is one linear layer."""

    tasks: int
    experts: int
    units: tuple[int, ...]
    tower: tuple[int, ...]
    inputs: int = 40
    vocab: int = 10_000
    dim: int = 16

    def __str__(self) -> str:
        return f"{self.tasks} tasks, {self.experts}+{self.experts} of {list(self.units)}, {list(self.tower)}"

    @property
    def features(self) -> list[str]:
        """Names of the inputs."""
        return [f"f{i}" for i in range(self.inputs)]

    def draw(self, rows: int) -> tuple[Tensor, Tensor]:
        """Ids `[B, inputs]` and labels `[B, tasks]`, the same at every call."""
        generator = torch.Generator().manual_seed(rows)
        ids = torch.randint(0, self.vocab, (rows, self.inputs), generator=generator)
        return ids, torch.randint(0, 2, (rows, self.tasks), generator=generator).float()

    def flops(self, rows: int) -> int:
        """Multiplications and additions of all matmuls in a forward pass: experts, gates, mixing, towers, heads."""
        own, seen, total = self.tasks * self.experts, 2 * self.experts, self.experts * (self.tasks + 1)
        width, hidden = self.inputs * self.dim, self.units[-1]
        products = self.tasks * _mlp((hidden, *self.tower, 1))
        for level in range(LEVELS):
            shared_gate = total * (width + hidden) if level < LEVELS - 1 else 0
            products += (own + self.experts) * _mlp((width, *self.units))
            products += self.tasks * seen * (width + hidden) + shared_gate
            width = hidden
        return 2 * rows * products


def _mlp(widths: tuple[int, ...]) -> int:
    return sum(a * b for a, b in itertools.pairwise(widths))


SIZES = (Size(2, 1, (256, 128), (64,)), Size(8, 2, (128, 64), (32,)), Size(16, 1, (128, 64), (32,)))
"""The grid of shared/design/performance.md."""
ROWS = (16, 256, 2048)
ARCHSPEC, PLAIN, RECHUB, DEEPCTR = "archspec", "archspec plain", "torch-rechub", "deepctr-torch"
OTHERS = (RECHUB, DEEPCTR)


@dataclass(frozen=True, slots=True)
class Contender:
    """A model, and functions that convert its inputs and outputs."""

    name: str
    model: nn.Module
    batch: Callable[[Tensor], Any]
    """Ids `[B, inputs]` in the form that this library takes."""
    stacked: Callable[[Any], Tensor]
    """Its outputs as one `[B, tasks]`: logits (archspec) or probabilities (the others)."""
    loss: Callable[[Tensor, Tensor], Tensor]

    @property
    def parameters(self) -> int:
        """The number of weights."""
        return sum(weight.numel() for weight in self.model.parameters())

    def forward(self, ids: Tensor) -> Callable[[], Any]:
        """A forward pass on these ids, in evaluation mode. The caller turns gradients off."""
        model, batch = self.model.eval(), self.batch(ids)
        return lambda: model(batch)

    def step(self, ids: Tensor, labels: Tensor, after: Callable[[], object] = lambda: None) -> Callable[[], None]:
        """Forward and backward of the sum of the tasks' cross entropies, in training mode; then `after`."""
        model, batch = self.model.train(), self.batch(ids)
        weights = list(model.parameters())

        def run() -> None:
            for (
                weight
            ) in weights:  # as an optimizer does: Module.zero_grad would walk the modules, many for some libraries
                weight.grad = None
            loss = self.loss(self.stacked(model(batch)), labels)
            loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
            after()

        return run


def _columns(ids: Tensor) -> dict[str, Tensor]:
    return {f"f{i}": column.contiguous() for i, column in enumerate(ids.unbind(1))}


def _of_logits(logits: Tensor, labels: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, labels) * labels.shape[1]


def _of_probabilities(probabilities: Tensor, labels: Tensor) -> Tensor:
    return F.binary_cross_entropy(probabilities, labels) * labels.shape[1]


def spec_text(size: Size, table: str = "") -> str:
    """The spec of a size; `table` is added to each input's settings."""
    inputs = "".join(
        f"  {name}: {{kind: sparse, vocab: {size.vocab}, dim: {size.dim}{table}}}\n" for name in size.features
    )
    tasks = "".join(f"  t{i}: {{kind: binary}}\n" for i in range(size.tasks))
    expert = f"{{count: {size.experts}, units: {list(size.units)}}}"
    return f"""archspec: 1
name: ple_{size.tasks}
inputs:
{inputs}tasks:
{tasks}levels:
  - repeat: {LEVELS}
    experts:
      $task: {expert}
      shared: {expert}
    gates:
      $task: {{sees: [$task, shared]}}
      shared: {{sees: all}}
towers:
  $task: {{units: {list(size.tower)}}}
"""


def _archspec(name: str, text: str, *, optimize: bool) -> Contender:
    model = archspec.compile(text, optimize=optimize, seed=0)
    return Contender(name, model, _columns, lambda out: torch.stack(tuple(out.values()), 1), _of_logits)


def optimized(size: Size, table: str = "") -> Contender:
    """archspec's module as a user gets it: default settings, including the check of the inputs."""
    return _archspec(ARCHSPEC, spec_text(size, table), optimize=True)


def plain(size: Size) -> Contender:
    """archspec's module without any pass, which defines the meaning of the spec."""
    return _archspec(PLAIN, spec_text(size), optimize=False)


def rechub(size: Size) -> Contender:
    """torch-rechub's PLE. Its experts, gates and towers contain batch norms, which cannot be turned off."""
    features = importlib.import_module("torch_rechub.basic.features")
    ple = importlib.import_module("torch_rechub.models.multi_task").PLE
    columns = [features.SparseFeature(name, vocab_size=size.vocab, embed_dim=size.dim) for name in size.features]
    towers = [{"dims": list(size.tower)} for _ in range(size.tasks)]
    types = ["classification"] * size.tasks
    model = ple(columns, types, LEVELS, size.experts, size.experts, {"dims": list(size.units)}, towers)
    return Contender(RECHUB, model, _columns, lambda out: out, _of_probabilities)


def deepctr(size: Size) -> Contender:
    """deepctr-torch's PLE, without its penalties on weights. It also computes a shared gate in the last level, unread.

    Its ids come as one matrix `[B, inputs]`, here of int64: the floats that its own `fit` makes
    would only cost a conversion.
    """
    # Its import asks a package index on the network for newer versions, from this module.
    quiet = ModuleType("deepctr_torch.utils")
    quiet.__dict__["check_version"] = lambda _: None
    sys.modules.setdefault("deepctr_torch.utils", quiet)
    ple = importlib.import_module("deepctr_torch.models").PLE
    feature = importlib.import_module("deepctr_torch.inputs").SparseFeat
    model = ple(
        [feature(name, size.vocab, embedding_dim=size.dim) for name in size.features],
        shared_expert_num=size.experts,
        specific_expert_num=size.experts,
        num_levels=LEVELS,
        expert_dnn_hidden_units=size.units,
        gate_dnn_hidden_units=(),
        tower_dnn_hidden_units=size.tower,
        l2_reg_embedding=0,
        task_types=["binary"] * size.tasks,
        task_names=[f"t{i}" for i in range(size.tasks)],
    )
    return Contender(DEEPCTR, model, lambda ids: ids, lambda out: out, _of_probabilities)


BUILDERS: dict[str, Callable[[Size], Contender]] = {ARCHSPEC: optimized, PLAIN: plain, RECHUB: rechub, DEEPCTR: deepctr}
