"""The loss that a spec describes: tasks, labels, sample spaces, weights, decay, balance, auxiliary losses."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from archspec import plugins as plugin_door
from archspec.diagnostics import SpecError
from archspec.graph.calls import call_of, wrong_result_of
from archspec.graph.load import graph_of, load_graph
from archspec.nn.wrapped import unwrapped
from archspec.spec.spec import Spec, TaskBlock
from archspec.train import distributed
from archspec.train.gradients import Entries, with_gradient
from archspec.train.rows import Columns, shown, task_sums
from archspec.train.weights import last_shared, shared, spec_of, weight_locations

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from archspec.contract.balance_module import BalanceModule
    from archspec.graph.graph import Graph


class MultiTaskLoss(nn.Module):
    """One loss from all tasks of a spec: `loss, parts = criterion(model(batch), batch)`.

    L_k = sum_i d_ki v_ki loss_k(i) / sum_i d_ki v_ki, with d = 1 for rows where the task's `when` column is 1
    (and which have a label, with `missing_labels: mask`) and v the row's `weight_column`; 0, with zero gradient, if
    no row counts. The `balance` kind combines all w_k gamma_k^t L_k into one loss; auxiliary losses of the model are
    added unchanged.

    A call counts as one step of t if the criterion and its model are in training mode and gradients are enabled.
    `state_dict()` contains the clocks `steps` and `epochs` and the state of the balance. If the balance has parameters,
    pass them to the optimizer (`criterion.parameters()`). In a distributed run, training calls are collective: means
    are over the rows of all processes.

    Args:
        source: a compiled model; or a Spec, the path of one, or its text.
        plugins: plugins with further kinds, if `source` is a path or a text; see `archspec.load`.
        model: the model, if `source` is a spec: for its auxiliary losses, and for a balance that reads gradients.
        count_steps: False counts only calls of `next_step()`: for gradients accumulated over several calls.

    Raises:
        SpecError: the spec is wrong.
        TypeError: the model is not a compiled model, or comes from a built file and does not know its spec.
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
        self._balance = graph.spec.balance
        self.balance_name = self._balance.kind
        self.balance: BalanceModule = call_of(self._balance, "balance", "build", tuple(self.tasks))
        self._reads = self._balance.settings.gradients
        self._model = (model,)  # in a tuple: the model is not a submodule of the criterion
        self._entries = self._gradient_entries(graph)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("epochs", torch.zeros((), dtype=torch.int64))

    @property
    def model(self) -> nn.Module | None:
        """The model that the criterion knows, if any."""
        return self._model[0]

    def forward(
        self, logits: Columns, batch: Columns, auxiliary: Columns | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the loss to differentiate, `[]`, and its parts.

        Args:
            logits: the model's output for the batch, by task.
            batch: must contain the tasks' label columns, in addition to the model's columns.
            auxiliary: losses of nodes, `[]` each; default: those of the model's last forward pass, in training.

        Returns:
            The total, and by name each task's own loss before weighting and each auxiliary loss (with their graphs:
            detach them before you keep them for logging).

        Raises:
            KeyError: an output or a column is missing; the message has the task, the column, and the batch's columns.
            ValueError: a label has a wrong shape, type or range (while `check_labels` is True).
            SpecError: AS502: a plugin's loss does not return one number per row, or its balance not one number.
        """
        training = self._in_training()
        losses, counted = self._losses(logits, batch, training=training)
        auxiliary = self._auxiliary() if auxiliary is None else auxiliary
        with torch.autocast(losses.device.type, enabled=False):  # only the model runs in half precision
            total = self._balanced(losses * self._weights(losses), counted, training=training)
        for loss in auxiliary.values():
            total = total + loss
        if training and self.count_steps:
            self.next_step()
        return total, {**dict(zip(self.tasks, losses.unbind(), strict=True)), **auxiliary}

    def sums(self, logits: Columns, batch: Columns) -> tuple[Tensor, Tensor]:
        """Each task's sum of losses over its sample space, and the divisor for their mean, `[T]` each.

        Add both up over batches for exact means; a mean of batch means is not exact. Raises the errors of a call.
        """
        check = self.check_labels and not torch.compiler.is_compiling()
        sums = [task_sums(block, logits, batch, check=check) for block in self.tasks.values()]
        totals, counts = zip(*sums, strict=True)
        return torch.stack(totals), torch.stack(counts)

    def total(self, losses: Tensor, counted: Tensor | None = None) -> Tensor:
        """Combines the tasks' losses `[T]` into one `[]` with the current weights, without advancing clocks or balance.

        Args:
            losses: the loss of each task.
            counted: bool `[T]`, which tasks have rows; default: all.
        """
        counted = torch.ones_like(losses, dtype=torch.bool) if counted is None else counted
        return self._total(losses * self._weights(losses), counted)

    def unbalanced(self, losses: Tensor) -> Tensor:
        """The sum of the tasks' losses `[T]`, each times its `weight`: `[]`.

        It does not depend on decay or on the state of the balance, so it measures only the model: use it for early
        stopping and to choose the best weights.
        """
        return (losses * self._fixed_weights(losses)).sum()

    def next_step(self) -> None:
        """Advances the step clock; every counted call already does this."""
        self.steps += 1

    def next_epoch(self) -> None:
        """Advances the epoch clock: call it after each epoch if a task decays by epoch, or the balance is `dwa`.

        In a distributed run, every process must call it.
        """
        self.epochs += 1
        self.balance.epoch()

    def extra_repr(self) -> str:
        """Tasks and balance, for `print(criterion)`."""
        return f"tasks={', '.join(self.tasks)}, balance={self.balance_name}"

    def _losses(self, logits: Columns, batch: Columns, *, training: bool) -> tuple[Tensor, Tensor]:
        """The loss of each task over its sample space, and which tasks have rows in it, `[T]` each."""
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
        """Combines the weighted losses; in training the balance is updated, and may set gradients of shared weights."""
        total = self._total(losses, counted)
        if not training:
            return total
        if self._entries is None:
            if self._reads == "none":
                self._update_balance(losses, counted, losses.new_empty((len(losses), 0)))
            return total
        parameters = self._entries.parameters()
        jacobian = self._entries.jacobian(losses, parameters)
        self._update_balance(losses, counted, jacobian)
        if self._reads == "shared":
            # A gradient of 0, from a task without rows or shared weights, would make MGDA's shortest vector 0.
            pulling = jacobian[(jacobian != 0).any(dim=1)]
            change = self._aggregated(pulling) - pulling.sum(0) if len(pulling) else torch.zeros_like(jacobian[0])
            total = with_gradient(total, self._entries, parameters, change)
        return total

    def _total(self, losses: Tensor, counted: Tensor) -> Tensor:
        total: Tensor = self.balance(losses, counted)
        self._check_shape(total, (), "forward")
        return total

    def _aggregated(self, jacobian: Tensor) -> Tensor:
        gradient = self.balance.aggregate(jacobian)
        self._check_shape(gradient, tuple(jacobian.shape[1:]), "aggregate")
        return gradient

    def _update_balance(self, losses: Tensor, counted: Tensor, jacobian: Tensor) -> None:
        """Updates the balance after a step."""
        with torch.no_grad():
            self.balance.step(losses.detach(), counted, jacobian)

    def _check_shape(self, made: object, wanted: tuple[int, ...], method: str) -> None:
        """Raises SpecError if a method of the balance does not return a tensor of the expected shape."""
        if not isinstance(made, Tensor) or tuple(made.shape) != wanted:
            problem = f"builds a module whose `{method}` returns {shown(made)}, which must be {list(wanted)}"
            raise SpecError([wrong_result_of(self._balance, "balance", problem)])

    def _auxiliary(self) -> Columns:
        if self.model is None or not self._in_training():
            return {}
        found: Columns = getattr(unwrapped(self.model), "auxiliary_losses", {})
        return found

    def _in_training(self) -> bool:
        return self.training and torch.is_grad_enabled() and (self.model is None or self.model.training)

    def _gradient_entries(self, graph: Graph) -> Entries | None:
        """The weights whose gradients the balance reads; None if it reads none."""
        if self._reads == "none" or len(self.tasks) == 1:
            return None  # a single task needs no balance
        if self.model is None:
            raise ValueError(
                f"balance `{self.balance_name}` reads the gradients of the model's weights: "
                "pass the model, as MultiTaskLoss(model) or MultiTaskLoss(spec, model=model)"
            )
        found = weight_locations(self.model, graph)
        chosen = shared(found, graph) if self._reads == "shared" else last_shared(found, graph)
        if not chosen:
            raise ValueError(
                f"balance `{self.balance_name}` reads gradients of shared weights, but the tasks share none"
            )
        return Entries(self.model, chosen)


def _known_spec(model: nn.Module) -> Spec:
    spec = spec_of(model)
    if spec is None:
        name = type(unwrapped(model)).__name__
        raise TypeError(f"{name} comes from a built file, which contains no spec: use MultiTaskLoss(spec, model=model)")
    return spec
