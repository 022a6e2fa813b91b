"""The loss that a spec describes: tasks, labels, sample spaces, weights, decay, balance, auxiliary losses."""

from __future__ import annotations

from inspect import signature
from math import log
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from archspec import plugins as plugin_door
from archspec.graph.load import graph_of, load_graph
from archspec.nn.wrapped import unwrapped
from archspec.spec.spec import Spec, TaskBlock
from archspec.train import distributed
from archspec.train.gradients import Entries, with_gradient
from archspec.train.rows import Columns, task_sums
from archspec.train.weights import last_shared, shared, spec_of, weight_locations

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping

    from archspec.graph.graph import Graph


class MultiTaskLoss(nn.Module):
    """One loss from all tasks of a spec: `loss, parts = criterion(model(batch), batch)`.

    L_k = sum_i d_ki v_ki loss_k(i) / sum_i d_ki v_ki, with d = 1 for rows where the task's `when` column is 1
    (and which have a label, with `missing_labels: mask`) and v the row's `weight_column`; 0, with zero gradient, where
    no row counts. The `balance` kind makes one loss of all
    w_k gamma_k^t L_k; auxiliary losses of the model's nodes are added as they are.

    A call counts one step of t if the criterion and its model are in training mode and gradients are on. The clocks
    `steps` and `epochs` and what a balance learns are in `state_dict()`; a balance may have parameters that an
    optimizer must be given (`criterion.parameters()`). In a distributed run training calls are collective: means are
    over the rows of all processes.

    Args:
        source: a compiled model; or a Spec, the path of one, or its text.
        plugins: what may define further kinds, where `source` is a path or a text; see `archspec.load`.
        model: the model, where `source` is not: gives its auxiliary losses, and gradients to a balance that reads them.
        count_steps: False leaves counting to `next_step()`: for gradients accumulated over several calls.

    Raises:
        SpecError: the spec is wrong.
        TypeError: the model is none of archspec's, or was built into a file and does not know its spec.
        ValueError: the spec's balance reads gradients and no model is given.
    """

    steps: Tensor
    epochs: Tensor

    def __init__(
        self,
        source: nn.Module | Spec | str | os.PathLike[str],
        plugins: Iterable[plugin_door.Plugin] = (),
        *,
        model: nn.Module | None = None,
        count_steps: bool = True,
    ) -> None:
        super().__init__()
        if isinstance(source, nn.Module):
            model, source = source, _known_spec(source)
        graph = graph_of(source) if isinstance(source, Spec) else load_graph(source, None, plugin_door.load(plugins))
        self.tasks: Mapping[str, TaskBlock] = graph.spec.tasks
        self.count_steps = count_steps
        self.check_labels = True
        self.balance_name = graph.spec.balance.kind
        self.balance: nn.Module = graph.spec.balance.settings.build(tuple(self.tasks))
        self._reads = graph.spec.balance.settings.gradients
        self._model = (model,)  # in a tuple: the model is no part of the criterion
        self._entries = self._watched(graph)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("epochs", torch.zeros((), dtype=torch.int64))

    @property
    def model(self) -> nn.Module | None:
        """The model that the criterion knows, if any."""
        return self._model[0]

    def forward(
        self, logits: Columns, batch: Columns, auxiliary: Columns | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to differentiate, `[]`, and its parts.

        Args:
            logits: what the model gave for the batch, by task.
            batch: must hold the tasks' label columns, besides what the model reads.
            auxiliary: losses of nodes, `[]` each; default: those of the model's last forward pass, in training.

        Returns:
            The total, and by name each task's own loss before weighting and each auxiliary loss (with their graphs:
            detach what is kept for logging).

        Raises:
            KeyError: an output or a column is missing; names the task, the column, and what the batch holds.
            ValueError: a label of wrong shape, type or range (while `check_labels` is True).
        """
        training = self._in_training()
        losses, counted = self._losses(logits, batch, training=training)
        auxiliary = self._auxiliary() if auxiliary is None else auxiliary
        with torch.autocast(losses.device.type, enabled=False):  # half precision is for the model, not for its balance
            total = self._balanced(losses * self._weights(losses), counted, training=training)
        for loss in auxiliary.values():
            total = total + loss
        if training and self.count_steps:
            self.next_step()
        return total, {**dict(zip(self.tasks, losses.unbind(), strict=True)), **auxiliary}

    def sums(self, logits: Columns, batch: Columns) -> tuple[Tensor, Tensor]:
        """Each task's summed losses over its sample space, and what they are divided by, `[T]` each.

        Added up over batches they give exact means, which means of batches do not. Raises as a call does.
        """
        check = self.check_labels and not torch.compiler.is_compiling()
        sums = [task_sums(block, logits, batch, check=check) for block in self.tasks.values()]
        totals, counts = zip(*sums, strict=True)
        return torch.stack(totals), torch.stack(counts)

    def total(self, losses: Tensor, counted: Tensor | None = None) -> Tensor:
        """The one loss `[]` of the tasks' losses `[T]` with the weights of now; no clock moves, no balance learns.

        Args:
            losses: of each task.
            counted: bool `[T]`, which tasks have rows; default: all.
        """
        counted = torch.ones_like(losses, dtype=torch.bool) if counted is None else counted
        return self._total(losses * self._weights(losses), counted)

    def unbalanced(self, losses: Tensor) -> Tensor:
        """The tasks' losses `[T]`, each times its `weight`, added up: `[]`.

        Neither decay nor what a balance learned is in it, so that it measures the model alone: it is the number to stop
        by and to keep the best weights by.
        """
        return (losses * self._fixed_weights(losses)).sum()

    def next_step(self) -> None:
        """Moves the clock of steps; every counted call does it already."""
        self.steps += 1

    def next_epoch(self) -> None:
        """Moves the clock of epochs: call it after each one where a task decays by epoch, or the balance is `dwa`.

        In a distributed run every process calls it.
        """
        balance: Any = self.balance
        self.epochs += 1
        if hasattr(balance, "epoch"):
            balance.epoch()

    def extra_repr(self) -> str:
        """Tasks and balance, for `print(criterion)`."""
        return f"tasks={', '.join(self.tasks)}, balance={self.balance_name}"

    def _losses(self, logits: Columns, batch: Columns, *, training: bool) -> tuple[Tensor, Tensor]:
        """Loss of each task over its sample space, and which tasks have rows in it, `[T]` each."""
        totals, counts = self.sums(logits, batch)
        return distributed.means(totals, counts) if training else (distributed.local_means(totals, counts), counts > 0)

    def _fixed_weights(self, losses: Tensor) -> Tensor:
        """w_k, `[T]`."""
        return losses.new_tensor([block.task.weight for block in self.tasks.values()])

    def _weights(self, losses: Tensor) -> Tensor:
        """w_k gamma_k^t, `[T]`."""
        weights = self._fixed_weights(losses)
        decays = [block.task.decay for block in self.tasks.values()]
        if not any(decays):
            return weights
        rates = losses.new_tensor([log(decay.rate) if decay else 0.0 for decay in decays])
        by_epoch = torch.tensor([bool(decay and decay.every == "epoch") for decay in decays], device=losses.device)
        return weights * (rates * torch.where(by_epoch, self.epochs, self.steps)).exp()

    def _balanced(self, losses: Tensor, counted: Tensor, *, training: bool) -> Tensor:
        """One loss of the weighted ones; in training the balance looks on, and may set gradients of shared weights."""
        balance: Any = self.balance
        total = self._total(losses, counted)
        if not training:
            return total
        if self._entries is None:
            if self._reads == "none":
                self._look_on(losses, counted)
            return total
        parameters = self._entries.parameters()
        jacobian = self._entries.jacobian(losses, parameters)
        self._look_on(losses, counted, jacobian)
        if hasattr(balance, "aggregate"):
            # A task without rows, or of which nothing depends on shared weights, would make MGDA's shortest vector 0.
            pulling = jacobian[(jacobian != 0).any(dim=1)]
            change = balance.aggregate(pulling) - pulling.sum(0) if len(pulling) else torch.zeros_like(jacobian[0])
            total = with_gradient(total, self._entries, parameters, change)
        return total

    def _total(self, losses: Tensor, counted: Tensor) -> Tensor:
        balance: Any = self.balance
        total: Tensor = balance(losses, **asked_for(balance.forward, counted))
        return total

    def _look_on(self, losses: Tensor, counted: Tensor, *jacobian: Tensor) -> None:
        """Lets the balance learn from a step."""
        balance: Any = self.balance
        if hasattr(balance, "step"):
            with torch.no_grad():
                balance.step(losses.detach(), *jacobian, **asked_for(balance.step, counted))

    def _auxiliary(self) -> Columns:
        if self.model is None or not self._in_training():
            return {}
        found: Columns = getattr(unwrapped(self.model), "auxiliary_losses", {})
        return found

    def _in_training(self) -> bool:
        return self.training and torch.is_grad_enabled() and (self.model is None or self.model.training)

    def _watched(self, graph: Graph) -> Entries | None:
        """The weights whose gradients the balance reads."""
        if self._reads == "none" or len(self.tasks) == 1:
            return None  # one task has nothing to be balanced against
        if self.model is None:
            raise ValueError(
                f"balance `{self.balance_name}` reads the gradients of the model's weights: "
                "give the model, MultiTaskLoss(model) or MultiTaskLoss(spec, model=model)"
            )
        found = weight_locations(self.model, graph)
        chosen = shared(found, graph) if self._reads == "shared" else last_shared(found, graph)
        if not chosen:
            raise ValueError(
                f"balance `{self.balance_name}` reads gradients on shared weights, but the tasks share none"
            )
        return Entries(self.model, chosen)


def asked_for(method: Callable[..., object], counted: Tensor) -> dict[str, Tensor]:
    """Which tasks have rows, `[T]`, as a keyword argument for a balance's method; nothing where it has no `counted`."""
    return {"counted": counted} if "counted" in signature(method).parameters else {}


def _known_spec(model: nn.Module) -> Spec:
    spec = spec_of(model)
    if spec is None:
        name = type(unwrapped(model)).__name__
        raise TypeError(f"{name} comes from a built file, which holds no spec: MultiTaskLoss(spec, model=model)")
    return spec
